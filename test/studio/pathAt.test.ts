import { expect, it } from "vitest";
import { chord, cosine, linear, uniformWindows } from "../../src/core/index.ts";
import { pathTimes, statesAt, stepOf, windowOf } from "../../studio/src/lib/pathAt.ts";

/** States of one pair (x0, eps) on a form: what a first-order sampler passes through. */
const run = (form: ReturnType<typeof cosine>, times: readonly number[], x0 = [0.3, -1.2], eps = [1.5, 0.4]) => ({
  form,
  times,
  states: times.map((t) => Float32Array.from(x0, (x, k) => form.at(t)[0] * x + form.at(t)[1] * eps[k])),
});

it("is the form's own path between two states", () => {
  const form = cosine();
  const made = run(form, [1, 0.5, 0]);
  for (const t of [0.99, 0.7, 0.5, 0.31, 0.02]) {
    const [alpha, sigma] = form.at(t);
    const [x, y] = statesAt(made, t);
    expect(x).toBeCloseTo(alpha * 0.3 + sigma * 1.5, 5);
    expect(y).toBeCloseTo(alpha * -1.2 + sigma * 0.4, 5);
  }
});

it("is straight on a chord, and not on its base", () => {
  const windows = uniformWindows(2);
  const straight = run(chord(cosine(), windows), windows.edges);
  const middle = statesAt(straight, 0.75);
  for (const k of [0, 1]) expect(middle[k]).toBeCloseTo((straight.states[0][k] + straight.states[1][k]) / 2, 5);
  const bent = statesAt(run(cosine(), [1, 0]), 0.5);
  expect(Math.abs(bent[0] - (1.5 + 0.3) / 2)).toBeGreaterThan(0.2);
});

it("rests before the first time and after the last, and writes into what it is given", () => {
  const made = run(linear(), [0.9, 0.1]);
  expect(statesAt(made, 1)).toBe(made.states[0]);
  expect(statesAt(made, 0)).toBe(made.states[1]);
  const out = new Float32Array(2);
  expect(statesAt(made, 0.5, out)).toBe(out);
  expect(statesAt(made, 0.5, new Float32Array(4))).toHaveLength(2);
});

it("knows the step and the window of a time", () => {
  expect([1, 0.8, 0.5, 0.2, 0].map((t) => stepOf([1, 0.5, 0], t))).toEqual([0, 0, 1, 1, 1]);
  const { edges } = uniformWindows(4);
  expect([1, 0.76, 0.75, 0.5, 0.26, 0.25, 0].map((t) => windowOf(edges, t))).toEqual([0, 0, 1, 2, 2, 3, 3]);
});

it("has every state among the times of a drawn path", () => {
  const times = [1, 0.75, 0.5, 0.25, 0];
  const path = pathTimes(times, 48);
  expect(path).toHaveLength(49);
  for (const t of times) expect(path).toContain(t);
  expect(path.every((t, i) => i === 0 || t < path[i - 1])).toBe(true);
});
