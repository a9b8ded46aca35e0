// SwiftBrush (Nguyen & Tran 2024, algorithm 1): a one-step student without any data, by variational score distillation: a
// low-rank change of the teacher follows the student, and the samples move by the difference of the two.

import * as z from "zod";
import { guided } from "../model.ts";
import { initialize } from "../nn/initialize.ts";
import { blockLayers, lowRank, lowRankSpec } from "../nn/lowRank.ts";
import { matching } from "../objectives/distribution.ts";
import { fold } from "../random.ts";
import { CRITIC, evenTimes, following, inside, samplesOf } from "./critics.ts";
import { evenly, idle, needing, option, passes, smallTraining, stageOf, student } from "./parts.ts";
import { type Player, recipe, type Table } from "./recipe.ts";

export const swiftbrush = recipe({
  name: "swiftbrush",
  summary: "One step without data: variational score distillation with a low-rank critic.",
  paper: {
    cite: "Nguyen & Tran 2024, SwiftBrush: One-Step Text-to-Image Diffusion Model with Variational Score Distillation",
    url: "https://arxiv.org/abs/2312.05239",
    differs: ["alpha and sigma of t = 1 are the form's, not constants", "`--rank 0` makes the critic a whole network"],
  },
  options: z.object({
    guidance: option.guidance(),
    criticGuidance: z
      .number()
      .optional()
      .describe("Guidance of the critic in the student's loss; default the teacher's."),
    rank: z.int().nonnegative().default(16).describe("Rank of the critic's change of the teacher; 0: a whole network."),
    alpha: z.number().positive().optional().describe("The change is alpha/rank times the product; default the rank."),
    layers: z.array(z.string()).default([]).describe("Layers that the critic changes; default: all inside blocks."),
    every: z.int().positive().default(1).describe("Steps of the critic for one of the student: two time scales."),
    criticRate: z.number().positive().default(10).describe("The critic's learning rate, as a factor of the student's."),
  }),
  training: { lr: 1e-4, ema: 0.99, images: 64_000 },
  small: {
    points: { batch: 256, lr: 0.0003, ema: 0.99, warmup: 50, rank: 0, criticRate: 4, images: 614400 },
    images: { ...smallTraining.images, lr: 5e-5, rank: 0, criticRate: 16, images: 9600 },
  },
  needs: (o) => needing(o.guidance !== 1 && "guidance", o.rank > 0 && "weights"),
  teacherNfe: (o) => ({ perImage: passes(o.guidance) / o.every, perPair: 0 }),
  idle: (o) => idle(o.rank === 0, "with --rank 0", "alpha", "layers"),
  *stages(teacher, o, seed) {
    const { model, spec, theta, params } = teacher;
    const layers = o.layers.length > 0 ? o.layers : blockLayers(spec);
    const change = { rank: o.rank, alpha: o.alpha ?? o.rank, layers };
    const criticParams = (table: Table) => (o.rank === 0 ? table(CRITIC) : lowRank(params, table(CRITIC), change));
    const real = { model: guided(model, o.guidance), params };
    const fakeModel = guided(model, o.criticGuidance ?? o.guidance);
    const moves = student(
      teacher,
      (table, draws) => {
        const x = samplesOf(model, evenTimes(1, model.form), table, draws);
        const fake = { model: fakeModel, params: criticParams(table) };
        const t = draws.clock("t", inside);
        return matching("vsd", real, fake, x, draws.cond("full"), t, draws.normal("noise_2"), draws);
      },
      { every: o.every },
    );
    const criticSpec = o.rank === 0 ? spec : lowRankSpec(spec, change);
    // ‖alpha·eps − alpha·noise‖²: eps as the paper weighs it.
    const follow = following(model, (t) => [0, model.form.at(t)[0]], "dropped-together");
    const critic: Player = {
      name: CRITIC,
      spec: criticSpec,
      start: o.rank === 0 ? theta : initialize(criticSpec, fold(seed, "critic")),
      optimizer: { rate: o.criticRate, weightDecay: 0 },
      loss: (table, draws) =>
        follow(criticParams(table), samplesOf(model, evenTimes(1, model.form), table, draws), draws),
    };
    yield stageOf(teacher, {
      name: "swiftbrush",
      model,
      players: [moves, critic],
      source: { conditions: "" },
      sampler: evenly([1]),
      watch: ["critic_error", "teacher_error"],
      lag: { critic: "critic_error", teacher: "teacher_error" },
    });
  },
});
