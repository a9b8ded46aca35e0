import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { tickWindows, uniformWindows, windowsFromSpec } from "../../src/core/index.ts";

describe("membership by integers, K = 1..64", () => {
  test("every lattice time n/N is in the window integers say, however it was computed", () => {
    for (let count = 1; count <= 64; count++) {
      const windows = uniformWindows(count);
      expect(windows.edges.length).toBe(count + 1);
      for (const lattice of [1000, 200, count, 7 * count]) {
        for (let n = 1; n <= lattice; n++) {
          // t in (end, start] with start = (count - index)/count  <=>  index = count - ceil(n·count/lattice)
          const index = count - Math.ceil((n * count) / lattice - 1e-12);
          const exact = count - Number((BigInt(n) * BigInt(count) + BigInt(lattice) - 1n) / BigInt(lattice));
          expect(index).toBe(exact);
          for (const t of [n / lattice, n * (1 / lattice), 1 - (lattice - n) / lattice]) {
            const found = windows.of(t);
            if (found.index !== exact)
              throw new Error(`K = ${count}: ${n}/${lattice} = ${t} in ${found.index}, not ${exact}`);
          }
        }
      }
      windows.edges.slice(0, -1).forEach((edge, i) => {
        expect(windows.of(edge)).toEqual({ index: i, start: edge, end: windows.edges[i + 1] });
      });
    }
  });

  test("property: end < t <= start", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.double({ min: 1e-6, max: 1, noNaN: true }), (count, t) => {
        const { index, start, end } = uniformWindows(count).of(t);
        expect(index).toBeGreaterThanOrEqual(0);
        expect(index).toBeLessThan(count);
        expect(t).toBeGreaterThan(end - 1e-10);
        expect(t).toBeLessThanOrEqual(start + 1e-10);
      }),
    );
  });

  test("naive float comparison does misplace edges (negative control)", () => {
    const misplaced = [6, 7, 10].filter((count) => {
      const width = 1 / count;
      return Array.from({ length: count - 1 }, (_, i) => i + 1).some((i) => {
        const [edge, end] = [1 - i * width, (count - i) / count];
        return edge !== end;
      });
    });
    expect(misplaced.length).toBeGreaterThan(0);
  });
});

test("windows between ticks (PCM edges)", () => {
  const windows = tickWindows(1000, [1000, 740, 500, 240, 0]);
  expect(windows.of(0.74).index).toBe(1);
  expect(windows.of(0.741).index).toBe(0);
  expect(windows.of(0.24).start).toBe(0.24);
  expect(windowsFromSpec(JSON.parse(JSON.stringify(windows.spec))).edges).toEqual(windows.edges);
});

test("refusals", () => {
  expect(() => uniformWindows(4).of(0)).toThrow(/Time 0 is in no window/);
  expect(() => uniformWindows(4).of(1.1)).toThrow(/1.1/);
  expect(() => uniformWindows(0)).toThrow(/Number of windows is 0/);
  expect(() => uniformWindows(2.5)).toThrow(/2.5/);
  expect(() => tickWindows(10, [10, 5, 5, 0])).toThrow(/falling/);
});
