import { afterAll, expect, test } from "vitest";
import {
  chord,
  eps,
  linear,
  startScale,
  table,
  uniformGrid,
  uniformWindows,
  ve,
  velocity,
} from "../../src/core/index.ts";
import { constant, mul } from "../../src/graph/index.ts";
import type { Params } from "../../src/nn/params.ts";
import { fold, key, normal } from "../../src/random.ts";
import type { NetModel } from "../../src/recipes/recipe.ts";
import { shardCount, teacherPairs } from "../../src/run/pairs.ts";
import { sample, sampleAll, sampler, samplingGrid } from "../../src/run/sample.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { ddim, heun } from "../../src/solvers/index.ts";
import { tinyModel } from "./helpers.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const worst = (a: Float32Array, b: Float32Array) => a.reduce((m, v, i) => Math.max(m, Math.abs(v - b[i])), 0);

test("samples do not depend on the batch, and a later part is the same as a part of the whole", async () => {
  const { model, params } = tinyModel(linear(), velocity, 3);
  const small = await sampler(model, params, runtime, 3);
  const large = await sampler(model, params, runtime, 8);
  const options = { n: 10, seed: 4, solver: ddim(), times: uniformGrid(4) };
  const a = await sampleAll(small, options);
  const b = await sampleAll(large, options);
  const tail = await sampleAll(large, { ...options, n: 4, from: 6 });
  await small.dispose();
  await large.dispose();
  expect(a.start).toEqual(b.start);
  expect(a.start.subarray(2, 4)).toEqual(normal(fold(key(4), "sample", 1), 2));
  // Matrix products of other sizes may round differently in the last bit.
  expect(worst(a.x, b.x)).toBeLessThan(1e-6);
  expect(worst(tail.x, b.x.subarray(12))).toBeLessThan(1e-6);
  expect([...(a.cond.labels as BigInt64Array)]).toEqual([0n, 1n, 2n, 0n, 1n, 2n, 0n, 1n, 2n, 0n]);
  expect(tail.cond.labels[0]).toBe(0n);
  expect(worst(a.x, a.start)).toBeGreaterThan(0.05);
});

test("the program computes what the solver says: Euler by hand on x' = -x", async () => {
  const model: NetModel = {
    form: linear(),
    prediction: velocity,
    sampleShape: [2],
    conditions: {},
    apply: (_, x) => mul(x, constant(-1)),
  };
  const none: Params = () => {
    throw new Error("No parameters are needed.");
  };
  const ready = await sampler(model, none, runtime, 2);
  const { x, start, nfe, states } = await sampleAll(ready, {
    n: 2,
    seed: 0,
    solver: ddim(),
    times: uniformGrid(4),
    keepStates: true,
  });
  const twice = await sampleAll(ready, { n: 2, seed: 0, solver: heun, times: uniformGrid(4) });
  await ready.dispose();
  // dx = -x dt, four steps of dt = -1/4: each multiplies by 1 + 1/4.
  expect(
    worst(
      x,
      start.map((v) => v * 1.25 ** 4),
    ),
  ).toBeLessThan(1e-5);
  expect(nfe).toBe(4);
  expect(twice.nfe).toBe(8);
  expect(states).toHaveLength(5);
  expect(states?.[0]).toEqual(start);
  expect(states?.[4]).toEqual(x);
});

test("guidance is counted, and changes samples; a class is used for all", async () => {
  const { model, params } = tinyModel(linear(), velocity, 3);
  const plain = await sampler(model, params, runtime, 4);
  const strong = await sampler(model, params, runtime, 4, { guidance: 3 });
  const options = { n: 4, seed: 1, solver: ddim(), times: uniformGrid(2), label: 2 };
  const [a, b] = [await sampleAll(plain, options), await sampleAll(strong, options)];
  const none = await sampleAll(strong, { ...options, label: 3 });
  const noneP = await sampleAll(plain, { ...options, label: 3 });
  await expect(sampleAll(plain, { ...options, label: 4 })).rejects.toThrow(/Class 4 was asked for, expected 0 to 3/);
  await plain.dispose();
  await strong.dispose();
  expect([a.nfe, b.nfe]).toEqual([2, 4]);
  expect([...(a.cond.labels as BigInt64Array)]).toEqual([2n, 2n, 2n, 2n]);
  expect(worst(a.x, b.x)).toBeGreaterThan(1e-3);
  expect(worst(none.x, noneP.x), "no class: both parts of guidance are equal").toBeLessThan(1e-5);
  const free = tinyModel(linear());
  await expect(sampler(free.model, free.params, runtime, 2, { guidance: 2 })).rejects.toThrow(/Guidance 2 needs/);
});

