import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkGrid,
  constant,
  cosine,
  discrete,
  edm,
  edmWeight,
  karrasGrid,
  linear,
  logitNormal,
  logNormalNsr,
  logSnr,
  logSnrGrid,
  minSnr,
  normalCdf,
  normalQuantile,
  quadraticGrid,
  reciprocal,
  shifted,
  shiftedGrid,
  snr,
  snrPlusOne,
  spacedGrid,
  stepsPerWindow,
  stratified,
  table,
  truncatedSnr,
  uniform,
  uniformGrid,
  uniformWindows,
  vp,
  windowGrid,
  windowStart,
  withAtoms,
} from "../../src/core/index.ts";

describe("grids", () => {
  test("fall strictly, have steps + 1 times and exact ends", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 16 }), (steps, count) => {
        const ends = { from: 0.99, to: 0.004 };
        for (const grid of [
          uniformGrid(steps),
          quadraticGrid(steps),
          logSnrGrid(vp(), steps),
          logSnrGrid(table(), steps),
          logSnrGrid(linear(), steps, ends),
          shiftedGrid(steps, 3),
          shiftedGrid(steps, 0.5, ends),
          karrasGrid(edm(), steps),
          karrasGrid(cosine(), steps, ends),
        ]) {
          expect(grid.length).toBe(steps + 1);
          checkGrid(grid);
        }
        expect(logSnrGrid(linear(), steps, ends).at(-1)).toBe(0.004);
        expect(uniformGrid(steps)[0]).toBe(1);
        expect(uniformGrid(steps).at(-1)).toBe(0);
        const total = steps + count;
        const grid = windowGrid(uniformWindows(count), total);
        expect(grid.length).toBe(total + 1);
        for (const edge of uniformWindows(count).edges) expect(grid).toContain(edge);
        for (const spacing of ["leading", "trailing", "linspace"] as const) {
          expect(spacedGrid(spacing, steps).length).toBe(steps + 1);
        }
      }),
    );
  });

  test("values", () => {
    const index = (grid: readonly number[]) => grid.slice(0, -1).map((t) => Math.round(t * 1000) - 1);
    expect(index(spacedGrid("trailing", 4))).toEqual([999, 749, 499, 249]);
    expect(index(spacedGrid("trailing", 25)).slice(0, 2)).toEqual([999, 959]);
    expect(index(spacedGrid("leading", 4, 1000, 1))).toEqual([751, 501, 251, 1]);
    expect(index(spacedGrid("linspace", 4))).toEqual([999, 666, 333, 0]);
    expect(windowGrid(uniformWindows(4), 6)).toEqual([1, 0.875, 0.75, 0.625, 0.5, 0.25, 0]);
    expect(stepsPerWindow(uniformWindows(4), 7)).toEqual([2, 2, 2, 1]);
    // On the edm form a uniform grid is Karras' grid.
    const form = edm();
    uniformGrid(9).forEach((t, i) => {
      expect(karrasGrid(form, 9)[i]).toBeCloseTo(t, 12);
    });
    // A shifted grid of the linear form is a uniform grid of the linear form with that shift.
    shiftedGrid(4, 3).forEach((t, i) => {
      expect(linear().at(t)[1]).toBeCloseTo(linear(3).at(uniformGrid(4)[i])[1], 14);
    });
    const levels = logSnrGrid(vp(), 5).map((t) => logSnr(vp(), t));
    expect(levels[1] - levels[0]).toBeCloseTo(levels[5] - levels[4], 10);
  });

  test("refusals name the values", () => {
    expect(() => windowGrid(uniformWindows(4), 3)).toThrow(/3 steps cannot cover 4 windows/);
    expect(() => checkGrid([1, 0.5, 0.5, 0])).toThrow(/0.5 and 0.5/);
    expect(() => checkGrid([1, 0.2, 0.4])).toThrow(/0.2 and 0.4/);
    expect(() => checkGrid([1.5, 0])).toThrow(/1.5/);
    expect(() => checkGrid([1])).toThrow(/no step/);
    expect(() => uniformGrid(0)).toThrow(/Number of steps is 0/);
    expect(() => logSnrGrid(linear(), 4)).toThrow(/linear.*Infinity/);
    expect(() => shiftedGrid(4, 0)).toThrow(/Shift is 0/);
    expect(() => spacedGrid("trailing", 1001)).toThrow(/1001 steps exceed/);
  });
});

