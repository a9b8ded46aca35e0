// Latent Consistency Models (Luo et al. 2023, algorithm 1): consistency distillation of the guided teacher, over steps of
// a coarse grid, by a network that is told the guidance.

import * as z from "zod";
import { canBeGuided } from "../condition.ts";
import { discrete, uniform } from "../core/index.ts";
import { add } from "../graph/index.ts";
import { guided } from "../model.ts";
import { consistent, endOf } from "../objectives/boundary.ts";
import { consistency } from "../objectives/consistency.ts";
import { noised, read } from "../pair.ts";
import { solve } from "../solve.ts";
import { told } from "./grow.ts";
import { distanceOf, evenly, idle, idleScale, option, smallTraining, stageOf, student } from "./parts.ts";
import { recipe, STUDENT } from "./recipe.ts";

export const lcm = recipe({
  name: "lcm",
  summary: "Consistency distillation of the guided teacher by a network that is told the guidance.",
  paper: {
    cite: "Luo et al. 2023, Latent Consistency Models: Synthesizing High-Resolution Images with Few-Step Inference",
    url: "https://arxiv.org/abs/2310.04378",
    differs: ["a teacher without conditions has no guidance, so nothing is told and nothing is guided"],
  },
  options: z.object({
    grid: z.int().min(2).default(50).describe("Points of the time grid: with 50, 20 of 1000 timesteps are skipped."),
    guidanceMin: z.number().min(1).default(2).describe("Least guidance that the student learns."),
    guidanceMax: z.number().min(1).default(8).describe("Largest guidance that the student learns."),
    embedding: z.int().positive().default(256).describe("Width of the embedding of the guidance."),
    targetDecay: z.number().min(0).lt(1).default(0.95).describe("Decay of the target's average."),
    sigmaData: z.number().positive().default(0.5).describe("Standard deviation of the data, for the boundary."),
    distance: option.distance("pseudo-huber"),
    distanceScale: option.distanceScale(),
  }),
  training: { lr: 1e-4, ema: 0.99, images: 64_000 },
  small: {
    points: { ...smallTraining.points, grid: 50, images: 614400 },
    images: { ...smallTraining.images, grid: 20, guidanceMin: 1, guidanceMax: 4, images: 16_000 },
  },
  needs: () => ["data", "network"],
  teacherNfe: () => ({ perImage: 2, perPair: 0 }),
  idle: (o, teacher) => ({
    ...idleScale(o),
    ...idle(
      teacher !== undefined && !canBeGuided(teacher.model.conditions),
      "with a teacher that cannot be guided",
      ...["guidanceMin", "guidanceMax", "embedding"],
    ),
  }),
  *stages(teacher, o, seed) {
    if (o.guidanceMin > o.guidanceMax)
      throw new RangeError(
        `--guidance-min ${o.guidanceMin} is more than --guidance-max ${o.guidanceMax}. Expected the lesser one first.`,
      );
    const guidable = canBeGuided(teacher.model.conditions);
    const start = guidable ? told(teacher, { guidance: o.embedding }, seed) : teacher;
    const { model, timeInput } = start;
    const { form } = model;
    const boundary = { kind: "lcm", sigmaData: o.sigmaData } as const;
    // The trajectory ends at the first time that the network has a label for.
    const clean = Math.max(form.tMin, -timeInput.offset / timeInput.scale);
    const loss = consistency(endOf(model, boundary, timeInput), distanceOf(o));
    const player = student(
      start,
      (table, draws) => {
        const t = draws.clock("t", discrete(o.grid, uniform()));
        const s = draws.clockAfter("s", t, (_, time) => Math.max(clean, time - 1 / o.grid));
        // w = g − 1, as the paper counts it.
        const w = guidable
          ? draws.number("w", (q) => o.guidanceMin - 1 + q * (o.guidanceMax - o.guidanceMin))
          : undefined;
        const cond = draws.cond("full");
        const pair = noised(t, draws.data("x"), draws.normal("noise"));
        const x = draws.note(
          "state",
          read(pair, (time) => form.at(time)),
        );
        const asked = w ? guided(teacher.model, add(w, 1)) : teacher.model;
        const near = draws.note("solved", solve(asked, teacher.params, x, [t, s], cond));
        const own = w ? { ...cond, guidance: w } : cond;
        return loss(table(STUDENT), table(STUDENT, "target"), { x, clock: t }, { x: near, clock: s }, own, draws);
      },
      { averages: { target: o.targetDecay } },
    );
    const sampled = consistent(model, boundary, timeInput);
    const sampler = evenly([1, 2, 4], "lcm");
    yield stageOf(start, { name: "lcm", model: sampled, players: [player], source: { data: "" }, sampler });
  },
});
