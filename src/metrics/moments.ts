// Streaming mean and covariance in float64.

import { checkDim, type Rows } from "./metric.ts";

/** Sums over n points: mean [dim] and scatter [dim, dim] = Σ (x − mean)(x − mean)ᵀ, of which the lower triangle holds. */
export interface Moments {
  readonly n: number;
  readonly mean: Float64Array;
  readonly scatter: Float64Array;
}

/** A mean and an unbiased covariance, and how many samples they were estimated from (Infinity where they are exact). */
export interface Gaussian {
  readonly n: number;
  /** [dim] */
  readonly mean: Float64Array;
  /** [dim, dim] */
  readonly covariance: Float64Array;
}

/** Of no points, in `dim` dimensions. */
export function noMoments(dim: number): Moments {
  return { n: 0, mean: new Float64Array(dim), scatter: new Float64Array(dim * dim) };
}

/** A batch is centered on its own mean before anything is squared, then merged: no cancellation for large means. */
export function addMoments(state: Moments, batch: Rows): Moments {
  const dim = state.mean.length;
  const { n, data } = checkDim(batch, dim);
  if (n === 0) return state;
  const mean = new Float64Array(dim);
  for (let i = 0; i < n; i++) for (let j = 0; j < dim; j++) mean[j] += data[i * dim + j];
  for (let j = 0; j < dim; j++) mean[j] /= n;
  const scatter = new Float64Array(dim * dim);
  // Four points at a time; the missing ones of the last four are zero.
  const centered = [0, 1, 2, 3].map(() => new Float64Array(dim));
  for (let i = 0; i < n; i += 4) {
    centered.forEach((c, s) => {
      for (let j = 0; j < dim; j++) c[j] = i + s < n ? data[(i + s) * dim + j] - mean[j] : 0;
    });
    const [p, q, r, s] = centered;
    for (let j = 0; j < dim; j++) {
      const [pj, qj, rj, sj] = [p[j], q[j], r[j], s[j]];
      const row = j * dim;
      for (let k = 0; k <= j; k++) scatter[row + k] += pj * p[k] + qj * q[k] + rj * r[k] + sj * s[k];
    }
  }
  for (const m of mean)
    if (!Number.isFinite(m))
      throw new RangeError(`A batch has the mean ${m} in one dimension: it holds NaN or infinity.`);
  return mergeMoments(state, { n, mean, scatter });
}

/** The moments of both sets together (Chan, Golub & LeVeque 1979). */
export function mergeMoments(a: Moments, b: Moments): Moments {
  const n = a.n + b.n;
  if (a.n === 0 || b.n === 0) return a.n === 0 ? b : a;
  const dim = a.mean.length;
  const delta = b.mean.map((x, j) => x - a.mean[j]);
  const mean = a.mean.map((x, j) => x + (delta[j] * b.n) / n);
  const weight = (a.n * b.n) / n;
  const scatter = new Float64Array(dim * dim);
  for (let j = 0; j < dim; j++)
    for (let k = 0, at = j * dim; k <= j; k++, at++)
      scatter[at] = a.scatter[at] + b.scatter[at] + weight * delta[j] * delta[k];
  return { n, mean, scatter };
}

/** Throws RangeError for fewer than two points. */
export function gaussianOf({ n, mean, scatter }: Moments): Gaussian {
  if (n < 2) throw new RangeError(`A covariance needs at least 2 samples, got ${n}.`);
  const dim = mean.length;
  const covariance = new Float64Array(dim * dim);
  for (let j = 0; j < dim; j++)
    for (let k = 0; k <= j; k++) covariance[j * dim + k] = covariance[k * dim + j] = scatter[j * dim + k] / (n - 1);
  return { n, mean: Float64Array.from(mean), covariance };
}
