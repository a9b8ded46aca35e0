// Adversarial distillation with regression on the teacher's pairs (ADD, Sauer et al. 2023; the discriminator on noised
// samples is diffusion-GAN's, Wang et al. 2022): one step, kept to its pair by the regression, sharpened by the discriminator.

import * as z from "zod";
import type { Draws } from "../draws.ts";
import { mul, stopGradient } from "../graph/index.ts";
import { discriminatorLoss, generatorLoss, knowsNothing } from "../objectives/adversarial.ts";
import { meanOfSample } from "../objectives/regress.ts";
import { fold } from "../random.ts";
import { CRITIC, evenTimes, samplesOf } from "./critics.ts";
import { type Discriminator, discriminator } from "./discriminator.ts";
import {
  distanceOf,
  evenly,
  idle,
  idleScale,
  needing,
  option,
  pairsOf,
  passes,
  smallTraining,
  stageOf,
  student,
  sumOf,
} from "./parts.ts";
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
    points: { ...smallTraining.points, teacherSteps: 32, pairs: 16384, images: 409600 },
    images: { ...smallTraining.images, teacherSteps: 20, pairs: 4096, images: 9600 },
  },
  needs({ gan, guidance }) {
    const judged = gan > 0;
    return needing(judged && "data", judged && "features", judged && "weights", "pairs", guidance !== 1 && "guidance");
  },
  teacherNfe: (o) => ({ perImage: o.gan > 0 ? 3 : 0, perPair: o.teacherSteps * passes(o.guidance) }),
  idle: (o) => ({
    ...idleScale(o),
    ...idle(o.regression === 0, "with --regression 0", "distance", "distanceScale"),
    ...idle(o.gan === 0, "with --gan 0", "ganLoss", "features", "criticRate"),
  }),
  *stages(teacher, o, seed) {
    if (o.regression === 0 && o.gan === 0)
      throw new RangeError(
        "With --regression 0 and --gan 0 there is nothing to learn from. Expected one of them above 0.",
      );
    const { model, params } = teacher;
    const judge = o.gan > 0 ? discriminator(teacher, model, o.features, fold(seed, "heads")) : undefined;
    const distance = distanceOf(o);
    const samples = (table: Table, draws: Draws) =>
      samplesOf(model, evenTimes(1, model.form), table, draws, () => draws.data("noise"));
    const asked = (table: Table) => ({ network: params, heads: table(CRITIC) });
    const moves = student(teacher, (table, draws) => {
      const x = draws.note("value", samples(table, draws));
      const apart = () =>
        draws.note("losses_regression", meanOfSample(distance(x, draws.note("target", draws.data("x")))));
      const fooled = (by: Discriminator) =>
        generatorLoss(o.ganLoss, by.judge(asked(table), x, { t: "t", noise: "noise_2" }, "", draws));
      return sumOf(
        o.regression > 0 ? mul(apart(), o.regression) : undefined,
        judge && mul(draws.note("losses_gan", fooled(judge)), o.gan),
      );
    });
    const critic = (by: Discriminator): Player => ({
      name: CRITIC,
      spec: by.spec,
      start: by.start,
      optimizer: { rate: o.criticRate },
      loss(table, draws) {
        const at = (noise: string) => ({ t: "critic_t", noise });
        const x = stopGradient(samples(table, draws));
        const fake = by.judge(asked(table), x, at("critic_noise_fake"), "", draws);
        const real = by.judge(asked(table), draws.data("real_x"), at("critic_noise_real"), "real_", draws);
        return draws.note("discriminator", discriminatorLoss(o.ganLoss, fake, real));
      },
    });
    yield stageOf(teacher, {
      name: "adversarial",
      model,
      players: [moves, ...(judge ? [critic(judge)] : [])],
      source: {
        ...(judge ? { data: "real_" } : {}),
        pairs: pairsOf(teacher, o),
      },
      sampler: evenly([1]),
      ...(judge ? { watch: ["discriminator"], nothing: { discriminator: knowsNothing(o.ganLoss) } } : {}),
    });
  },
});
