import { afterAll, expect, test } from "vitest";
import { linear, uniformGrid, velocity } from "../../src/core/index.ts";
import { constant, mul } from "../../src/graph/index.ts";
import { addMoments, frechet, gaussianOf, noMoments, rows } from "../../src/metrics/index.ts";
import type { Params } from "../../src/nn/params.ts";
import { key, normal } from "../../src/random.ts";
import type { NetModel } from "../../src/recipes/recipe.ts";
import { endsOf, evaluate } from "../../src/run/evaluate.ts";
import { sampler } from "../../src/run/sample.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { ddim } from "../../src/solvers/index.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const none: Params = () => {
  throw new Error("No parameters are needed.");
};
/** dx/dt = -x: from t = 1 to 0 the state grows by e, and in N Euler steps by (1 + 1/N)^N. */
const growing: NetModel = {
  form: linear(),
  prediction: velocity,
  sampleShape: [2],
  conditions: {},
  apply: (_, x) => mul(x, constant(-1)),
};

test("the endpoint distance is the closed form, the Fréchet distance that of the growth", async () => {
  const ready = await sampler(growing, none, runtime, 64);
  const shared = { n: 2000, seed: 1, solver: ddim() };
  const ends = await endsOf(ready, { ...shared, times: uniformGrid(1) });
  const reference = gaussianOf(addMoments(noMoments(2), rows(normal(key(9), 200_000), 2)));
  const seen = [];
  const event = {
    ...shared,
    grids: [uniformGrid(1), uniformGrid(4)],
    ends,
    features: { name: "samples", dim: 2, apply: async (x: Float32Array) => x },
    metrics: [frechet({ reference })],
  };
  for await (const one of evaluate(ready, event)) seen.push(one);
  await ready.dispose();
  expect(seen.map(({ steps, nfe }) => [steps, nfe])).toEqual([
    [1, 1],
    [4, 4],
  ]);
  expect(seen[0].values.endpoint.value).toBe(0);
  const rms = Math.sqrt(ends.reduce((sum, v) => sum + (v / 2) ** 2, 0) / ends.length);
  expect(seen[1].values.endpoint.value).toBeCloseTo((1.25 ** 4 - 2) * rms, 5);
  // N(0, g²) against N(0, 1) in two dimensions: 2 (g - 1)². Moments of 2,000 samples are good to a few percent.
  expect(seen[0].values.frechet.value / 2).toBeCloseTo(1, 0);
  expect(seen[1].values.frechet.value / (2 * (1.25 ** 4 - 1) ** 2)).toBeCloseTo(1, 1);
  expect(seen[1].seconds).toBeGreaterThan(0);
  expect(seen[1].shown.length).toBe(128);
});

test("a Fréchet distance from too few samples is refused in words, the rest is measured", async () => {
  const ready = await sampler(growing, none, runtime, 2);
  const reference = gaussianOf(addMoments(noMoments(2), rows(normal(key(9), 200), 2)));
  const features = { name: "samples", dim: 2, apply: async (x: Float32Array) => x };
  const shared = { n: 3, seed: 1, solver: ddim() };
  const ends = await endsOf(ready, { ...shared, times: uniformGrid(2) });
  const options = { ...shared, grids: [uniformGrid(1)], ends, features, metrics: [frechet({ reference })] };
  for await (const { values, notes } of evaluate(ready, options)) {
    expect(Object.keys(values)).toEqual(["endpoint"]);
    expect(notes.join()).toMatch(/cannot be estimated from 3 samples/);
  }
  const short = evaluate(ready, { ...options, ends: ends.subarray(2) });
  await expect(short.next()).rejects.toThrow(/2 ends of the teacher for 3 samples/);
  await ready.dispose();
});
