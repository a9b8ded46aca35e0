// Low-rank approximations: exact where the rank is, as good as singular values allow elsewhere.
import { describe, expect, it } from "vitest";
import { lowRank } from "../../src/diffusers/svd.ts";

let state = 12345;
const random = () => {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return state / 2 ** 30 - 1;
};
/** A product of random factors with singular values that fall as given. */
function matrix(rows: number, columns: number, spread: readonly number[]): Float64Array {
  const a = new Float64Array(rows * columns);
  for (const weight of spread) {
    const [u, v] = [Float64Array.from({ length: rows }, random), Float64Array.from({ length: columns }, random)];
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) a[r * columns + c] += weight * u[r] * v[c];
  }
  return a;
}
function rest(a: Float64Array, rows: number, columns: number, rank: number): number {
  const { left, values, right } = lowRank(a, rows, columns, rank);
  let [lost, all] = [0, 0];
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const x = values.reduce((sum, s, k) => sum + s * left[k][r] * right[k][c], 0);
      lost += (a[r * columns + c] - x) ** 2;
      all += a[r * columns + c] ** 2;
    }
  return Math.sqrt(lost / all);
}

describe("lowRank", () => {
  it.each([
    [6, 6, 3],
    [40, 12, 3],
    [12, 40, 3],
    [120, 90, 5],
    [90, 300, 5],
  ])("%i x %i of rank %i is found exactly", (rows, columns, rank) => {
    const a = matrix(
      rows,
      columns,
      Array.from({ length: rank }, (_, k) => 1 / (k + 1)),
    );
    expect(rest(a, rows, columns, rank)).toBeLessThan(1e-12);
    expect(lowRank(a, rows, columns, rank + 4).values.length).toBe(rank);
    expect(rest(a, rows, columns, rank - 1)).toBeGreaterThan(1e-3);
  });
  it("the error is that of the singular values left out (Eckart and Young)", () => {
    const a = matrix(
      80,
      60,
      Array.from({ length: 60 }, (_, k) => 0.8 ** k),
    );
    const all = lowRank(a, 80, 60, 60).values;
    const energy = all.reduce((sum, s) => sum + s * s, 0);
    for (const rank of [1, 8, 20]) {
      const best = Math.sqrt(all.slice(rank).reduce((sum, s) => sum + s * s, 0) / energy);
      expect(rest(a, 80, 60, rank) / best).toBeGreaterThan(1 - 1e-9);
      expect(rest(a, 80, 60, rank) / best).toBeLessThan(1.01);
    }
    // Norms agree with the matrix's.
    expect(energy).toBeCloseTo(
      a.reduce((sum, x) => sum + x * x, 0),
      8,
    );
  });
  it("zero has no vectors, and sizes must fit", () => {
    expect(lowRank(new Float64Array(200 * 100), 200, 100, 4).values).toEqual([]);
    expect(lowRank(new Float64Array(4), 2, 2, 4).values).toEqual([]);
    expect(() => lowRank(new Float64Array(5), 2, 2, 1)).toThrow(RangeError);
  });
});
