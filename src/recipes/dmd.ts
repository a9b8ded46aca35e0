// Distribution matching distillation: DMD (Yin et al. 2024) and DMD2 (Yin et al. 2024b). The student's samples move by the
// difference of two predictions: the teacher's, and that of a critic that follows the student.

import * as z from "zod";
import type { Draws } from "../draws.ts";
import { mul, square, stopGradient, sub, type Tensor } from "../graph/index.ts";
import { guided, predict } from "../model.ts";
import type { Params } from "../nn/params.ts";
import { knowsNothing } from "../objectives/adversarial.ts";
import { matching } from "../objectives/distribution.ts";
import { meanOfSample } from "../objectives/regress.ts";
import { dataRow, noiseRow, read } from "../pair.ts";
import { fold } from "../random.ts";
import { CRITIC, following, inside, joined, samplesOf, timesOf } from "./critics.ts";
import { ownDiscriminator } from "./discriminator.ts";
import {
  atTimes,
  evenly,
  idle,
  needing,
  option,
  pairsOf,
  passes,
  smallTraining,
  stageOf,
  student,
  sumOf,
} from "./parts.ts";
import { type NetModel, type Player, recipe, STUDENT, type Table } from "./recipe.ts";

const weight = (what: string, d: number) => z.number().nonnegative().default(d).describe(what);

export const dmd = recipe({
  name: "dmd",
  summary: "Match the distribution of the teacher's samples, with a critic that follows the student; DMD2 by options.",
  paper: {
    cite: "Yin et al. 2024, One-step Diffusion with Distribution Matching Distillation; and 2024b, DMD2",
    url: "https://arxiv.org/abs/2311.18828",
    differs: [
      "the regression on pairs is mean square, not LPIPS",
      "the critic is compared in eps, whatever it predicts",
      "DMD2: `--regression 0 --every 5 --gan 0.003 --gan-critic 0.01`, and `--steps 4` for its few-step student",
    ],
  },
  options: z.object({
    steps: z.int().positive().default(1).describe("Steps of the student."),
    stepTimes: z
      .array(z.number().gt(0).max(1))
      .default([])
      .describe("Times at which the student is asked, falling from 1; default: evenly spaced."),
    guidance: option.guidance(),
    regression: weight("Weight of the regression on the teacher's pairs; 0: none (DMD2).", 0.25),
    every: z.int().positive().default(1).describe("Steps of the critic for one of the student: two time scales."),
    criticRate: z.number().positive().default(1).describe("The critic's learning rate, as a factor of the student's."),
    gan: weight("Weight of the discriminator in the student's loss; 0: none.", 0),
    ganCritic: weight("Weight of the discriminator's own loss.", 0.01),
    features: z.array(z.string()).default([]).describe("Where the discriminator looks; default: the network's middle."),
    teacherSteps: option.teacherSteps(50),
    teacherSolver: option.teacherSolver(),
    pairs: option.pairs(4096),
  }),
  training: { lr: 1e-4, ema: 0.99, images: 64_000 },
  small: {
    points: {
      ...smallTraining.points,
      teacherSteps: 32,
      pairs: 16384,
      regression: 1,
      criticRate: 2,
      images: 614400,
    },
    images: {
      ...smallTraining.images,
      teacherSteps: 20,
      pairs: 4096,
      regression: 1,
      criticRate: 2,
      images: 9600,
    },
  },
  needs: (o) => needing("data", o.gan > 0 && "features", o.regression > 0 && "pairs", o.guidance !== 1 && "guidance"),
  teacherNfe: (o) => ({
    perImage: passes(o.guidance) / o.every,
    perPair: o.regression > 0 ? o.teacherSteps * passes(o.guidance) : 0,
  }),
  idle: (o) => ({
    ...idle(o.regression === 0, "with --regression 0", "teacherSteps", "teacherSolver", "pairs"),
    ...idle(o.gan === 0, "with --gan 0", "ganCritic", "features"),
  }),
  *stages(teacher, o, seed) {
    const { model, spec, theta, params } = teacher;
    const times = timesOf(o, model.form);
    const samples = (table: Table, draws: Draws) => samplesOf(model, times, table, draws);
    const judge = o.gan > 0 ? ownDiscriminator(teacher, o.features, fold(seed, "heads")) : undefined;
    const real = { model: guided(model, o.guidance), params };
    const moves = student(
      teacher,
      (table, draws) => {
        const [x, t] = [samples(table, draws), draws.clock("t", inside)];
        const fake = { model, params: table(CRITIC) };
        const matched = matching("dmd", real, fake, x, draws.cond("full"), t, draws.normal("noise_2"), draws);
        const regressed = o.regression > 0 ? mul(onPairs(model, table(STUDENT), draws), o.regression) : undefined;
        const fooled = judge && mul(judge.fooled(table, x, draws), o.gan);
        return sumOf(matched, regressed, fooled);
      },
      { every: o.every },
    );
    const follow = following(model, noiseRow, "full");
    const critic: Player = {
      name: CRITIC,
      spec: [...spec, ...(judge?.spec ?? [])],
      start: joined(theta, ...(judge ? [judge.start] : [])),
      optimizer: { rate: o.criticRate },
      loss(table, draws) {
        const x = stopGradient(samples(table, draws));
        const followed = draws.note("losses_diffusion", follow(table(CRITIC), x, draws));
        return sumOf(followed, judge && mul(judge.told(table, x, draws), o.ganCritic));
      },
    };
    yield stageOf(teacher, {
      name: "dmd",
      model,
      players: [moves, critic],
      source: { data: "", ...(o.regression > 0 ? { pairs: pairsOf(teacher, o, "pair_") } : {}) },
      sampler: o.stepTimes.length > 0 ? atTimes(times) : evenly([o.steps], o.steps === 1 ? "ddim" : "lcm"),
      watch: ["critic_error", "teacher_error", ...(judge ? ["discriminator"] : [])],
      lag: { critic: "critic_error", teacher: "teacher_error" },
      ...(judge ? { nothing: { discriminator: knowsNothing("logistic") } } : {}),
    });
  },
});

/** The mean square of the student's one step from a pair's start against the pair's sample [B]. */
function onPairs(model: NetModel, p: Params, draws: Draws): Tensor {
  const start = draws.clock("pair_t", () => model.form.tMax);
  const seen = predict(model, p, draws.data("pair_noise"), start, draws.cond("full", "pair_"));
  const apart = sub(draws.note("regressed", read(seen, dataRow)), draws.data("pair_x"));
  return draws.note("losses_regression", meanOfSample(square(apart)));
}
