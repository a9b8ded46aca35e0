// Sliced Wasserstein distance (Rabin et al. 2012): transport along lines is sorting.

import { fold, type Key, normal } from "../random.ts";
import { checkDim, type Metric, overAll, type Rows } from "./metric.ts";

export interface SlicedOptions {
  readonly reference: Rows;
  /** Chooses the directions. */
  readonly key: Key;
  /** Directions: 256 or more. In one dimension a single one is exact. */
  readonly projections?: number;
}

/** Root of the mean over directions of the squared W2 distance between the projections; a shift by s gives |s|/√dim. */
export function slicedWasserstein({ reference, key, projections = 256 }: SlicedOptions): Metric<Rows> {
  const { dim } = reference;
  if (!Number.isInteger(projections) || projections < 256)
    throw new RangeError(`There are ${projections} projections, expected an integer of at least 256.`);
  const axes = directions(key, dim, dim === 1 ? 1 : projections);
  const count = axes.length / dim;
  return overAll("sliced-wasserstein", "lower", dim, (sample) => {
    let total = 0;
    for (let d = 0; d < count; d++) {
      const axis = axes.subarray(d * dim, d * dim + dim);
      total += wasserstein(project(sample, axis), project(reference, axis), 2);
    }
    return { value: Math.sqrt(total / count), n: sample.n, notes: [] };
  });
}

/**
 * The transport cost ∫|F⁻¹ − G⁻¹|^power between two sets of numbers: W1 for power 1, W2² for power 2. Sorts both in place.
 * Throws RangeError if one is empty.
 */
export function wasserstein(a: Float64Array, b: Float64Array, power: 1 | 2): number {
  if (a.length === 0 || b.length === 0)
    throw new RangeError(`A transport distance needs samples on both sides, got ${a.length} and ${b.length}.`);
  a.sort();
  b.sort();
  let total = 0;
  // Both quantile functions are steps; walk their common refinement in units of 1/(a.length·b.length).
  for (let i = 0, j = 0, at = 0; i < a.length && j < b.length; ) {
    const endA = (i + 1) * b.length;
    const endB = (j + 1) * a.length;
    const next = Math.min(endA, endB);
    total += (next - at) * Math.abs(a[i] - b[j]) ** power;
    at = next;
    if (endA === next) i++;
    if (endB === next) j++;
  }
  return total / (a.length * b.length);
}

/** [count, dim] unit vectors, uniform on the sphere; each run of dim of them is orthogonal, which evens them out. */
export function directions(key: Key, dim: number, count: number): Float64Array {
  const out = Float64Array.from(normal(fold(key, "directions"), count * dim));
  for (let d = 0; d < count; d++) {
    const axis = out.subarray(d * dim, d * dim + dim);
    for (let e = d - (d % dim); e < d; e++) {
      const earlier = out.subarray(e * dim, e * dim + dim);
      const overlap = dot(axis, earlier);
      for (let k = 0; k < dim; k++) axis[k] -= overlap * earlier[k];
    }
    const length = Math.sqrt(dot(axis, axis));
    for (let k = 0; k < dim; k++) axis[k] /= length;
  }
  return out;
}

function project(x: Rows, axis: Float64Array): Float64Array {
  checkDim(x, axis.length);
  return Float64Array.from({ length: x.n }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < axis.length; k++) sum += x.data[i * axis.length + k] * axis[k];
    return sum;
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}
