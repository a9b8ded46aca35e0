// The exact denoiser against its closed form in float64, in every form and prediction; and where its trajectories end.
import { describe, expect, it } from "vitest";
import { times } from "../../src/clock.ts";
import { cosine, type Form, linear, predictionByName, type Row, subVp, ve, vp } from "../../src/core/index.ts";
import { constant, input } from "../../src/graph/index.ts";
import { exactParams, readExactConfig } from "../../src/nn/exact.ts";
import { exactModel } from "../../src/nn/exactModel.ts";
import { buildNetwork } from "../../src/nn/network.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { fold, key, normal, randint } from "../../src/random.ts";
import { sampleAll, sampler } from "../../src/run/sample.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { solverByName } from "../../src/solvers/index.ts";

const runtime = nodeRuntime({ threads: 1 });
const POINTS = 60;

interface Case {
  readonly shape: readonly number[];
  readonly width: number;
  readonly classes: number | null;
}

function made({ shape, width, classes }: Case, form: Form, name: Parameters<typeof predictionByName>[0]) {
  const dim = shape.reduce((a, b) => a * b, 1);
  const root = key(3);
  // Far from the middle, where products of large numbers would lose the distances.
  const points = normal(fold(root, "points"), POINTS * dim).map((value) => value + 2);
  const labels = Array.from({ length: POINTS }, (_, i) => i % (classes ?? 1));
  const config = { shape, points: POINTS, classes, width };
  const network = buildNetwork({ family: "exact", config });
  const params = exactParams(readExactConfig(config), points, labels);
  return { dim, points, labels, network, params, model: exactModel(network, form, predictionByName(name)) };
}

/** E[x0 | x] and E[eps | x] in float64. */
function posterior(
  points: Float32Array,
  allowed: readonly number[],
  dim: number,
  width: number,
  row: Row,
  x: number[],
) {
  const [alpha, sigma] = row;
  const variance = sigma ** 2 + (alpha * width) ** 2;
  const logits = allowed.map((i) => {
    let sum = 0;
    for (let k = 0; k < dim; k++) sum += (x[k] - alpha * points[i * dim + k]) ** 2;
    return -sum / (2 * variance);
  });
  const top = Math.max(...logits);
  const weights = logits.map((l) => Math.exp(l - top));
  const total = weights.reduce((a, b) => a + b, 0);
  const mean = x.map((_, k) => allowed.reduce((s, i, j) => s + (weights[j] / total) * points[i * dim + k], 0));
  return {
    data: x.map((v, k) => mean[k] + ((alpha * width ** 2) / variance) * (v - alpha * mean[k])),
    noise: x.map((v, k) => (sigma / variance) * (v - alpha * mean[k])),
  };
}

const cases: readonly Case[] = [
  { shape: [2], width: 0, classes: null },
  { shape: [2], width: 0.2, classes: 3 },
  { shape: [3, 4, 4], width: 0.1, classes: null },
];
const forms = { vp, subVp, ve, linear, cosine };

describe("the exact denoiser equals its closed form in float64", () => {
  for (const [formName, make] of Object.entries(forms))
    for (const name of ["eps", "x0", "v", "u", "edm"] as const)
      it(`${name} on ${formName}`, async () => {
        const form = make();
        for (const one of cases) {
          const { dim, points, labels, network, params, model } = made(one, form, name);
          const t = [0.05, 0.3, 0.6, 0.9, 0.995];
          const asked = [0, 1, 2, 3, 1].map((k) => (one.classes === null ? 0 : k));
          const clock = times(t.length);
          const x = input("x", [t.length, ...one.shape]);
          const cond: Record<string, ReturnType<typeof constant>> = one.classes === null
            ? {}
            : { labels: constant(BigInt64Array.from(asked, BigInt), [t.length]) };
          const program = await runtime.compile({ y: model.apply(fromConstants(params), x, clock, cond) });
          const chosen = randint(key(5), t.length, POINTS);
          const noise = normal(key(6), t.length * dim);
          const state = Float32Array.from({ length: t.length * dim }, (_, i) => {
            const [alpha, sigma] = form.at(t[Math.floor(i / dim)]);
            return alpha * points[chosen[Math.floor(i / dim)] * dim + (i % dim)] + sigma * noise[i];
          });
          const y = (await program.run({ x: state, ...clock.feeds(t) })).y.data as Float32Array;
          await program.dispose();
          t.forEach((time, b) => {
            const allowed = labels.flatMap((l, i) =>
              one.classes === null || asked[b] === 3 || l === asked[b] ? [i] : [],
            );
            const own = Array.from(state.subarray(b * dim, (b + 1) * dim));
            const { data, noise: eps } = posterior(points, allowed, dim, one.width, form.at(time), own);
            const [p, q] = model.prediction.row(form, time);
            for (let k = 0; k < dim; k++) {
              const want = p * data[k] + q * eps[k];
              // float32 of the state over the noise: what the smallest noise here makes of it.
              expect(Math.abs(y[b * dim + k] - want)).toBeLessThan(3e-4 * Math.max(1, Math.hypot(p, q)));
            }
          });
          expect(network.sampleShape).toEqual(one.shape);
        }
      });
});

it("a class without points is refused", () => {
  const config = readExactConfig({ shape: [1], points: 2, classes: 2, width: 0 });
  expect(() => exactParams(config, Float32Array.of(1, 2), [0, 0])).toThrow(/Class 1 has none of the 2 points/);
  expect(() => exactParams(config, Float32Array.of(1, 2), [0, 2])).toThrow(/label 2/);
});

describe("its trajectories end", () => {
  const ends = async (width: number, classes: number | null = null) => {
    const form = vp();
    const { points, labels, params, model } = made({ shape: [2], width, classes }, form, "eps");
    const ready = await sampler(model, fromConstants(params), runtime, 64);
    // Finer toward the data: a last step from noise that is larger than the gap between two points ends between them.
    const times = Array.from({ length: 201 }, (_, k) => (1 - k / 200) ** 3);
    const { x } = await sampleAll(ready, {
      n: 192,
      seed: 1,
      solver: solverByName("ddim"),
      times,
    });
    await ready.dispose();
    return Array.from({ length: 192 }, (_, i) => {
      const apart = labels.map((l, j) =>
        classes !== null && l !== i % classes
          ? Infinity
          : Math.hypot(x[2 * i] - points[2 * j], x[2 * i + 1] - points[2 * j + 1]),
      );
      return Math.min(...apart);
    });
  };

  it("on data with width 0", async () => {
    expect(Math.max(...(await ends(0)))).toBeLessThan(1e-3);
  });
  it("on data of their class", async () => {
    expect(Math.max(...(await ends(0, 3)))).toBeLessThan(1e-3);
  });
  it("within the width, and not on data", async () => {
    const apart = (await ends(0.05)).sort((a, b) => a - b);
    // Rayleigh in the plane: 99.9 % lie within 3.7 widths, and half beyond 1.18 unless another point is nearer.
    expect(apart[191]).toBeLessThan(4.2 * 0.05);
    expect(apart[96]).toBeGreaterThan(0.4 * 0.05);
  });
});
