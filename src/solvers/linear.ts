// Solves small dense systems: the Vandermonde equations of multistep weights.

/** w with A w = b, by elimination with row pivoting. @throws RangeError if A is singular (two equal nodes). */
export function solveLinear(a: readonly (readonly number[])[], b: readonly number[]): number[] {
  const rows = a.map((row, i) => [...row, b[i]]);
  const n = b.length;
  for (let c = 0; c < n; c++) {
    let best = c;
    for (let r = c + 1; r < n; r++) if (Math.abs(rows[r][c]) > Math.abs(rows[best][c])) best = r;
    if (rows[best][c] === 0 || !Number.isFinite(rows[best][c])) {
      throw new RangeError("Two evaluations of a multistep solver are at the same time. Expected falling times.");
    }
    [rows[c], rows[best]] = [rows[best], rows[c]];
    for (let r = 0; r < n; r++) {
      if (r === c) continue;
      const factor = rows[r][c] / rows[c][c];
      for (let k = c; k <= n; k++) rows[r][k] -= factor * rows[c][k];
    }
  }
  return rows.map((row, i) => row[n] / row[i]);
}
