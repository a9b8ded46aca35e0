// What a stage begins with: weights as they were, in another form, with another time, told more, changed in part.

import { afterAll, describe, expect, it } from "vitest";
import { times } from "../../src/clock.ts";
import type { Cond } from "../../src/condition.ts";
import {
  cosine,
  eps,
  type Form,
  linear,
  logSnr,
  type Prediction,
  velocity,
  vPrediction,
  vp,
} from "../../src/core/index.ts";
import { drawsOf } from "../../src/draws.ts";
import { constant, emitModel, input, type Tensor, type TensorData } from "../../src/graph/index.ts";
import { inForm, networkModel } from "../../src/model.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { lowRankSpec } from "../../src/nn/lowRank.ts";
import { buildNetwork } from "../../src/nn/network.ts";
import { fromConstants, type Params, unflatten } from "../../src/nn/params.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { fold, key } from "../../src/random.ts";
import { told } from "../../src/recipes/grow.ts";
import { type Recipe, recipes, type Stage, type Start } from "../../src/recipes/index.ts";
import { lowRankStart } from "../../src/recipes/lowRankStart.ts";
import { evenly } from "../../src/recipes/parts.ts";
import { straightened } from "../../src/recipes/reflow.ts";
import { afterSettling, settled } from "../../src/recipes/settle.ts";
import { startFrom, startOf } from "../../src/recipes/start.ts";
import { outline } from "../../src/run/outline.ts";
import { columnsOf, gradientProgram } from "../../src/run/step.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { tinyModel } from "../run/helpers.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const seed = key(1);
const start = (form: Form = cosine(), prediction: Prediction = vPrediction, classes: number | null = 3): Start =>
  startOf({ ...tinyModel(form, prediction, classes), timeInput: { scale: 1000, offset: 0 } });
const curved = start();
const xs = Float32Array.of(0.7, -1.2, 0.1, 0.4);
const labels = BigInt64Array.of(1n, 3n);

/** What a model answers at two samples. */
async function answer(
  { model, params }: Pick<Start, "model" | "params">,
  t: number,
  more: Cond = {},
): Promise<number[]> {
  const clock = times(2);
  const cond = { ...(model.conditions.labels ? { labels: constant(labels, [2]) } : {}), ...more };
  return values(model.apply(params, input("x", [2, 2]), clock, cond), { x: xs, ...clock.feeds([t, t]) });
}
async function values(y: Tensor, feeds: Readonly<Record<string, TensorData>>): Promise<number[]> {
  const program = await runtime.compile<string>({ y });
  const names = new Set(program.inputs.map(({ source }) => (source.kind === "input" ? source.name : "")));
  const out = await program.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name))));
  await program.dispose();
  return [...(out.y.data as Float32Array)];
}
const close = (x: readonly number[]) => x.map((v) => expect.closeTo(v, 5));
const constants = ({ spec }: Start, theta: Float32Array) => fromConstants(unflatten(spec, theta));

