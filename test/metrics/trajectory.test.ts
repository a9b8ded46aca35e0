// Closed forms for Gaussian data, first-order paths as the zero, and crossing paths as the negative control.
import { describe, expect, test } from "vitest";
import {
  chord,
  cosine,
  eps,
  type Form,
  linear,
  logSnrGrid,
  type Prediction,
  quadraticGrid,
  table,
  uniformGrid,
  uniformWindows,
  velocity,
  vPrediction,
  vp,
  windowGrid,
} from "../../src/core/index.ts";
import { onPlane, principalPlane } from "../../src/metrics/principalPlane.ts";
import { type Path, pathReport } from "../../src/metrics/trajectory.ts";
import { ddim, integrate } from "../../src/solvers/index.ts";
import { type Gaussian, gaussianDenoiser, gaussianFlow } from "../oracle/gaussian.ts";

const data: Gaussian = { mean: 0.5, std: 0.3 };

/** The exact trajectories of standard scores ±1 in time: E over a Gaussian is the value at score 1. */
function exactPath(form: Form, prediction: Prediction, times: readonly number[], source = data): Path {
  const [alpha, sigma] = form.at(times[0]);
  const starts = [1, -1].map((xi) => alpha * source.mean + Math.hypot(alpha * source.std, sigma) * xi);
  const states = times.map((t) => Float64Array.from(starts, (x) => gaussianFlow(source, form, x, times[0], t)));
  return {
    form,
    prediction,
    times,
    states,
    dim: 1,
    predict: gaussianDenoiser<Float64Array>(source, form, prediction) as Path["predict"],
  };
}

describe("straightness of the flow of independent coupling", () => {
  test.each([
    [0.1, 0.0429204],
    [0.3, 0.1287611],
    [1, 0.4292037],
    [2, 0.8584073],
  ])("std %d: s(2 - π/2)", async (std, s) => {
    const { whole } = await pathReport(exactPath(linear(), velocity, uniformGrid(2000), { mean: 0.5, std }));
    expect(whole.straightness).toBeCloseTo(s, 5);
    expect(whole.straightness).toBeCloseTo(std * (2 - Math.PI / 2), 5);
    const distance = 0.5 ** 2 + (1 - std) ** 2; // E|z1 - z0|² of scores ±1
    expect(whole.relativeStraightness).toBeCloseTo(whole.straightness / distance, 9);
    expect(whole.firstOrder).toBeNull();
  });
  test("is the same in every form", async () => {
    const values: number[] = [];
    for (const form of [linear(), vp(), cosine(), table()]) {
      const [from, to] = [form.tAt(-2), form.tAt(2.5)];
      values.push(
        (await pathReport(exactPath(form, vPrediction, logSnrGrid(form, 3000, { from, to })))).whole.straightness,
      );
    }
    for (const value of values) expect(value).toBeCloseTo(values[0], 6);
  });
});

describe("first-orderness of the Gaussian teacher on [0, R]", () => {
  test.each([
    [1, 0.1016175265],
    [4.0817294, 0.0298115492],
    [14.6146412, 0.008673657],
    [25.1461148, 0.0050742459],
    [0.5, 0.1603104827],
  ])("R = %d", async (top, expected) => {
    const from = top / (1 + top);
    const { whole } = await pathReport(exactPath(linear(), velocity, quadraticGrid(8000, { from, to: 0 })));
    // FO_r is a ratio over E of a unit score about the mean, so the mean of the data must not enter: y's mean is constant.
    expect(whole.firstOrder).not.toBeNull();
    expect(Math.abs((whole.firstOrder ?? 0) - expected)).toBeLessThan(2e-6);
  });

  test("at the trailing indices: exact trajectory, and DDIM's own", async () => {
    const form = table();
    const rows = [
      [4, 0.0011716429, 0.0021999658],
      [8, 0.0046162649, 0.0064788725],
      [25, 0.0130738731, 0.0146239824],
    ];
    for (const [steps, exact, own] of rows) {
      const times = uniformGrid(steps);
      const path = exactPath(form, eps, times);
      expect((await pathReport(path)).whole.firstOrderSteps).toBeCloseTo(exact, 9);
      const states = [path.states[0]];
      await integrate(ddim(), {
        form,
        prediction: eps,
        times,
        x: path.states[0] as Float64Array,
        predict: gaussianDenoiser<Float64Array>(data, form, eps),
        onStep: ({ x }) => states.push(x),
      });
      expect((await pathReport({ ...path, states })).whole.firstOrderSteps).toBeCloseTo(own, 9);
    }
  });
});

describe("a first-order path is zero in every number", () => {
  const ideal = (form: Form) => async (x: Float32Array | Float64Array, t: number) => {
    const [alpha, sigma] = form.at(t);
    return x.map((value) => (value - alpha * data.mean) / (alpha * data.std + sigma));
  };
  test.each(
    [table(), vp(), linear(), cosine()].map((form) => [form.name, form] as const),
  )("%s", async (_name, form) => {
    const times = uniformGrid(12, { from: 0.99, to: 0.01 });
    const states = times.map((t) =>
      Float64Array.of(...[1, -1, 0.4].map((xi) => form.at(t)[0] * (data.mean + data.std * xi) + form.at(t)[1] * xi)),
    );
    const { whole } = await pathReport({ form, prediction: eps, times, states, dim: 1, predict: ideal(form) });
    for (const value of [
      whole.straightness,
      whole.firstOrder,
      whole.firstOrderSteps,
      whole.drift,
      whole.gap,
      whole.curvature.excess,
      whole.curvature.bow,
      whole.curvature.turning,
    ]) {
      expect(Math.abs(value ?? 1)).toBeLessThan(1e-7);
    }
  });
});

