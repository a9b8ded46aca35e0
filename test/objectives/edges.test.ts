// Where objectives change their course: at the ends of a form, without guidance, while a tangent comes in, in several steps.

import { afterAll, describe, expect, it } from "vitest";
import { type Clock, times } from "../../src/clock.ts";
import { type Columns, labelColumn } from "../../src/condition.ts";
import { cosine, eps, linear, table, velocity, vPrediction, x0 } from "../../src/core/index.ts";
import { type Draws, drawsOf } from "../../src/draws.ts";
import {
  add,
  cast,
  constant,
  input,
  mul,
  perSample,
  reshape,
  type Tensor,
  type TensorData,
} from "../../src/graph/index.ts";
import type { Model } from "../../src/model.ts";
import { discriminatorLoss, type GanKind, generatorLoss, knowsNothing } from "../../src/objectives/adversarial.ts";
import { consistent, endOf } from "../../src/objectives/boundary.ts";
import { generate } from "../../src/objectives/distribution.ts";
import { meanVelocity } from "../../src/objectives/meanVelocity.ts";
import { tangentLoss } from "../../src/objectives/tangent.ts";
import { dataRow, noised, noiseRow, read, straightRow } from "../../src/pair.ts";
import { key } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

async function run(outputs: Readonly<Record<string, Tensor>>, feeds: Readonly<Record<string, TensorData>>) {
  const program = await runtime.compile<string>(outputs);
  const names = new Set(program.inputs.map((x) => (x.source.kind === "input" ? x.source.name : "")));
  const out = await program.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name))));
  await program.dispose();
  return Object.fromEntries(Object.entries(out).map(([name, { data }]) => [name, [...(data as Float32Array)]]));
}
const close = (x: readonly number[], digits = 5) => x.map((v) => expect.closeTo(v, digits));

/** A model that answers the same number wherever it is asked. */
const says = (value: number, form = cosine(), prediction = vPrediction): Model<null> => ({
  form,
  prediction,
  sampleShape: [1],
  conditions: {},
  apply: (_, x) => add(mul(x, 0), value),
});

describe("adversarial losses", () => {
  const kinds: readonly GanKind[] = ["hinge", "hinge-relu", "logistic"];
  it.each(kinds)("%s: a discriminator that answers 0 to everything loses what knowing nothing costs", async (kind) => {
    const zero = [constant(new Float32Array(2), [2, 1]), constant(new Float32Array(2), [2, 1])];
    const { loss } = await run({ loss: discriminatorLoss(kind, zero, zero) }, {});
    expect(loss).toEqual(close([knowsNothing(kind), knowsNothing(kind)], 6));
    expect(knowsNothing(kind)).toBeCloseTo(kind === "logistic" ? Math.log(4) : 2, 12);
  });
  it("hinge pushes for good, hinge-relu only to the margin", async () => {
    const logits = [constant(Float32Array.of(-1, 0.5, 3), [3, 1])];
    const { hinge, relu } = await run(
      { hinge: generatorLoss("hinge", logits), relu: generatorLoss("hinge-relu", logits) },
      {},
    );
    expect([hinge, relu]).toEqual([close([1, -0.5, -3]), close([2, 0.5, 0])]);
  });
});

describe("a consistency function", () => {
  const xs = Float32Array.of(0.7, -1.2);
  const at = async (model: Model<null>, kind: "jump" | "edm" | "lcm", t: number) => {
    const clock = times(2);
    const f = endOf(model, { kind, sigmaData: 0.5 }, { scale: 1000, offset: 0 })(null, input("x", [2, 1]), clock, {});
    return (await run({ f }, { x: xs, ...clock.feeds([t, t]) })).f;
  };
  it("is the state where trajectories end, whatever is predicted", async () => {
    const short = { ...cosine(), tMin: 0.25 };
    const alpha = short.at(0.25)[0];
    expect(await at(says(9, short), "jump", 0.25)).toEqual(close([...xs]));
    expect(await at(says(9, short), "jump", 0.1)).toEqual(close([...xs]));
    // "edm" is in data: the state over alpha.
    expect(await at(says(9, short), "edm", 0.25)).toEqual(close([...xs].map((x) => x / alpha)));
    expect(await at(says(9, short), "edm", 0.1)).toEqual(close([...xs].map((x) => x / short.at(0.1)[0])));
    // A prediction that says nothing of the data there is not asked.
    expect(await at(says(9, cosine(), x0), "jump", 0)).toEqual(close([...xs]));
    expect(await at(says(9, cosine(), x0), "edm", 0)).toEqual(close([...xs]));
  });
  it("is the predicted data where nothing of them is left", async () => {
    expect(await at(says(0.3, cosine(), x0), "edm", 1)).toEqual(close([0.3, 0.3]));
    expect(await at(says(-0.3, linear(), velocity), "edm", 1)).toEqual(close([...xs].map((x) => x + 0.3)));
  });
  it("as a model keeps what its network predicts", () => {
    const made = (model: Model<null>) =>
      consistent(model, { kind: "edm", sigmaData: 0.5 }, { scale: 1, offset: 0 }).own;
    expect(made(says(1))).toBe(vPrediction);
    expect(made({ ...says(1), own: eps })).toBe(eps);
  });
});

/** Draws of a batch of two, and the feeds for them. */
function drawing(classes = false) {
  const conditions: Columns = classes ? { labels: labelColumn(3) } : {};
  const columns = { x: { shape: [1], dtype: "float32" }, labels: { shape: [], dtype: "int64" } } as const;
  const draws = drawsOf(2, [1], conditions, columns);
  const data = { x: Float32Array.of(0.4, -0.8), labels: BigInt64Array.of(1n, 2n) };
  return { draws, feeds: (step = 1) => draws.feeds({ root: key(2), step }, data, 0) };
}

