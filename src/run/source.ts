// The batches of a stage: data, stored pairs, or conditions alone, under the names that the stage gives their columns.

import { classCount } from "../condition.ts";
import { batches, type Dataset } from "../data/dataset.ts";
import type { Batch } from "../draws.ts";
import { sizeOf, type TensorData } from "../graph/index.ts";
import { fold, key, randint } from "../random.ts";
import type { Stage } from "../recipes/recipe.ts";
import type { Pairs } from "./pairs.ts";

export interface Sources {
  readonly data?: Dataset;
  /** For a stage that learns from pairs: those of its teacher. */
  readonly pairs?: Pairs;
}

/** Consecutive rows of a step's batch. */
export interface Rows {
  readonly from: number;
  readonly count: number;
}

/** The batch of a step, from 0, or some rows of it; it depends on seed, stage and step alone. */
export type Batches = (step: number, rows?: Rows) => Batch;

export function batchesOf(
  { source, model }: Pick<Stage, "source" | "model">,
  { data, pairs }: Sources,
  { seed, stage, batch }: { readonly seed: number; readonly stage: number; readonly batch: number },
): Batches {
  // The first stage draws as a run of one stage does.
  const root = stage === 0 ? key(seed) : fold(key(seed), "stage", stage);
  const parts: Batches[] = [];
  if (source.data !== undefined) {
    if (!data) throw new RangeError("This stage learns from data, and none was given.");
    const stream = batches(data, fold(root, "data"), batch);
    parts.push((step, rows) => {
      const { x, labels, cond } = data.batch(only(stream.indicesAt(step), rows));
      return { [`${source.data}x`]: x, ...prefixed({ labels, ...cond }, source.data) };
    });
  }
  if (source.pairs) {
    if (!pairs) throw new RangeError("This stage learns from pairs, and none were made.");
    parts.push(pairBatches(pairs, source.pairs.prefix, sizeOf(model.sampleShape), root, batch));
  }
  if (source.conditions !== undefined && isTold(model)) {
    if (!data) throw new RangeError("This stage learns from the texts of data, and none was given.");
    const stream = batches(data, fold(root, "conditions"), batch);
    parts.push((step, rows) => {
      const { labels, cond } = data.batch(only(stream.indicesAt(step), rows));
      return prefixed({ labels, ...cond }, source.conditions);
    });
  } else if (source.conditions !== undefined) {
    const classes = classCount(model.conditions);
    parts.push((step, rows) => {
      const labels = randint(fold(root, "labels", step), batch, Math.max(1, classes));
      return { [`${source.conditions}labels`]: BigInt64Array.from(only(labels, rows), BigInt) };
    });
  }
  return (step, rows) => Object.assign({}, ...parts.map((part) => part(step, rows)));
}

/** Whether something comes with the data that could not be made up, as labels can. */
const isTold = ({ conditions }: Stage["model"]): boolean =>
  Object.entries(conditions).some(([name, { given }]) => given === "data" && name !== "labels");

const prefixed = (columns: Batch, prefix = ""): Batch =>
  Object.fromEntries(Object.entries(columns).map(([name, values]) => [`${prefix}${name}`, values]));

const only = <T extends { subarray(from: number, to: number): T }>(all: T, rows: Rows | undefined): T =>
  rows ? all.subarray(rows.from, rows.from + rows.count) : all;

function pairBatches(
  { x, noise, cond }: Pairs,
  prefix: string,
  size: number,
  root: ReturnType<typeof key>,
  batch: number,
): Batches {
  const n = x.length / size;
  const order = batches(indexDataset(n), fold(root, prefix === "" ? "data" : `data ${prefix}`), batch);
  return (step, rows) => {
    const indices = only(order.indicesAt(step), rows);
    const columns = Object.entries({ x, noise, ...cond });
    return Object.fromEntries(columns.map(([name, all]) => [`${prefix}${name}`, rowsOf(all, indices, all.length / n)]));
  };
}

/** Only the order of its samples is asked for. */
const indexDataset = (size: number): Dataset => ({
  name: "pairs",
  size,
  shape: [1, 1, 1],
  classes: 0,
  batch: () => ({ x: new Float32Array(0), labels: new BigInt64Array(0) }),
});

function rowsOf(all: TensorData, indices: Uint32Array, size: number): TensorData {
  // A batch may be larger than all pairs.
  const length = indices.length * size;
  const out =
    all instanceof BigInt64Array
      ? new BigInt64Array(length)
      : all instanceof Float32Array
        ? new Float32Array(length)
        : new Uint8Array(length);
  indices.forEach((from, i) => {
    const row = all.subarray(from * size, (from + 1) * size);
    (out as { set(from: TensorData, at: number): void }).set(row, i * size);
  });
  return out;
}
