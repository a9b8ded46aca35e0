// Symmetric matrices in float64, row-major [n, n]: what a Fréchet distance between covariances needs, and no more.

/**
 * A factor B [n, n] with B·Bᵀ = A, for a positive semi-definite A (diagonal pivoting, so a singular A is fine).
 * Throws RangeError if A has a clearly negative direction.
 */
export function factor(a: Float64Array, n: number): Float64Array {
  const rest = Float64Array.from({ length: n }, (_, i) => a[i * n + i]);
  // Rows of `columns` are the columns of B: contiguous to write, and to multiply with later.
  const columns = new Float64Array(n * n);
  const free = new Set(rest.keys());
  const tiny = rest.reduce((max, x) => Math.max(max, x), 0) * n * Number.EPSILON;
  for (let k = 0; k < n; k++) {
    let pivot = -1;
    for (const i of free) if (pivot < 0 || rest[i] > rest[pivot]) pivot = i;
    if (!(rest[pivot] > tiny)) break;
    free.delete(pivot);
    const root = Math.sqrt(rest[pivot]);
    const column = columns.subarray(k * n, k * n + n);
    for (const i of free) column[i] = a[i * n + pivot];
    for (let j = 0; j < k; j++) {
      const earlier = columns.subarray(j * n, j * n + n);
      const scale = earlier[pivot];
      if (scale !== 0) for (let i = 0; i < n; i++) column[i] -= scale * earlier[i];
    }
    for (let i = 0; i < n; i++) column[i] = free.has(i) ? column[i] / root : 0;
    column[pivot] = root;
    for (const i of free) rest[i] -= column[i] * column[i];
  }
  for (const i of free)
    if (!(rest[i] >= -1e3 * tiny))
      throw new RangeError(`A covariance has a negative variance (${rest[i]} left in direction ${i}); expected none.`);
  return transposed(columns, n);
}

export function transposed(a: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) out[j * n + i] = a[i * n + j];
  return out;
}

/** A·B of [n, n] matrices; blocks of B's rows stay in the cache, and four at a time halve the traffic. */
export function product(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const out = new Float64Array(n * n);
  const block = 32;
  for (let first = 0; first < n; first += block) {
    const last = Math.min(n, first + block);
    for (let i = 0; i < n; i++) {
      const row = i * n;
      let k = first;
      for (; k + 3 < last; k += 4) {
        const [w0, w1, w2, w3] = [a[row + k], a[row + k + 1], a[row + k + 2], a[row + k + 3]];
        const from = k * n;
        for (let j = 0; j < n; j++) {
          const at = from + j;
          out[row + j] += w0 * b[at] + w1 * b[at + n] + w2 * b[at + 2 * n] + w3 * b[at + 3 * n];
        }
      }
      for (; k < last; k++) {
        const w = a[row + k];
        for (let j = 0; j < n; j++) out[row + j] += w * b[k * n + j];
      }
    }
  }
  return out;
}

/** The eigenvalues, ascending. Only the lower triangle is read. Householder to tridiagonal, then implicit QL. */
export function eigenvalues(a: Float64Array, n: number): Float64Array {
  const { diagonal, beside } = tridiagonal(Float64Array.from(a), n);
  return qlImplicit(diagonal, beside).sort();
}

/** Golub & Van Loan, algorithm 8.3.1, from the last row upwards so that rows stay contiguous. Overwrites a. */
function tridiagonal(a: Float64Array, n: number): { diagonal: Float64Array; beside: Float64Array } {
  const beside = new Float64Array(n);
  const diagonal = new Float64Array(n);
  const p = new Float64Array(n);
  for (let i = n - 1; i > 0; i--) {
    const u = a.subarray(i * n, i * n + i);
    let scale = 0;
    for (let k = 0; k < i; k++) scale += Math.abs(u[k]);
    if (i === 1 || scale === 0) {
      beside[i] = u[i - 1];
      diagonal[i] = a[i * n + i];
      continue;
    }
    let h = 0;
    for (let k = 0; k < i; k++) {
      u[k] /= scale;
      h += u[k] * u[k];
    }
    const g = u[i - 1] >= 0 ? -Math.sqrt(h) : Math.sqrt(h);
    beside[i] = scale * g;
    diagonal[i] = a[i * n + i];
    h -= u[i - 1] * g;
    u[i - 1] -= g;
    // p = A·u from the lower triangle: each row serves as a row and as a column.
    p.fill(0, 0, i);
    for (let j = 0; j < i; j++) {
      const from = j * n;
      const uj = u[j];
      let sum = 0;
      for (let k = 0; k < j; k++) {
        const x = a[from + k];
        sum += x * u[k];
        p[k] += x * uj;
      }
      p[j] += sum + a[from + j] * uj;
    }
    let dot = 0;
    for (let j = 0; j < i; j++) {
      p[j] /= h;
      dot += p[j] * u[j];
    }
    const half = dot / (2 * h);
    for (let j = 0; j < i; j++) p[j] -= half * u[j];
    for (let j = 0; j < i; j++) {
      const from = j * n;
      const uj = u[j];
      const pj = p[j];
      for (let k = 0; k <= j; k++) a[from + k] -= uj * p[k] + pj * u[k];
    }
  }
  diagonal[0] = a[0];
  return { diagonal, beside };
}

/** Eigenvalues of a tridiagonal matrix: `beside[i]` joins i - 1 and i. Overwrites and returns the diagonal. */
function qlImplicit(d: Float64Array, beside: Float64Array): Float64Array {
  const n = d.length;
  const e = new Float64Array(n);
  e.set(beside.subarray(1));
  for (let l = 0; l < n; l++) {
    for (let sweep = 0; ; sweep++) {
      let m = l;
      while (m < n - 1 && Math.abs(e[m]) > Number.EPSILON * (Math.abs(d[m]) + Math.abs(d[m + 1]))) m++;
      if (m === l) break;
      if (sweep === 60 || !Number.isFinite(d[l]))
        throw new RangeError(`Eigenvalue ${l} of ${n} did not converge; does the matrix hold infinities or NaN?`);
      let g = (d[l + 1] - d[l]) / (2 * e[l]);
      g = d[m] - d[l] + e[l] / (g + (g >= 0 ? 1 : -1) * Math.hypot(g, 1));
      let [s, c, shift] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i];
        const b = c * e[i];
        const r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1] -= shift;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - shift;
        const t = (d[i] - g) * s + 2 * c * b;
        shift = s * t;
        d[i + 1] = g + shift;
        g = c * t - b;
      }
      if (i >= l) continue;
      d[l] -= shift;
      e[l] = g;
      e[m] = 0;
    }
  }
  return d;
}
