// Terms of losses in closed form: weights of a sample by its time, and heads of a discriminator joined to one logit.

import { afterAll, describe, expect, it } from "vitest";
import { cosine, type Form, linear, type Prediction, velocity, vPrediction } from "../../src/core/index.ts";
import { drawsOf } from "../../src/draws.ts";
import type { Tensor } from "../../src/graph/index.ts";
import { fromConstants, unflatten } from "../../src/nn/params.ts";
import { fold, key, normal } from "../../src/random.ts";
import { type Recipe, recipes, type Stage } from "../../src/recipes/index.ts";
import { startOf } from "../../src/recipes/start.ts";
import { outline } from "../../src/run/outline.ts";
import { columnsOf } from "../../src/run/step.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { tinyModel } from "../run/helpers.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const B = 4;
const stageOf = (name: string, o: Readonly<Record<string, unknown>>, form: Form, prediction: Prediction): Stage => {
  const recipe = (recipes as unknown as readonly Recipe[]).find((r) => r.name === name) as Recipe;
  const teacher = startOf({ ...tinyModel(form, prediction), timeInput: { scale: 1000, offset: 0 } });
  return outline(() => recipe.stages(teacher, recipe.options.parse(o), key(1)))[0];
};

/** What the loss of a player notes, where the clock "t" shows these times. */
async function notesOf(stage: Stage, which: number, names: readonly string[], times = [0.9, 0.7, 0.4, 0.2]) {
  const draws = drawsOf(B, [2], {}, columnsOf(stage));
  const at = {
    ...draws,
    clock: (name: string, law: (q: number) => number) =>
      draws.clock(name, name === "t" ? (q) => times[Math.floor(q * B)] : law),
  };
  const tables = Object.fromEntries(stage.players.map((p) => [p.name, fromConstants(unflatten(p.spec, p.start))]));
  stage.players[which].loss((name) => tables[name], at);
  const data = Object.fromEntries(
    Object.keys(columnsOf(stage)).map((name) => [name, normal(fold(key(3), name), 2 * B)]),
  );
  const program = await runtime.compile<string>(
    Object.fromEntries(names.map((name) => [name, draws.notes.get(name) as Tensor])),
  );
  const asked = new Set(program.inputs.map(({ source }) => (source.kind === "input" ? source.name : "")));
  const fed = Object.entries(draws.feeds({ root: key(2), step: 1 }, data, 0)).filter(([name]) => asked.has(name));
  const out = await program.run(Object.fromEntries(fed));
  await program.dispose();
  return names.map((name) => [...(out[name].data as Float32Array)]);
}
const close = (x: readonly number[]) => x.map((v) => expect.closeTo(v, 5));

describe("weights", () => {
  const snr = (t: number) => (Math.cos((Math.PI * t) / 2) / Math.sin((Math.PI * t) / 2)) ** 2;
  it("of progressive distillation: max(SNR, 1) or SNR + 1", async () => {
    const of = async (weight: string) =>
      (
        await notesOf(
          stageOf("progressive", { from: 4, weight }, cosine(), vPrediction),
          0,
          ["weight"],
          [0.75, 0.5, 0.25, 1],
        )
      )[0];
    expect(await of("truncated-snr")).toEqual(close([1, 1, snr(0.25), 1]));
    expect(await of("snr+1")).toEqual(close([snr(0.75) + 1, 2, snr(0.25) + 1, 1]));
  });
  it("of PeRFlow's window ends, on straight paths: (t − end)²/(1 − end)²", async () => {
    const stage = stageOf("perflow", { windows: 2, weight: "endpoint" }, linear(), velocity);
    const [weight] = await notesOf(stage, 0, ["weight"], [1, 0.75, 0.5, 0.2]);
    expect(weight).toEqual(close([1, 0.25, 0.25, 0.04]));
    // As it is, and not as data.
    const asItIs = stageOf("perflow", { windows: 2, weight: "end" }, linear(), velocity);
    const [end] = await notesOf(asItIs, 0, ["weight"], [1, 0.75, 0.5, 0.2]);
    expect(end).toEqual(close([0.25, 0.0625, 0.25, 0.04]));
  });
});

describe("what is compared", () => {
  const times = [0.9, 0.7, 0.4, 0.2];
  const compared = async (name: string, o: Readonly<Record<string, unknown>>) =>
    notesOf(stageOf(name, o, cosine(), vPrediction), 0, ["state", "value", "target"], times);
  const moved = (state: readonly number[], v: readonly number[], by: (t: number) => readonly [number, number]) =>
    close(state.map((x, i) => by(times[i >> 1])[0] * x + by(times[i >> 1])[1] * v[i]));
  const at = (t: number) => cosine().at(t);
  it("in Rectified Diffusion is the data, alpha·x − sigma·v, or the prediction", async () => {
    const data = await compared("rectified-diffusion", {});
    const [state, ...own] = await compared("rectified-diffusion", { compare: "prediction" });
    expect(data[0]).toEqual(state);
    for (const [i, v] of own.entries()) expect(data[1 + i]).toEqual(moved(state, v, (t) => [at(t)[0], -at(t)[1]]));
  });
  it("in the phased method is the end of the window, or the prediction", async () => {
    const ends = await compared("rectified-diffusion-phased", { windows: 2 });
    const [state, ...own] = await compared("rectified-diffusion-phased", { windows: 2, weight: "uniform" });
    expect(ends[0]).toEqual(state);
    // On the circle a step turns state and velocity by its angle.
    const turn = (t: number) => (Math.PI / 2) * ((t > 0.5 ? 0.5 : 0) - t);
    for (const [i, v] of own.entries())
      expect(ends[1 + i]).toEqual(moved(state, v, (t) => [Math.cos(turn(t)), Math.sin(turn(t))]));
  });
});

describe("heads of a discriminator", () => {
  const features = ["time_embedding", "blocks.0"];
  const softplus = (x: number) => Math.log1p(Math.exp(x));
  const pairsOf = (x: readonly number[]) => Array.from({ length: B }, (_, i) => [x[2 * i], x[2 * i + 1]] as const);
  it("are one logit in DMD2, their mean", async () => {
    const stage = stageOf("dmd", { regression: 0, gan: 0.1, features }, cosine(), vPrediction);
    const [logits, loss] = await notesOf(stage, 0, ["logits_noise_gan", "losses_gan"]);
    expect(logits).toHaveLength(2 * B);
    expect(loss).toEqual(close(pairsOf(logits).map(([a, b]) => softplus(-(a + b) / 2))));
    const names = ["logits_critic_noise_fake", "logits_critic_noise_real", "discriminator"];
    const [fake, real, told] = await notesOf(stage, 1, names);
    const of = pairsOf(real);
    expect(told).toEqual(
      close(pairsOf(fake).map(([a, b], i) => softplus((a + b) / 2) + softplus(-(of[i][0] + of[i][1]) / 2))),
    );
  });
  it("lose apart in adversarial distillation, and the mean counts", async () => {
    const stage = stageOf("adversarial", { ganLoss: "logistic", features }, cosine(), vPrediction);
    const [logits, loss] = await notesOf(stage, 0, ["logits_noise_2", "losses_gan"]);
    expect(loss).toEqual(close(pairsOf(logits).map(([a, b]) => (softplus(-a) + softplus(-b)) / 2)));
  });
});