describe("the tangent's second part", () => {
  /** x·F(t) is linear in the state, so the tangent has two parts: see eq. 8. */
  const second = async (tangentWarmup: number, step: number) => {
    const { draws, feeds } = drawing();
    const t = draws.clock("t", () => 0.5);
    const loss = tangentLoss(says(0.2), { tangentWarmup, normalize: false, tangentOffset: 0.1 });
    loss(null, draws.data("x"), t, constant(Float32Array.of(0.2, 0.2), [2, 1]), {}, draws);
    const { tangent } = await run({ tangent: draws.notes.get("tangent") as Tensor }, feeds(step));
    return tangent;
  };
  // F = dx and dF = 0 at 45°: the tangent is −cos·sin·x = −x/2 times the ramp.
  it("comes in with the steps, and is all there without a warm-up", async () => {
    expect(await second(4, 1)).toEqual(close([-0.05, 0.1]));
    expect(await second(4, 3)).toEqual(close([-0.15, 0.3]));
    expect(await second(4, 9)).toEqual(close([-0.2, 0.4]));
    expect(await second(0, 1)).toEqual(close([-0.2, 0.4]));
  });
});

describe("MeanFlow's velocity", () => {
  /** Answers its span, and ten times the label: told that nothing is given (2), 20. */
  const model: Model<null> = {
    ...says(0, linear(), velocity),
    conditions: { labels: labelColumn(3), span: { shape: [], dtype: "float32", given: "method" } },
    apply: (_, x, __, { labels, span }) =>
      add(mul(x, 0), perSample(add(mul(cast(labels, "float32"), 10), mul(span, 3)), 2)),
  };
  const target = async (guidance: number, of = model) => {
    const { draws, feeds } = drawing(true);
    const t = draws.clock("t", () => 0.5);
    const pair = noised(t, draws.data("x"), constant(Float32Array.of(1, 1), [2, 1]));
    const cond = { labels: draws.data("labels") };
    meanVelocity(of, { guidance, weightPower: 1, weightOffset: 1 })(
      null,
      pair,
      t.at((x) => x),
      cond,
      draws as Draws,
    );
    return (await run({ velocity: draws.notes.get("velocity") as Tensor }, feeds())).velocity;
  };
  it("is the pair's, or guided away from that of nothing given at no span; a dropped sample is not guided", async () => {
    expect(await target(1)).toEqual(close([0.6, 1.8]));
    // 3·0.6 − 2·20 for label 1; label 2 means that nothing is given.
    expect(await target(3)).toEqual(close([1.8 - 40, 1.8]));
  });
  it("of a model that cannot be guided is refused", async () => {
    const none = { labels: labelColumn(3, { nullLabel: false }), span: model.conditions.span };
    await expect(target(2, { ...model, conditions: none })).rejects.toThrow(
      'Guidance 2 of the velocity needs labels of which one means "no label"; this model has none. Use guidance 1.',
    );
    await expect(target(2, { ...model, conditions: { span: model.conditions.span } })).rejects.toThrow("needs labels");
  });
});

it("a generator of several steps is asked at each of its times, at the state that belongs to it", async () => {
  const asked: Clock[] = [];
  // The data prediction is half of the state, so states are known: noise, then alpha·noise/2 + sigma·noise 2, …
  const model: Model<never> = {
    ...says(0, linear(), x0),
    apply(_, x, clock) {
      asked.push(clock);
      return mul(x, 0.5);
    },
  } as Model<never>;
  const steps = [1, 0.6, 0.2];
  const { draws, feeds } = drawing();
  const chosen: number[][] = [];
  const noise = constant(Float32Array.of(1, -2), [2, 1]);
  const zero = reshape(mul(noise, 0), [2, 1]);
  const watched: Draws = {
    ...draws,
    normal: () => zero,
    clock: (name, law) => {
      chosen.push([0, 0.34, 0.67, 0.999999, 1].map(law));
      return draws.clock(name, law);
    },
  };
  generate({ model, times: steps }, undefined as never, noise, {}, watched);
  expect(chosen).toEqual([[1, 0.6, 0.2, 0.2, 0.2]]);
  const { given } = await run({ given: draws.notes.get("generator_input") as Tensor }, feeds());
  // Two samples in three strata: one of the first half of the times, one of the second.
  const states = [1, 0.5 * 0.4, 0.5 * 0.5 * 0.4 * 0.8];
  const found = given.map((x, i) => x / [1, -2][i]);
  for (const x of found) expect(states.map((s) => Math.abs(s - x) < 1e-6)).toContain(true);
  expect(new Set(found.map((x) => states.findIndex((s) => Math.abs(s - x) < 1e-6))).size).toBe(2);
});

it("a pair's own row at another time is read, not taken", async () => {
  const [form, all] = [table(), times(2)];
  const clock = all as Clock;
  const later = clock.at((t) => t / 2);
  const at = (t: number) => form.at(t);
  const pair = { clock, a: input("a", [2, 1]), rowA: at, b: input("b", [2, 1]), rowB: noiseRow };
  const { y } = await run(
    { y: read(pair, at, later) },
    { a: Float32Array.of(0.5, 1), b: Float32Array.of(1, -1), ...all.feeds([0.8, 0.8]) },
  );
  const [[a, s], [a2, s2]] = [form.at(0.8), form.at(0.4)];
  const wanted = (x: number, e: number) => (a2 * (x - s * e)) / a + s2 * e;
  expect(y).toEqual(close([wanted(0.5, 1), wanted(1, -1)], 4));
  expect([dataRow(0.3), straightRow(0.3)]).toEqual([
    [1, 0],
    [-1, 1],
  ]);
});