describe("a start", () => {
  it("asks its weights as constants, and is sampled in 50 steps unless told", async () => {
    expect(curved.sampler).toEqual({ solver: "ddim", grid: { kind: "uniform" }, steps: [50] });
    const { model, network, spec, theta, timeInput } = curved;
    const own = { model, network, spec, theta, timeInput };
    expect(startOf({ ...own, sampler: evenly([3]) }).sampler.steps).toEqual([3]);
    const again = await answer({ model, params: constants(curved, theta) }, 0.4);
    expect(await answer(curved, 0.4)).toEqual(again);
    expect(await answer(startOf({ ...own, theta: theta.map((w) => w / 2) }), 0.4)).not.toEqual(again);
  });

  it("with another teacher asks that one under its constants, and itself under any others", async () => {
    const student = startOf({ ...curved, theta: curved.theta.map((w) => w / 2) });
    const other: Start = {
      ...curved,
      sampler: evenly([7]),
      params: constants(
        curved,
        curved.theta.map((w) => 2 * w),
      ),
    };
    const both = startFrom({ ...other, asked: "another" }, { ...student, sampler: undefined });
    expect([both.sampler, both.asked, both.params, both.theta]).toEqual([
      other.sampler,
      "another",
      other.params,
      student.theta,
    ]);
    expect(await answer(both, 0.4)).toEqual(await answer(other, 0.4));
    expect(await answer({ ...both, params: student.params }, 0.4)).toEqual(await answer(student, 0.4));
  });

  it("with another teacher is refused with all that keeps the two apart", () => {
    const said = (a: Start, b: Start) => () => startFrom({ ...a, asked: "" }, b);
    const three = tinyModel(cosine(), vPrediction, 3);
    const shaped = { ...curved, model: { ...three.model, sampleShape: [3, 4, 4] } };
    expect(said(shaped, start(vp(), eps, null))).toThrow(
      new RangeError(
        `Teacher and student differ in samples of the shape: 3 x 4 x 4 and 2; the form: ${JSON.stringify(cosine().spec)} and ${JSON.stringify(vp().spec)}; ` +
          'the prediction: v and eps; classes: 3 and "no class" and 0. Expected the same.',
      ),
    );
    const unnulled = buildNetwork({
      family: "mlp",
      config: { dim: 2, width: 8, depth: 1, classes: 3 },
      nullLabel: false,
    });
    const fixed = { ...curved, model: networkModel(unnulled, cosine(), vPrediction, curved.timeInput) };
    expect(said(curved, fixed)).toThrow('differ in classes: 3 and "no class" and 4. Expected');
    const matched = { ...curved, model: { ...inForm(curved.model, cosine()), boundary: undefined } };
    expect(said(curved, matched)).toThrow("read in another form than its network's own. Expected one that is not.");
    const joined = { ...curved, model: { ...curved.model, boundary: { kind: "edm", sigmaData: 0.5 } as const } };
    expect(said(curved, joined)).toThrow("read in another form than its network's own. Expected one that is not.");
  });
});

describe("a start on straight paths", () => {
  const named = { ...curved, timeInput: { scale: 999, offset: -1 } };
  it("is the same, unless it is on them already", () => {
    const straight = start(linear(), velocity);
    expect(straightened(straight, "naive")).toBe(straight);
    expect(straightened(straight, "snr-matched")).toBe(straight);
  });
  it("learns to say u, or is asked at equal SNR", async () => {
    const naive = straightened(named, "naive");
    expect([naive.timeInput, naive.model.prediction, naive.model.native]).toEqual([
      { scale: 1000, offset: 0 },
      velocity,
      undefined,
    ]);
    // The same network, whatever its answer meant.
    expect(await answer(naive, 0.4)).toEqual(await answer(curved, 0.4));
    const matched = straightened(named, "snr-matched");
    expect([matched.timeInput, matched.model.native?.spec]).toEqual([named.timeInput, cosine().spec]);
    for (const { model, theta } of [naive, matched])
      expect([model.form.spec, theta]).toEqual([linear().spec, named.theta]);
  });
});

describe("a network that is told more", () => {
  it.each([
    ["in its own form", curved],
    ["in another", straightened(curved, "snr-matched")],
  ] as const)("says at first what it said before, %s", async (_, before) => {
    const after = told(before, { span: true }, seed);
    const { form, native, prediction } = after.model;
    expect([form.spec, native?.spec, prediction.name]).toEqual([
      before.model.form.spec,
      before.model.native?.spec,
      "v",
    ]);
    expect([form.tMin, form.tMax]).toEqual([before.model.form.tMin, before.model.form.tMax]);
    const span = constant(Float32Array.of(0.3, 0.1), [2]);
    expect(await answer(after, 0.4, { span })).toEqual(close(await answer(before, 0.4)));
    const fresh = unflatten(after.spec, initialize(after.spec, seed));
    const [own, theirs] = [unflatten(after.spec, after.theta), unflatten(before.spec, before.theta)];
    for (const [name, { data }] of own) expect(data).toEqual((theirs.get(name) ?? fresh.get(name))?.data);
    expect(own.size).toBeGreaterThan(theirs.size);
  });
});

