// The best approximation of a matrix by one of low rank. Randomized range finder with power iterations (Halko, Martinsson,
// Tropp 2011, algorithms 4.4 and 5.1), then one-sided Jacobi on what is left; all sums in float64.

export interface LowRank {
  /** Column by column: vectors of `rows` values. */
  readonly left: readonly Float64Array[];
  /** Falling. */
  readonly values: readonly number[];
  /** Vectors of `columns` values. */
  readonly right: readonly Float64Array[];
}

const OVERSAMPLING = 8;
const POWER_ITERATIONS = 2;

/** `a`: row-major [rows, columns]. Fewer vectors where the matrix has a lower rank. The same input gives the same bits. */
export function lowRank(a: Float32Array | Float64Array, rows: number, columns: number, rank: number): LowRank {
  if (a.length !== rows * columns)
    throw new RangeError(`A matrix of ${rows} x ${columns} has ${rows * columns} values, got ${a.length}.`);
  const least = Math.min(rows, columns);
  const width = Math.min(least, rank + OVERSAMPLING);
  if (width === least) {
    const tall = rows >= columns;
    const found = jacobi(vectors(a, rows, columns, tall));
    const cut = {
      left: found.left.slice(0, rank),
      values: found.values.slice(0, rank),
      right: found.right.slice(0, rank),
    };
    return tall ? cut : { left: cut.right, values: cut.values, right: cut.left };
  }
  let state = 0x9e3779b9;
  const random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  };
  let right: Float64Array[] = Array.from({ length: width }, () => Float64Array.from({ length: columns }, random));
  let basis = orthonormal(right.map((v) => times(a, rows, columns, v)));
  for (let i = 0; i < POWER_ITERATIONS; i++) {
    right = orthonormal(timesTransposed(a, rows, columns, basis));
    basis = orthonormal(right.map((v) => times(a, rows, columns, v)));
  }
  // B = Qᵀ A has few rows; its transpose is tall: B^T = V S W^T, so A ~ (Q W) S V^T.
  const small = jacobi(timesTransposed(a, rows, columns, basis));
  const kept = Math.min(rank, small.values.length);
  const left = small.right.slice(0, kept).map((w) => combine(basis, w));
  return { left, values: small.values.slice(0, kept), right: small.left.slice(0, kept) };
}

/** An orthonormal basis of the span: Gram-Schmidt, twice. Vectors that add nothing are dropped. */
export function orthonormal(given: readonly Float64Array[]): Float64Array[] {
  const basis: Float64Array[] = [];
  for (const v of given) {
    const start = Math.sqrt(dot(v, v));
    const rest = v.slice();
    for (let pass = 0; pass < 2; pass++)
      for (const q of basis) {
        const part = dot(q, rest);
        for (let i = 0; i < rest.length; i++) rest[i] -= part * q[i];
      }
    const norm = Math.sqrt(dot(rest, rest));
    if (norm > 1e-10 * start && norm > 0) basis.push(rest.map((x) => x / norm));
  }
  return basis;
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** A v. */
export function times(a: Float32Array | Float64Array, rows: number, columns: number, v: Float64Array): Float64Array {
  const out = new Float64Array(rows);
  for (let r = 0, at = 0; r < rows; r++) {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += a[at++] * v[c];
    out[r] = sum;
  }
  return out;
}

/** Aᵀ v for several v, row by row of A. */
export function timesTransposed(
  a: Float32Array | Float64Array,
  rows: number,
  columns: number,
  vs: readonly Float64Array[],
): Float64Array[] {
  return vs.map((v) => {
    const out = new Float64Array(columns);
    for (let r = 0, at = 0; r < rows; r++) {
      const factor = v[r];
      for (let c = 0; c < columns; c++) out[c] += factor * a[at++];
    }
    return out;
  });
}

const combine = (basis: readonly Float64Array[], weights: Float64Array): Float64Array => {
  const out = new Float64Array(basis[0].length);
  basis.forEach((q, k) => {
    for (let i = 0; i < out.length; i++) out[i] += weights[k] * q[i];
  });
  return out;
};

function vectors(a: Float32Array | Float64Array, rows: number, columns: number, ofColumns: boolean): Float64Array[] {
  return Array.from({ length: ofColumns ? columns : rows }, (_, k) =>
    Float64Array.from({ length: ofColumns ? rows : columns }, (_, i) =>
      ofColumns ? a[i * columns + k] : a[k * columns + i],
    ),
  );
}

/** One-sided Jacobi (Hestenes): turns columns until they are orthogonal. `columns`: at most as many as they are long. */
function jacobi(columns: readonly Float64Array[]): LowRank {
  const u = columns.map((c) => c.slice());
  const n = u.length;
  const v = Array.from({ length: n }, (_, k) => {
    const e = new Float64Array(n);
    e[k] = 1;
    return e;
  });
  for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
    turned = false;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        const [alpha, beta, gamma] = [dot(u[p], u[p]), dot(u[q], u[q]), dot(u[p], u[q])];
        if (gamma === 0 || Math.abs(gamma) <= 1e-15 * Math.sqrt(alpha * beta)) continue;
        turned = true;
        const zeta = (beta - alpha) / (2 * gamma);
        const t = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const c = 1 / Math.hypot(1, t);
        turn(u[p], u[q], c, c * t);
        turn(v[p], v[q], c, c * t);
      }
  }
  const norms = u.map((x) => Math.sqrt(dot(x, x)));
  const largest = Math.max(0, ...norms);
  const order = norms.map((_, i) => i).filter((i) => norms[i] > 1e-14 * largest);
  order.sort((a, b) => norms[b] - norms[a]);
  return {
    left: order.map((i) => u[i].map((x) => x / norms[i])),
    values: order.map((i) => norms[i]),
    right: order.map((i) => Float64Array.from(v[i])),
  };
}

function turn(p: Float64Array, q: Float64Array, c: number, s: number): void {
  for (let i = 0; i < p.length; i++) {
    const [x, y] = [p[i], q[i]];
    p[i] = c * x - s * y;
    q[i] = s * x + c * y;
  }
}