test("the start: sigma(1) noise, but pure noise for a table and its chord", () => {
  const stable = table({});
  expect(stable.at(1)[1]).toBeLessThan(0.999);
  expect(startScale(stable, 1)).toBe(1);
  expect(startScale(chord(stable, uniformWindows(4)), 1)).toBe(1);
  expect(startScale(ve({ sigmaMax: 50 }), 1)).toBeCloseTo(50, 10);
  expect(startScale(linear(), 1)).toBe(1);
});

test("grids: windows from the card or the form; fewer steps than windows are refused with both numbers", () => {
  const windows = uniformWindows(4);
  const inWindows = { kind: "windows", windows: windows.spec } as const;
  expect(samplingGrid(table({}), inWindows, 4, eps)).toEqual([1, 0.75, 0.5, 0.25, 0]);
  expect(samplingGrid(chord(table({}), windows), { kind: "uniform" }, 8, eps)).toHaveLength(9);
  expect(() => samplingGrid(table({}), inWindows, 3, eps)).toThrow(/3 steps cannot cover 4 windows/);
  expect(samplingGrid(linear(), { kind: "uniform" }, 2, velocity)).toEqual([1, 0.5, 0]);
  expect(samplingGrid(linear(), { kind: "uniform" }, 2, eps)[0], "eps says nothing at alpha = 0").toBe(0.99);
});

test("progress counts sample-steps; a sample that is not finite is an error", async () => {
  const { model, params } = tinyModel(linear());
  const ready = await sampler(model, params, runtime, 2);
  const seen: number[] = [];
  const onStep = ({ done }: { done: number }) => seen.push(done);
  for await (const _ of sample(ready, { n: 3, seed: 1, solver: ddim(), times: uniformGrid(2), onStep }));
  await ready.dispose();
  expect(seen).toEqual([2, 4, 5, 6]);
  const broken = { ...model, apply: (...[, x]: Parameters<typeof model.apply>) => mul(x, Number.POSITIVE_INFINITY) };
  const bad = await sampler(broken, params, runtime, 2);
  const options = { n: 2, seed: 1, solver: ddim(), times: uniformGrid(2) };
  await expect(sampleAll(bad, options)).rejects.toThrow(/ddim with 2 steps ended at/);
  await bad.dispose();
});

test("pairs are the same whatever the shards, and other noise than the samples'", async () => {
  const { model, params } = tinyModel(table({}), eps, 3);
  const ready = await sampler(model, params, runtime, 4);
  const options = { n: 10, seed: 2, solver: ddim(), times: uniformGrid(3) };
  const collect = async (perShard: number, shards?: number[]) => {
    const out = [];
    for await (const event of teacherPairs(ready, { ...options, perShard, shards })) out.push(event);
    return out;
  };
  const [whole] = await collect(10);
  const parts = await collect(4);
  const [again] = await collect(4, [1]);
  const samples = await sampleAll(ready, options);
  await ready.dispose();
  expect(shardCount({ n: 10, perShard: 4 })).toBe(3);
  expect(parts.map((p) => p.cond.labels.length)).toEqual([4, 4, 2]);
  expect(again).toEqual(parts[1]);
  expect(worst(Float32Array.from(parts.flatMap((p) => [...p.x])), whole.x)).toBeLessThan(1e-6);
  expect(whole.noise).not.toEqual(samples.start);
  expect(whole.nfe).toBe(3);
});
