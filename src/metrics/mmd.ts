// Kernel distances: the unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3), by blocks.

import { checkDim, type Measured, type Metric, overAll, type Rows } from "./metric.ts";
import { quantile95 } from "./studentT.ts";

/** k(x, y) of point i of x and point j of y. */
export type Kernel = (x: Rows, i: number, y: Rows, j: number) => number;

/**
 * mean over i ≠ j of k(xi, xj) + the same for y − 2·mean of k(xi, yj). Its expectation is zero for equal distributions,
 * so it may be negative. Throws RangeError for fewer than two points in either set.
 */
export function mmd2(x: Rows, y: Rows, kernel: Kernel): number {
  return within(x, kernel) + within(y, kernel) - 2 * across(x, y, kernel);
}

function across(x: Rows, y: Rows, kernel: Kernel): number {
  checkDim(y, x.dim);
  let sum = 0;
  for (let i = 0; i < x.n; i++) for (let j = 0; j < y.n; j++) sum += kernel(x, i, y, j);
  return sum / (x.n * y.n);
}

function within(x: Rows, kernel: Kernel): number {
  if (x.n < 2) throw new RangeError(`A kernel distance needs at least 2 samples in each set, got ${x.n}.`);
  let sum = 0;
  for (let i = 1; i < x.n; i++) for (let j = 0; j < i; j++) sum += kernel(x, i, x, j);
  return (2 * sum) / (x.n * (x.n - 1));
}

export interface BlockOptions {
  /** Real data, in any order that has nothing to do with its content. */
  readonly reference: Rows;
  /** Samples of the smaller set in one block; work grows in proportion. */
  readonly block?: number;
}

/** Fewer blocks than this are flagged. */
const ENOUGH_BLOCKS = 10;

/**
 * The mean of mmd2 over disjoint blocks of both sets, with the standard error and 95 % interval that the blocks' scatter
 * gives (Zaremba et al. 2013). Nothing is dropped: blocks are equal to within one sample. The order of the samples
 * decides which block they fall in, and so moves the value within its standard error. Between equal distributions a
 * block is more often a little below zero than above, so with few blocks the interval is too short.
 */
export function blockMmd(name: string, kernel: Kernel, { reference, block = 200 }: BlockOptions): Metric<Rows> {
  if (!Number.isInteger(block) || block < 2) throw new RangeError(`A block has ${block} samples, expected at least 2.`);
  const cut = (x: Rows, count: number) => Array.from({ length: count }, (_, b) => part(x, b, count));
  const known = new Map<number, number[]>();
  return overAll(name, "lower", reference.dim, (sample): Measured => {
    const count = Math.max(1, Math.floor(Math.min(sample.n, reference.n) / block));
    const theirs = cut(reference, count);
    const inside = known.get(count) ?? theirs.map((y) => within(y, kernel));
    known.set(count, inside);
    const values = cut(sample, count).map((x, b) => within(x, kernel) + inside[b] - 2 * across(x, theirs[b], kernel));
    const value = values.reduce((sum, v) => sum + v, 0) / count;
    const notes =
      count < ENOUGH_BLOCKS
        ? [`Only ${count} of at least ${ENOUGH_BLOCKS} blocks of ${block} samples: the error is rough or unknown.`]
        : [];
    if (count === 1) return { value, n: sample.n, notes };
    const variance = values.reduce((sum, v) => sum + (v - value) ** 2, 0) / (count - 1);
    const standardError = Math.sqrt(variance / count);
    const reach = quantile95(count - 1) * standardError;
    return { value, n: sample.n, standardError, interval: [value - reach, value + reach], notes };
  });
}

function part(x: Rows, index: number, count: number): Rows {
  const from = Math.floor((x.n * index) / count);
  const to = Math.floor((x.n * (index + 1)) / count);
  return { n: to - from, dim: x.dim, data: x.data.subarray(from * x.dim, to * x.dim) };
}

/** Kernel inception distance (Bińkowski et al. 2018): the kernel (x·y/dim + 1)³. */
export const kid = (options: BlockOptions): Metric<Rows> => blockMmd("kid", cubic, options);

const cubic: Kernel = (x, i, y, j) => (dot(x.data, i * x.dim, y.data, j * y.dim, x.dim) / x.dim + 1) ** 3;

/** Four sums at a time: one alone would wait for each addition. */
function dot(x: Float32Array, p: number, y: Float32Array, q: number, count: number): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  let k = 0;
  for (; k + 3 < count; k += 4) {
    a += x[p + k] * y[q + k];
    b += x[p + k + 1] * y[q + k + 1];
    c += x[p + k + 2] * y[q + k + 2];
    d += x[p + k + 3] * y[q + k + 3];
  }
  for (; k < count; k++) a += x[p + k] * y[q + k];
  return a + b + c + d;
}

/** Energy distance 2E|x − y| − E|x − x′| − E|y − y′| (Székely & Rizzo 2013): the discrepancy with the kernel −|x − y|. */
export const energyDistance = (options: BlockOptions): Metric<Rows> =>
  blockMmd("energy-distance", (x, i, y, j) => -Math.sqrt(squaredDistance(x, i, y, j)), options);

export interface MmdOptions extends BlockOptions {
  /** Widths of Gaussian kernels that are averaged, as multiples of the reference's rms distance from its mean. */
  readonly widths?: readonly number[];
}

/** For points of a plane and other low dimensions: mean over widths w of exp(−|x − y|²/2w²). */
export function gaussianMmd({ widths = [0.05, 0.1, 0.2, 0.5, 1], ...options }: MmdOptions): Metric<Rows> {
  const unit = meanSquare(options.reference);
  const factors = widths.map((w) => -1 / (2 * w * w * unit));
  return blockMmd(
    "gaussian-mmd",
    (x, i, y, j) => {
      const d2 = squaredDistance(x, i, y, j);
      let sum = 0;
      for (const f of factors) sum += Math.exp(f * d2);
      return sum / factors.length;
    },
    options,
  );
}

/** |xi − yj|² */
export function squaredDistance(x: Rows, i: number, y: Rows, j: number): number {
  let sum = 0;
  for (let k = 0, p = i * x.dim, q = j * y.dim; k < x.dim; k++) sum += (x.data[p + k] - y.data[q + k]) ** 2;
  return sum;
}

/** The mean squared distance from the mean. */
export function meanSquare(x: Rows): number {
  let total = 0;
  for (let k = 0; k < x.dim; k++) {
    let mean = 0;
    for (let i = 0; i < x.n; i++) mean += x.data[i * x.dim + k] / x.n;
    for (let i = 0; i < x.n; i++) total += (x.data[i * x.dim + k] - mean) ** 2 / x.n;
  }
  return total;
}
