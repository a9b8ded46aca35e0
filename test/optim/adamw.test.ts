// AdamW in the graph against the textbook's loop in float64: moments, bias corrections and decay written out.

import { expect, it } from "vitest";
import { distance } from "../../bench/distance.ts";
import { input } from "../../src/graph/index.ts";
import { type AdamWOptions, adamw, adamwDefaults, adamwScalars } from "../../src/optim/adamw.ts";
import { fold, key, normal } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
const P = 50;

/** Loshchilov & Hutter 2019, algorithm 2, with the decay times the rate as in PyTorch. */
function textbook(start: Float32Array, gradients: readonly Float32Array[], rates: readonly number[], o: AdamWOptions) {
  const theta = Float64Array.from(start);
  const m = new Float64Array(P);
  const v = new Float64Array(P);
  gradients.forEach((g, step) => {
    const lr = rates[step];
    for (let i = 0; i < P; i++) {
      theta[i] -= lr * o.weightDecay * theta[i];
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g[i];
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g[i] * g[i];
      const first = m[i] / (1 - o.beta1 ** (step + 1));
      const second = v[i] / (1 - o.beta2 ** (step + 1));
      theta[i] -= (lr * first) / (Math.sqrt(second) + o.eps);
    }
  });
  return { theta, m, v };
}

/** Seven steps of the graph, the gradient given as `factor` times what is meant. */
async function inGraph(
  start: Float32Array,
  gradients: readonly Float32Array[],
  rates: readonly number[],
  o: AdamWOptions,
  factor = 1,
) {
  const scalar = (name: string) => input(name, []);
  const vector = (name: string) => input(name, [P]);
  const scalars = { rate: scalar("rate"), decay: scalar("decay"), floor: scalar("floor"), scale: scalar("scale") };
  const state = { theta: vector("theta"), m: vector("m"), v: vector("v") };
  const program = await runtime.compile({ ...adamw(state, vector("g"), scalars, o) });
  let now: Record<"theta" | "m" | "v", Float32Array> = { theta: start, m: new Float32Array(P), v: new Float32Array(P) };
  for (const [step, g] of gradients.entries()) {
    const { rate, decay, floor } = adamwScalars(step + 1, rates[step], o);
    const one = (x: number) => Float32Array.of(x);
    const { theta, m, v } = await program.run({
      ...now,
      g: g.map((x) => x * factor),
      rate: one(rate),
      decay: one(decay),
      floor: one(floor),
      scale: one(1 / factor),
    });
    const data = (x: { data: unknown }) => x.data as Float32Array;
    now = { theta: data(theta), m: data(m), v: data(v) };
  }
  await program.dispose();
  return now;
}

const start = normal(fold(key(1), "theta"), P);
// From gradients far above eps to far below it, so that eps counts.
const gradients = Array.from({ length: 7 }, (_, step) =>
  normal(fold(key(1), "g", step), P).map((x, i) => x * 10 ** (2 - (i % 10))),
);
const rates = [0.01, 0.02, 0.03, 0.02, 0.015, 0.01, 0.005];

it.each([
  ["the defaults", adamwDefaults],
  ["others", { beta1: 0.7, beta2: 0.95, eps: 1e-3, weightDecay: 0.3 }],
] as const)("seven steps with %s are the textbook's", async (_, options) => {
  const wanted = textbook(start, gradients, rates, options);
  for (const factor of [1, 1024]) {
    const found = await inGraph(start, gradients, rates, options, factor);
    // Seven roundings of float32.
    expect(distance(found.theta, wanted.theta, start)).toBeLessThan(2e-6);
    expect(distance(found.m, wanted.m)).toBeLessThan(1e-6);
    expect(distance(found.v, wanted.v)).toBeLessThan(1e-6);
  }
});

it("the defaults are PyTorch's", () => {
  expect(adamwDefaults).toEqual({ beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 });
});

it("a first step goes the whole rate against the gradient's sign", () => {
  const { rate, decay, floor } = adamwScalars(1, 0.1, { beta1: 0.5, beta2: 0.75, eps: 0.01, weightDecay: 0.2 });
  // m = 0.5 g and v = 0.25 g²: rate·m/(√v + floor) = 0.1·g/(|g| + 0.01).
  expect(rate).toBeCloseTo(0.1, 15);
  expect(floor).toBeCloseTo(0.005, 15);
  expect(decay).toBeCloseTo(0.98, 15);
});
