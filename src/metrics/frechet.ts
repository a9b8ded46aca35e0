// The Fréchet distance between Gaussians fitted to features (Dowson & Landau 1982; FID: Heusel et al. 2017, eq. 6).

import type { Measured, Metric, Rows } from "./metric.ts";
import { addMoments, type Gaussian, gaussianOf, type Moments, noMoments } from "./moments.ts";
import { eigenvalues, factor, product, transposed } from "./symmetric.ts";

/** Fewer samples than this many times the dimension: refused, the covariance is mostly noise. */
const REFUSED_BELOW = 2;
/** Fewer samples than this many times the dimension: flagged. */
const FLAGGED_BELOW = 10;

/** |m1 − m2|² + tr(C1 + C2 − 2(C1·C2)^½), a squared distance as is usual. Throws RangeError for unequal dimensions. */
export function frechetDistance(a: Gaussian, b: Gaussian): number {
  return prepared(a)(b);
}

/** The distance to a fixed Gaussian, whose covariance is factored once: C1 = B·Bᵀ, and C1·C2 has the eigenvalues of Bᵀ·C2·B. */
function prepared(a: Gaussian): (b: Gaussian) => number {
  const dim = a.mean.length;
  const root = factor(a.covariance, dim);
  const rootT = transposed(root, dim);
  return (b) => {
    if (b.mean.length !== dim)
      throw new RangeError(`One Gaussian has dimension ${dim}, the other ${b.mean.length}; expected the same.`);
    const values = eigenvalues(product(rootT, product(b.covariance, root, dim), dim), dim);
    let [apart, traces, overlap] = [0, 0, 0];
    for (let i = 0; i < dim; i++) {
      apart += (a.mean[i] - b.mean[i]) ** 2;
      traces += a.covariance[i * dim + i] + b.covariance[i * dim + i];
      overlap += Math.sqrt(positive(values[i], values[dim - 1]));
    }
    const distance = apart + traces - 2 * overlap;
    // Rounding: a zero eigenvalue is known to about 1e-16 of the largest, its root to 1e-8.
    return distance < 0 && distance > -1e-6 * traces ? 0 : distance;
  };
}

/**
 * What n samples of `g` itself score against it on average, to second order in 1/n and for Gaussian features:
 * (1/n + 1/g.n)·(tr C + ½ Σij λi·λj·(1 + δij)/(λi + λj)). The distance is biased upwards by about this much.
 */
export function frechetFloor(g: Gaussian, n: number): number {
  return spread(g) * (1 / n + 1 / g.n);
}

function spread(g: Gaussian): number {
  const values = eigenvalues(g.covariance, g.mean.length).filter((x) => x > 0);
  let total = 0;
  values.forEach((x, i) => {
    total += x;
    values.forEach((y, j) => {
      total += (0.5 * x * y * (i === j ? 2 : 1)) / (x + y);
    });
  });
  return total;
}

export interface FrechetOptions {
  /** Of real data: `gaussianOf` its features' moments. */
  readonly reference: Gaussian;
}

/**
 * Biased upwards: compare only numbers from the same n, and read them against `floor`. Throws RangeError with fewer
 * samples (here or in the reference) than twice the dimension; below ten times, the value carries a note.
 */
export function frechet({ reference }: FrechetOptions): Metric<Rows, Moments> {
  const dim = reference.mean.length;
  let fixed: { distance: (b: Gaussian) => number; spread: number } | undefined;
  return {
    name: "frechet",
    better: "lower",
    init: () => noMoments(dim),
    add: addMoments,
    value(state): Measured {
      const notes = [check(state.n, dim, "the samples"), check(reference.n, dim, "the reference")].flat();
      fixed ??= { distance: prepared(reference), spread: spread(reference) };
      const value = fixed.distance(gaussianOf(state));
      return { value, n: state.n, floor: fixed.spread * (1 / state.n + 1 / reference.n), notes };
    },
  };
}

function check(n: number, dim: number, whose: string): string[] {
  if (n < REFUSED_BELOW * dim)
    throw new RangeError(
      `A Fréchet distance in ${dim} dimensions cannot be estimated from ${n} samples (${whose}): at least ${REFUSED_BELOW * dim} are needed, ${FLAGGED_BELOW * dim} for a value without a note. Use more samples or the kernel distance.`,
    );
  if (n >= FLAGGED_BELOW * dim) return [];
  return [`Only ${n} samples for ${dim} dimensions (${whose}): the Fréchet distance is strongly biased upwards.`];
}

/** Zero for an eigenvalue that is negative by rounding. */
function positive(value: number, largest: number): number {
  if (value < -1e-9 * largest) throw new RangeError(`A product of covariances has the negative eigenvalue ${value}.`);
  return Math.max(0, value);
}
