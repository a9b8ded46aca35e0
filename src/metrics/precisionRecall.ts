// Improved precision and recall (Kynkäänniemi et al. 2019): manifolds as unions of balls that reach the k-th neighbor.

import { checkDim, type Measured, type Metric, overAll, type Rows } from "./metric.ts";
import { squaredDistance } from "./mmd.ts";

export interface ManifoldOptions {
  /** Real data. For a fair pair of numbers, as many samples as are generated. Work grows with its square. */
  readonly reference: Rows;
  /** Which neighbor the balls reach: 3 in the paper. */
  readonly neighbor?: number;
}

/** The share of samples that lie in the manifold of the reference: how many look real. */
export function precision({ reference, neighbor = 3 }: ManifoldOptions): Metric<Rows> {
  let radii: Float64Array | undefined;
  return overAll("precision", "higher", reference.dim, (sample) => {
    radii ??= neighborRadii(reference, neighbor);
    return share(coverage(sample, reference, radii), sample.n);
  });
}

/** The share of the reference that lies in the manifold of the samples: how much of the data is reached. */
export function recall({ reference, neighbor = 3 }: ManifoldOptions): Metric<Rows> {
  return overAll("recall", "higher", reference.dim, (sample) =>
    share(coverage(reference, sample, neighborRadii(sample, neighbor)), sample.n),
  );
}

/** Squared distance of each point to its k-th nearest other point. Throws RangeError unless there are more than k. */
export function neighborRadii(x: Rows, k: number): Float64Array {
  if (!Number.isInteger(k) || k < 1) throw new RangeError(`The neighbor is number ${k}, expected 1, 2, 3, …`);
  if (x.n <= k) throw new RangeError(`The ${k}. neighbor needs more than ${k} samples in each set, got ${x.n}.`);
  // The k smallest so far of each point, ascending.
  const nearest = new Float64Array(x.n * k).fill(Number.POSITIVE_INFINITY);
  const offer = (i: number, d2: number) => {
    const end = i * k + k - 1;
    if (d2 >= nearest[end]) return;
    let at = end;
    for (; at > i * k && nearest[at - 1] > d2; at--) nearest[at] = nearest[at - 1];
    nearest[at] = d2;
  };
  for (let i = 1; i < x.n; i++)
    for (let j = 0; j < i; j++) {
      const d2 = squaredDistance(x, i, x, j);
      offer(i, d2);
      offer(j, d2);
    }
  return Float64Array.from({ length: x.n }, (_, i) => nearest[i * k + k - 1]);
}

/** The share of points within any ball around a center. `radii` are squared. */
export function coverage(points: Rows, centers: Rows, radii: Float64Array): number {
  checkDim(points, centers.dim);
  let inside = 0;
  for (let i = 0; i < points.n; i++)
    for (let j = 0; j < centers.n; j++)
      if (squaredDistance(points, i, centers, j) <= radii[j]) {
        inside++;
        break;
      }
  return inside / points.n;
}

const share = (value: number, n: number): Measured => ({ value, n, notes: [] });