describe("time laws", () => {
  const laws = {
    uniform: uniform(),
    logitNormal: logitNormal({ mean: 0.2, std: 0.8 }),
    shifted: shifted(3),
    discrete: discrete(200),
    edm: logNormalNsr(edm()),
    vp: logNormalNsr(vp(), { mean: 0, std: 1 }),
  };
  test("are monotone, inside (0, 1]", () => {
    for (const law of Object.values(laws)) {
      const times = Array.from(stratified(500, 0.5), law);
      expect(Math.min(...times)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...times)).toBeLessThanOrEqual(1);
      const sorted = [...times].sort((a, b) => a - b);
      expect(times[0] < times[499] ? times : times.reverse()).toEqual(sorted);
    }
  });
  test("values", () => {
    expect(uniform()(0)).toBe(1);
    expect(logitNormal()(0.5)).toBe(0.5);
    for (let i = 0; i < 200; i++) {
      expect(discrete(200)((i + 0.5) / 200)).toBe((200 - i) / 200);
      expect(discrete(1000)(i / 200)).toBe((1000 - 5 * i) / 1000);
    }
    expect(discrete(1000)(1 - 2 ** -53)).toBe(0.001);
    // EDM draws ln sigma from N(-1.2, 1.2²).
    expect(edm().at(laws.edm(0.5))[1]).toBeCloseTo(Math.exp(-1.2), 3);
    expect([...stratified(4, 0.5)]).toEqual([0.125, 0.375, 0.625, 0.875]);
    for (const p of [1e-9, 0.001, 0.3, 0.5, 0.77, 0.9999]) expect(normalCdf(normalQuantile(p)) / p).toBeCloseTo(1, 12);
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12);
    expect(() => normalQuantile(0)).toThrow(RangeError);
  });
  test("one draw falls into each stratum, wherever the offset moves them", () => {
    for (const batch of [1, 3, 8, 48])
      for (const offset of [0, 0.25, 1 - 2 ** -30]) {
        const q = [...stratified(batch, offset)];
        expect(q.map((x) => Math.floor(x * batch))).toEqual(Array.from(q.keys()));
        expect(q.map((x) => x * batch - Math.floor(x * batch))).toEqual(q.map(() => expect.closeTo(offset, 12)));
      }
  });
  test("atoms take their share in equal parts, and the rest follows the law", () => {
    const edges = [1, 0.75, 0.5, 0.25];
    for (const [share, offset] of [
      [0.25, 0.5],
      [0.5, 0],
      [0.5, 0.999],
    ]) {
      const law = withAtoms(share, edges, uniform({ from: 0.1, to: 0.2 }));
      const times = [...stratified(64, offset)].map(law);
      for (const edge of edges) expect(times.filter((t) => t === edge).length).toBe((64 * share) / 4);
      const rest = times.slice(64 * share);
      // The strata of the rest are strata of the law.
      expect(rest).toEqual(rest.map((_, i) => expect.closeTo(0.2 - (0.1 * (i + offset)) / rest.length, 14)));
    }
  });
  test("no share is the law itself, a whole one only atoms, and the law is uniform unless given", () => {
    const q = [0, 0.1, 0.5, 1 - 2 ** -53];
    expect(q.map(withAtoms(0, [0.3], logitNormal()))).toEqual(q.map(logitNormal()));
    expect(q.map(withAtoms(1, [1, 0.5]))).toEqual([1, 1, 0.5, 0.5]);
    expect(withAtoms(0.5, [1])(0.75)).toBe(0.5);
  });
});

test("weights", () => {
  const [form, t] = [linear(), 0.2];
  expect(snr(form, t)).toBeCloseTo(16, 12);
  expect(minSnr()(form, t)).toBe(5);
  expect(truncatedSnr(form, 0.9)).toBe(1);
  expect(snrPlusOne(form, t)).toBeCloseTo(17, 12);
  expect(constant(form, t)).toBe(1);
  expect(edmWeight(0.5)(edm(), edm().tAt(-Math.log(2)))).toBeCloseTo(4.25, 10);
  expect(reciprocal(form, 1)).toBeCloseTo(4.348, 3);
  const q = Array.from({ length: 100000 }, (_, i) => reciprocal(form, (i + 0.5) / 100000));
  expect(q.reduce((a, b) => a + b) / q.length).toBeCloseTo(1.4359, 3);
  const byWindow = windowStart(uniformWindows(4));
  expect([1, 0.7, 0.4, 0.1].map((time) => byWindow(form, time))).toEqual([1.6, 1.2, 0.8, 0.4]);
});
