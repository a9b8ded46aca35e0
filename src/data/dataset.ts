// A dataset is a plain object that hands out batches; a stream of batches is addressed by step number, so resuming is exact.

import { brief } from "../core/show.ts";
import { fold, type Key, permutation } from "../random.ts";

export interface Batch {
  /** [n, C, H, W] in [-1, 1] (points of a plane: about unit variance). */
  readonly x: Float32Array;
  /** [n], all zero for a dataset without classes. */
  readonly labels: BigInt64Array;
  /** Further conditions of the samples by the names of a model's columns [n, ...]: text, pooled text, sizes. */
  readonly cond?: Readonly<Record<string, Float32Array>>;
}

export interface Dataset {
  readonly name: string;
  readonly size: number;
  /** [C, H, W]; a point of the plane is [2, 1, 1]. */
  readonly shape: readonly [channels: number, height: number, width: number];
  /** Labels are 0 .. classes - 1; 0 means that there are none. */
  readonly classes: number;
  readonly labelNames?: readonly string[];
  /** Texts of the samples, where the files carry them. */
  readonly captions?: readonly string[];
  /** Sentences that a user should read: what was left out, or is not as it was stored. */
  readonly notes?: readonly string[];
  /** A hash of what it holds, where that is known already. */
  readonly identity?: string;
  /** The samples at `indices`. Throws a RangeError for an index outside 0 .. size - 1. */
  batch(indices: ArrayLike<number>): Batch;
}

export interface ImageArrays {
  readonly name: string;
  /** [n, C, H, W], 0..255. */
  readonly pixels: Uint8Array;
  readonly shape: readonly [number, number, number];
  readonly labels?: ArrayLike<number>;
  readonly classes?: number;
  readonly labelNames?: readonly string[];
  readonly captions?: readonly string[];
  readonly notes?: readonly string[];
}

/** Labels are below this: a network has a row for each class. */
export const MAX_CLASSES = 1 << 16;

/**
 * A dataset of 8-bit images held in memory as bytes; `classes` defaults to the largest label + 1. Throws an Error for arrays
 * that do not fit each other, and for a label that is no whole number from 0 to 65,535.
 */
export function imageDataset({
  name,
  pixels,
  shape,
  labels,
  classes,
  labelNames,
  captions,
  notes = [],
}: ImageArrays): Dataset {
  const per = shape[0] * shape[1] * shape[2];
  const size = pixels.length / per;
  if (size === 0) throw new Error(`${brief(name)} has no images.`);
  if (!Number.isInteger(size)) {
    throw new RangeError(
      `${brief(name)} has ${pixels.length} bytes, expected a multiple of ${per} (${shape.join(" x ")}).`,
    );
  }
  if (labels && labels.length !== size) {
    throw new Error(`${brief(name)} has ${labels.length} labels for ${size} images, expected one each.`);
  }
  const found = labels ? largest(labels, name) + 1 : 0;
  if (classes !== undefined && found > classes) {
    throw new Error(`${brief(name)} has the label ${found - 1}, expected labels 0 to ${classes - 1}.`);
  }
  return {
    name,
    size,
    shape,
    classes: labels ? (classes ?? found) : 0,
    labelNames,
    captions,
    notes,
    batch(indices) {
      const x = new Float32Array(indices.length * per);
      for (let row = 0; row < indices.length; row++) {
        const from = checkedIndex(indices[row], size, name) * per;
        for (let i = 0; i < per; i++) x[row * per + i] = pixels[from + i] / 127.5 - 1;
      }
      return { x, labels: pick(labels, indices) };
    },
  };
}

/** A dataset over real numbers that are used as they are: `values` is [n, C, H, W]; `labels` are one of `classes` each. */
export function arrayDataset(
  name: string,
  values: Float32Array,
  shape: readonly [number, number, number],
  { labels, classes = 0 }: { readonly labels?: ArrayLike<number>; readonly classes?: number } = {},
): Dataset {
  const per = shape[0] * shape[1] * shape[2];
  const size = values.length / per;
  return {
    name,
    size,
    shape,
    classes,
    batch(indices) {
      const x = new Float32Array(indices.length * per);
      for (let row = 0; row < indices.length; row++) {
        const from = checkedIndex(indices[row], size, name) * per;
        x.set(values.subarray(from, from + per), row * per);
      }
      return { x, labels: pick(labels, indices) };
    },
  };
}

export interface BatchStream {
  readonly batch: number;
  /** Which samples the batch of a step holds. Steps count from 0. */
  indicesAt(step: number): Uint32Array;
  batchAt(step: number): Batch;
}

/**
 * An endless stream of shuffled epochs. The batch of a step depends on `key` and the step alone, so a run that resumes at
 * step n sees what it would have seen. Every sample comes once per epoch; a batch may reach into the next epoch.
 */
export function batches(dataset: Dataset, key: Key, batch: number): BatchStream {
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`The batch size is ${batch}, expected at least 1.`);
  let held: { epoch: number; order: Uint32Array } | undefined;
  const orderOf = (epoch: number) => {
    if (held?.epoch !== epoch) held = { epoch, order: permutation(fold(key, "epoch", epoch), dataset.size) };
    return held.order;
  };
  const indicesAt = (step: number) =>
    Uint32Array.from({ length: batch }, (_, i) => {
      const at = step * batch + i;
      return orderOf(Math.floor(at / dataset.size))[at % dataset.size];
    });
  return { batch, indicesAt, batchAt: (step) => dataset.batch(indicesAt(step)) };
}

function pick(labels: ArrayLike<number> | undefined, indices: ArrayLike<number>): BigInt64Array {
  const out = new BigInt64Array(indices.length);
  if (labels) for (let i = 0; i < indices.length; i++) out[i] = BigInt(labels[indices[i]]);
  return out;
}

function checkedIndex(index: number, size: number, name: string): number {
  if (Number.isInteger(index) && index >= 0 && index < size) return index;
  throw new RangeError(`Sample ${index} of ${brief(name)} was asked for, expected 0 to ${size - 1}.`);
}

function largest(labels: ArrayLike<number>, name: string): number {
  let max = 0;
  for (let i = 0; i < labels.length; i++) {
    if (!Number.isInteger(labels[i]) || labels[i] < 0 || labels[i] >= MAX_CLASSES)
      throw new Error(`${brief(name)} has the label ${labels[i]} (sample ${i}), expected 0 to ${MAX_CLASSES - 1}.`);
    max = Math.max(max, labels[i]);
  }
  return max;
}