describe("a low-rank start", () => {
  const { model, network, timeInput, sampler, spec, params, theta } = curved;
  const make = (o: Parameters<typeof lowRankStart>[3], of = spec) =>
    lowRankStart({ model, network, timeInput, sampler }, of, params, o, seed);
  const inOrder = (of: Start["spec"]) => [...of].sort((a, b) => (a.name < b.name ? -1 : 1));
  const inner = ["blocks.0.linear_1", "blocks.0.condition", "blocks.0.linear_2"];

  it("has factors of all layers inside blocks, or of those named, and changes nothing at first", async () => {
    const made = make({ rank: 2 });
    const factors = lowRankSpec(spec, { rank: 2, alpha: 2, layers: inner });
    expect(inOrder(made.spec)).toEqual(inOrder(factors));
    expect(made.theta).toEqual(initialize(made.spec, seed));
    expect(await answer(made, 0.4)).toEqual(close(await answer(curved, 0.4)));
    expect(make({ rank: 2, layers: ["input"] }).spec.map(({ name }) => name)).toEqual(["input.lora_B", "input.lora_A"]);
  });
  it("moves W by alpha/rank times B·A, alpha being the rank unless given", async () => {
    for (const [alpha, factor] of [
      [undefined, 1],
      [4, 2],
    ] as const) {
      const made = make({ rank: 2, layers: ["input"], alpha });
      const factors = made.theta.map((_, i) => 0.1 * ((i % 5) - 2));
      const [a, b] = ["input.lora_A", "input.lora_B"].map((name) => unflatten(made.spec, factors).get(name));
      const moved = new Map(unflatten(spec, theta));
      const { shape, data } = moved.get("input.weight") as { shape: readonly number[]; data: Float32Array };
      const change = (o: number, i: number) =>
        [0, 1].reduce((sum, r) => sum + (b?.data[2 * o + r] ?? 0) * (a?.data[2 * r + i] ?? 0), 0);
      moved.set("input.weight", { shape, data: data.map((w, k) => w + factor * change(k >> 1, k % 2)) });
      const found = await answer({ model: made.model, params: constants(made, factors) }, 0.4);
      expect(found).toEqual(close(await answer({ model, params: fromConstants(moved) }, 0.4)));
    }
  });
  it("is refused for layers that there are not, and a network that has none inside blocks", () => {
    const unknown = (layer: string) =>
      new RangeError(`The network has no layer "${layer}" with a matrix or convolution that could be changed.`);
    expect(() => make({ rank: 2, layers: ["input", "blocks.9.linear_1"] })).toThrow(unknown("blocks.9.linear_1"));
    expect(() => make({ rank: 2, layers: ["blocks.0.norm"] })).toThrow(unknown("blocks.0.norm"));
    const outside = spec.filter(({ name }) => !name.startsWith("blocks"));
    expect(() => make({ rank: 2 }, outside)).toThrow(
      new RangeError("This network has no blocks whose layers could be changed: name them, or train all weights."),
    );
  });
});

describe("a start that is told less of the time", () => {
  const settle = (teacher: Start, timeScale?: number, share = 0.3) => {
    const stages = settled(teacher, { timeScale, settle: share });
    const { value, done } = stages.next();
    return done ? { start: value as Start } : { stage: value as Stage };
  };
  it("is the teacher where the scale is its own, and the whole budget is left", () => {
    for (const scale of [undefined, 1000]) {
      expect(settle(curved, scale).start).toBe(curved);
      expect(afterSettling(curved, { timeScale: scale, settle: 0.3 })).toBe(1);
    }
    expect(afterSettling(curved, { timeScale: 5, settle: 0.3 })).toBe(0.7);
  });
  it("has no stage for it where no share of the budget is", () => {
    const { start: told } = settle(curved, 5, 0);
    expect([told?.timeInput, told?.theta]).toEqual([{ scale: 5, offset: 0 }, curved.theta]);
  });
  it.each([
    ["in its own form", { ...curved, timeInput: { scale: 1000, offset: -1, normalize: true } }],
    ["in another", straightened(curved, "snr-matched")],
  ] as const)("learns its teacher's predictions first, %s", async (_, teacher) => {
    const { stage } = settle(teacher, 5);
    if (!stage) throw new Error("There is no stage.");
    const { form } = teacher.model;
    expect(stage.timeInput).toEqual({ ...teacher.timeInput, scale: 5, offset: 0 });
    expect([stage.model.form.spec, stage.model.native?.spec, stage.model.prediction.name]).toEqual([
      form.spec,
      teacher.model.native?.spec,
      "v",
    ]);
    const draws = drawsOf(2, [2], stage.model.conditions, columnsOf(stage));
    const at = { ...draws, clock: (name: string) => draws.clock(name, () => 0.4), normal: () => draws.data("x") };
    const losses = stage.players[0].loss(() => teacher.params, at);
    const fed = draws.feeds({ root: key(2), step: 1 }, { x: xs, labels }, 0);
    const note = (name: string) => values(draws.notes.get(name) as Tensor, fed);
    // Data and noise alike: the state is alpha + sigma times both.
    const state = xs.map((x) => x * (form.at(0.4)[0] + form.at(0.4)[1]));
    const ask = (model: Start["model"], p: Params = teacher.params) => {
      const clock = times(2);
      const y = model.apply(p, input("state", [2, 2]), clock, { labels: constant(labels, [2]) });
      return values(y, { state, ...clock.feeds([0.4, 0.4]) });
    };
    const smooth = networkModel(teacher.network, cosine(), vPrediction, { ...teacher.timeInput, scale: 5, offset: 0 });
    const expected = await ask(teacher.model.native ? inForm(smooth, linear()) : smooth);
    const target = await ask(teacher.model);
    expect(await note("value")).toEqual(close(expected));
    expect(await note("target")).toEqual(close(target));
    const square = (i: number) => (expected[i] - target[i]) ** 2;
    const means = [(square(0) + square(1)) / 2, (square(2) + square(3)) / 2];
    expect(await values(losses, fed)).toEqual(means.map((x) => expect.closeTo(x, 4)));
    if (teacher.model.native) expect(cosine().tAt(logSnr(linear(), 0.4))).not.toBeCloseTo(0.4, 2);
  });
});