describe("windows", () => {
  test("an ideal PeRFlow student is first order inside every window, and not as a whole", async () => {
    const form = table();
    const windows = uniformWindows(4);
    const straight = chord(form, windows);
    const times = windowGrid(windows, 32);
    const teacher = (xi: number, t: number) =>
      form.at(t)[0] * data.mean + Math.hypot(form.at(t)[0] * data.std, form.at(t)[1]) * xi;
    const at = (xi: number, t: number) => {
      if (t === 0) return teacher(xi, 0);
      const { start, end } = windows.of(t);
      const q = (t - start) / (end - start);
      return (1 - q) * teacher(xi, start) + q * teacher(xi, end);
    };
    const states = times.map((t) => Float64Array.of(at(1, t), at(-1, t)));
    const c = [0.9992470164, 0.9932546642, 0.9625213591, 0.6835783651];
    // At a state that two windows share, the student answers for the one it starts; the window before it ends with its own answer.
    const predict = async (_x: unknown, t: number) => {
      const k = t === 0 ? 3 : windows.of(t).index;
      return Float64Array.of(c[k], -c[k]);
    };
    const { whole, windows: parts } = await pathReport(
      { form: straight, prediction: eps, times, states, dim: 1, predict },
      windows,
    );
    expect(parts.length).toBe(4);
    for (const [k, part] of parts.entries()) {
      expect(part.from).toBe(windows.edges[k]);
      expect(part.firstOrderSteps).toBeLessThan(1e-15);
      expect(part.curvature.excess).toBeLessThan(1e-12);
    }
    expect(whole.firstOrderSteps).toBeGreaterThan(0.01);
  });
  test("an edge off the grid is refused", async () => {
    const path = exactPath(linear(), velocity, uniformGrid(3));
    await expect(pathReport(path, uniformWindows(2))).rejects.toThrow(/window edge 0.5 is not a time/);
  });
});

test("the variation along a path has FO_N as its mean, and is lowest where the prediction is the mean", async () => {
  const { whole } = await pathReport(exactPath(table(), eps, uniformGrid(8)));
  expect(whole.variation.map(({ t }) => t)).toEqual(uniformGrid(8).slice(0, -1));
  expect(whole.variation.reduce((sum, { value }) => sum + value, 0) / 8).toBeCloseTo(whole.firstOrderSteps, 14);
  expect(whole.variation[7].value).toBe(Math.max(...whole.variation.map(({ value }) => value)));
});

test("samples are drawn on the plane in which they differ most", () => {
  // Spread 5 along e1 + e4, 2 along e2, 0.1 along the rest.
  const corners = [-1, 1].flatMap((a) => [-1, 1].flatMap((b) => [-1, 1].map((c) => [a, b, c])));
  const rows = Float64Array.from(corners.flatMap(([a, b, c]) => [5 * a + 1, 2 * b, 0.1 * c, 5 * a]));
  const plane = principalPlane(rows, 4);
  const half = Math.SQRT1_2;
  [half, 0, 0, half].forEach((x, k) => {
    expect(Math.abs(plane.first[k])).toBeCloseTo(x, 9);
  });
  expect(Math.abs(plane.second[1])).toBeCloseTo(1, 9);
  const points = onPlane(plane, rows);
  expect(points).toHaveLength(16);
  points.forEach((x, k) => {
    expect(Math.abs(x)).toBeCloseTo(k % 2 === 0 ? 5 / half : 2, 9);
  });
  expect([...onPlane(principalPlane(rows, 2), rows)]).toEqual([...rows]);
  expect(() => principalPlane(rows.subarray(0, 4), 4)).toThrow(/4 values of dimension 4/);
});

test("curvature of a right angle in the plane", async () => {
  // In the linear form z = x: a path (0,0) -> (1,0) -> (1,1).
  const times = [1, 0.5, 0];
  const states = [Float64Array.of(0, 0, 5, 5), Float64Array.of(1, 0, 6, 6), Float64Array.of(1, 1, 8, 8)];
  const predict = async (x: Float32Array | Float64Array) => x.map((value, k) => value + k);
  const { whole } = await pathReport({ form: linear(), prediction: velocity, times, states, dim: 2, predict });
  expect(whole.curvature.excess).toBeCloseTo((2 / Math.SQRT2 - 1) / 2, 12);
  expect(whole.curvature.bow).toBeCloseTo(0.25, 12);
  expect(whole.curvature.turning).toBeCloseTo(Math.PI / 4, 12);
});

test("refusals name the values", async () => {
  const path = exactPath(linear(), velocity, uniformGrid(4));
  await expect(pathReport({ ...path, states: path.states.slice(1) })).rejects.toThrow(/4 states at 5 times/);
  await expect(pathReport({ ...path, dim: 3 })).rejects.toThrow(/2 values. Expected a multiple of 3/);
  await expect(pathReport({ ...path, prediction: eps, predict: async (x) => x })).rejects.toThrow(
    /eps on the form linear at t = 1/,
  );
  const same = { ...path, states: path.states.map((s) => s.map(() => s[0])) };
  await expect(pathReport(same)).rejects.toThrow(/endpoints are equal/);
});
