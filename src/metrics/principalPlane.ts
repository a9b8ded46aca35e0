// Two directions in which samples differ most: a plane to draw trajectories of any dimension on.

/** Orthonormal rows `first` and `second` [dim] through `center` [dim]. */
export interface Plane {
  readonly center: Float64Array;
  readonly first: Float64Array;
  readonly second: Float64Array;
}

type Values = ArrayLike<number>;

/** The two leading principal directions of rows [n, dim]; points of a plane stay as they are. Deterministic. */
export function principalPlane(rows: Values, dim: number): Plane {
  if (dim < 2 || rows.length < 2 * dim || rows.length % dim !== 0)
    throw new RangeError(
      `A plane through ${rows.length} values of dimension ${dim}. Expected at least two samples of two values or more.`,
    );
  if (dim === 2) return { center: new Float64Array(2), first: Float64Array.of(1, 0), second: Float64Array.of(0, 1) };
  const n = rows.length / dim;
  const center = new Float64Array(dim);
  for (let i = 0; i < rows.length; i++) center[i % dim] += rows[i] / n;
  const first = leading(rows, center);
  return { center, first, second: leading(rows, center, first) };
}

/** Coordinates [n, 2] of rows [n, dim]. */
export function onPlane({ center, first, second }: Plane, rows: Values): Float64Array {
  const dim = center.length;
  const out = new Float64Array((2 * rows.length) / dim);
  for (let i = 0; i < rows.length; i++) {
    const [s, k] = [2 * Math.floor(i / dim), i % dim];
    out[s] += (rows[i] - center[k]) * first[k];
    out[s + 1] += (rows[i] - center[k]) * second[k];
  }
  return out;
}

/** Power iteration on the covariance, orthogonal to `but`. For a picture 100 rounds are plenty. */
function leading(rows: Values, center: Float64Array, but?: Float64Array): Float64Array {
  const dim = center.length;
  let v = Float64Array.from(center, (_, k) => Math.cos(k + 1));
  for (let round = 0; round < 100; round++) {
    const next = new Float64Array(dim);
    for (let at = 0; at < rows.length; at += dim) {
      let along = 0;
      for (let k = 0; k < dim; k++) along += (rows[at + k] - center[k]) * v[k];
      for (let k = 0; k < dim; k++) next[k] += along * (rows[at + k] - center[k]);
    }
    const overlap = but ? next.reduce((sum, x, k) => sum + x * but[k], 0) : 0;
    if (but) for (let k = 0; k < dim; k++) next[k] -= overlap * but[k];
    const length = Math.sqrt(next.reduce((sum, x) => sum + x * x, 0));
    if (length === 0) break; // Samples on a line: one direction across it is as good as another.
    v = next.map((x) => x / length);
  }
  return v;
}
