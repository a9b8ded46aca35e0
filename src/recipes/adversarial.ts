// Adversarial distillation with regression on the teacher's pairs (ADD, Sauer et al. 2023; the discriminator on noised
// samples is diffusion-GAN's, Wang et al. 2022): one step, kept to its pair by the regression, sharpened by the discriminator.

import { z } from "zod";
import type { Draws } from "../draws.ts";
import { add, mul, stopGradient } from "../graph/index.ts";
import { discriminatorLoss, generatorLoss, knowsNothing } from "../objectives/adversarial.ts";
import { meanOfSample } from "../objectives/regress.ts";
import { fold } from "../random.ts";
import { CRITIC, discriminator, evenTimes, samplesOf } from "./critics.ts";
import { distanceOf, evenly, option, passes, stageOf, student } from "./parts.ts";
import { type Player, recipe, type Table } from "./recipe.ts";

export const adversarial = recipe({
  name: "adversarial",
  summary: "One step: regression on the teacher's pairs, sharpened by a discriminator on its features.",
  paper: {
    cite: "Sauer et al. 2023, Adversarial Diffusion Distillation",
    url: "https://arxiv.org/abs/2311.17042",
    differs: [
      "the discriminator looks at the frozen teacher's own features, of noised samples",
      "the regression is on pairs that the teacher made beforehand",
    ],
  },
  options: z.object({
    regression: z.number().nonnegative().default(1).describe("Weight of the regression on the teacher's pairs."),
    gan: z.number().nonnegative().default(0.05).describe("Weight of the discriminator in the student's loss."),
    ganLoss: z.enum(["hinge", "hinge-relu", "logistic"]).default("hinge").describe("The adversarial loss."),
    features: z.array(z.string()).default([]).describe("Where the discriminator looks; default: the network's middle."),
    criticRate: z.number().positive().default(1).describe("The discriminator's rate, as a factor of the student's."),
    teacherSteps: option.teacherSteps(50),
    teacherSolver: option.teacherSolver(),
    guidance: option.guidance(),
    distance: option.distance("mse"),
    distanceScale: option.distanceScale(),
    pairs: option.pairs(4096),
  }),
  training: { lr: 1e-4, ema: 0.99, images: 64_000 },
  small: {
    points: { batch: 256, lr: 0.001, ema: 0.99, warmup: 50, teacherSteps: 32, pairs: 16384, images: 409600 },
    images: { batch: 32, lr: 4e-4, ema: 0.99, warmup: 20, teacherSteps: 20, pairs: 4096, images: 9600 },
  },
  needs: (o) => ["data", "pairs", "features", ...(o.guidance === 1 ? [] : ["guidance" as const])],
  teacherNfe: (o) => ({ perImage: 3, perPair: o.teacherSteps * passes(o.guidance) }),
  *stages(teacher, o, seed) {
    const { model, params } = teacher;
    const judge = discriminator(teacher, model, o.features, fold(seed, "heads"));
    const distance = distanceOf(o);
    const samples = (table: Table, draws: Draws) =>
      samplesOf(model, evenTimes(1, model.form), table, draws, () => draws.data("noise"));
    const moves = student(teacher, (table, draws) => {
      const x = samples(table, draws);
      draws.note("value", x);
      const apart = draws.note("losses_regression", meanOfSample(distance(x, draws.note("target", draws.data("x")))));
      const logits = judge.judge({ network: params, heads: table(CRITIC) }, x, { t: "t", noise: "noise_2" }, "", draws);
      const gan = draws.note("losses_gan", generatorLoss(o.ganLoss, logits));
      return add(mul(apart, o.regression), mul(gan, o.gan));
    });
    const critic: Player = {
      name: CRITIC,
      spec: judge.spec,
      start: judge.start,
      optimizer: { rate: o.criticRate },
      loss(table, draws) {
        const x = stopGradient(samples(table, draws));
        const p = { network: params, heads: table(CRITIC) };
        const fake = judge.judge(p, x, { t: "critic_t", noise: "critic_noise_fake" }, "", draws);
        const real = judge.judge(
          p,
          draws.data("real_x"),
          { t: "critic_t", noise: "critic_noise_real" },
          "real_",
          draws,
        );
        return draws.note("discriminator", discriminatorLoss(o.ganLoss, fake, real));
      },
    };
    const { teacherSolver: solver, teacherSteps: steps, pairs, guidance } = o;
    yield stageOf(teacher, {
      name: "adversarial",
      model,
      players: [moves, critic],
      source: { data: "real_", pairs: { prefix: "", teacher, guidance, solver, steps, pairs } },
      sampler: evenly([1]),
      watch: ["discriminator"],
      nothing: { discriminator: knowsNothing(o.ganLoss) },
    });
  },
});