describe("what a method begins with and does not say otherwise", () => {
  type Options = Readonly<Record<string, unknown>>;
  const stageOf = (name: string, o: Options): Stage => {
    const recipe = (recipes as unknown as readonly Recipe[]).find((r) => r.name === name) as Recipe;
    return outline(() => recipe.stages(curved, recipe.options.parse(o), seed))[0];
  };
  it("is drawn from the seed by its name", () => {
    const heads = (stage: Stage) => stage.players[1].spec.filter(({ name }) => name.startsWith("heads."));
    const dmd = stageOf("dmd", { gan: 0.1, features: ["time_embedding", "blocks.0"] });
    const places = new Set(heads(dmd).map(({ name }) => name.replace(/\.linear_.*/, "")));
    expect([...places]).toEqual(["heads.time_embedding", "heads.blocks.0"]);
    const drawn = initialize(heads(dmd), fold(seed, "heads"));
    expect(dmd.players[1].start).toEqual(Float32Array.of(...curved.theta, ...drawn));
    const adversarial = stageOf("adversarial", {});
    expect(adversarial.players[1].spec).toEqual(heads(adversarial));
    expect(adversarial.players[1].start).toEqual(initialize(heads(adversarial), fold(seed, "heads")));
    const [, critic] = stageOf("swiftbrush", { rank: 2 }).players;
    expect(critic.start).toEqual(initialize(critic.spec, fold(seed, "critic")));
    const [student] = stageOf("meanflow", {}).players;
    const fresh = unflatten(student.spec, initialize(student.spec, seed));
    const own = unflatten(student.spec, student.start);
    for (const [name, { data }] of own) if (name.startsWith("span")) expect(data).toEqual(fresh.get(name)?.data);
  });
  it("follows from other options", () => {
    const bytes = (o: Options) => {
      const stage = stageOf("swiftbrush", o);
      const { outputs } = gradientProgram(stage, stage.players, { batch: 2, adamw: adamwDefaults, clip: 1 });
      return Buffer.from(emitModel(outputs, "cpu").bytes).toString("base64");
    };
    const low = bytes({ rank: 2 });
    expect(bytes({ rank: 2, alpha: 2 })).toBe(low);
    expect(bytes({ rank: 2, alpha: 3 })).not.toBe(low);
    expect(bytes({ rank: 2, layers: ["input"] })).not.toBe(low);
    const led = bytes({ rank: 0, guidance: 2 });
    expect(bytes({ rank: 0, guidance: 2, criticGuidance: 2 })).toBe(led);
    expect(bytes({ rank: 0, guidance: 2, criticGuidance: 1 })).not.toBe(led);
  });
});
