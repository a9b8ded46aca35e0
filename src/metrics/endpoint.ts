// How far a few-step sampler ends from where a better one ends, starting from the same noise.

import { checkDim, type Measured, type Metric, type Rows } from "./metric.ts";

/** Samples of two samplers; row i of both started from the same noise. */
export interface Endpoints {
  readonly ours: Rows;
  readonly theirs: Rows;
}

/** Root mean square over the dimensions of ours − theirs, for each sample. Throws RangeError for unequal shapes. */
export function endpointDistances({ ours, theirs }: Endpoints): Float64Array {
  checkDim(ours, theirs.dim);
  if (ours.n !== theirs.n)
    throw new RangeError(`There are ${ours.n} samples against ${theirs.n}; expected pairs from the same noise.`);
  const { n, dim } = ours;
  return Float64Array.from({ length: n }, (_, i) => {
    let sum = 0;
    for (let k = i * dim; k < (i + 1) * dim; k++) sum += (ours.data[k] - theirs.data[k]) ** 2;
    return Math.sqrt(sum / dim);
  });
}

/** Sums over pairs; d² is the mean square difference of one pair. */
export interface EndpointState {
  readonly n: number;
  readonly squares: number;
  readonly fourths: number;
  /** Mean of theirs in each dimension, and the sum of squares about it over all dimensions. */
  readonly mean: Float64Array;
  readonly scatter: number;
}

/** The root mean square difference over all samples and dimensions, in the units of the samples. */
export const endpoint = (dim: number): Metric<Endpoints, EndpointState> =>
  pairs("endpoint", dim, (mean, error) => {
    const value = Math.sqrt(mean);
    return { value, error: value > 0 ? error / (2 * value) : 0 };
  });

/**
 * G_N: E|ours − theirs|² / Var(theirs), with ours from one step and theirs from many it is the gap that a first-order
 * trajectory closes. 0 is equality, about 2 is independence.
 */
export const gap = (dim: number): Metric<Endpoints, EndpointState> =>
  pairs("gap", dim, (mean, error, { n, scatter }) => {
    if (!(scatter > 0)) throw new RangeError(`All ${n} reference samples are equal: a gap needs their variance.`);
    const variance = scatter / ((n - 1) * dim);
    return { value: mean / variance, error: error / variance };
  });

type Reading = (mean: number, error: number, state: EndpointState) => { value: number; error: number };

function pairs(name: string, dim: number, read: Reading): Metric<Endpoints, EndpointState> {
  return {
    name,
    better: "lower",
    init: () => ({ n: 0, squares: 0, fourths: 0, mean: new Float64Array(dim), scatter: 0 }),
    add: addPairs,
    value(state): Measured {
      const { n, squares, fourths } = state;
      if (n < 2) throw new RangeError(`An endpoint distance needs at least 2 pairs, got ${n}.`);
      const mean = squares / n;
      const variance = Math.max(0, fourths / n - mean * mean) * (n / (n - 1));
      const { value, error } = read(mean, Math.sqrt(variance / n), state);
      return { value, n, standardError: error, interval: [value - 1.96 * error, value + 1.96 * error], notes: [] };
    },
  };
}

/** The sums over both sets of pairs together. */
export function mergeEndpoints(a: EndpointState, b: EndpointState): EndpointState {
  if (a.n === 0 || b.n === 0) return a.n === 0 ? b : a;
  const n = a.n + b.n;
  const delta = b.mean.map((x, k) => x - a.mean[k]);
  const apart = delta.reduce((sum, d) => sum + d * d, 0);
  return {
    n,
    squares: a.squares + b.squares,
    fourths: a.fourths + b.fourths,
    mean: delta.map((d, k) => a.mean[k] + (d * b.n) / n),
    scatter: a.scatter + b.scatter + (apart * a.n * b.n) / n,
  };
}

function addPairs(state: EndpointState, batch: Endpoints): EndpointState {
  const { dim, data } = checkDim(batch.theirs, state.mean.length);
  let { n, squares, fourths, scatter } = state;
  const mean = Float64Array.from(state.mean);
  for (const d of endpointDistances(batch)) {
    squares += d ** 2;
    fourths += d ** 4;
  }
  for (let i = 0; i < batch.theirs.n; i++) {
    n++;
    for (let k = 0; k < dim; k++) {
      const away = data[i * dim + k] - mean[k];
      mean[k] += away / n;
      scatter += away * (data[i * dim + k] - mean[k]);
    }
  }
  return { n, squares, fourths, mean, scatter };
}
