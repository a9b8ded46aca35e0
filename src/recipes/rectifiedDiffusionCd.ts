// Rectified Diffusion (CD) (Wang et al. 2024, section 3.2): consistency distillation after Rectified Diffusion. Along a
// first-order path the prediction of the data is consistent already, so the second stage begins near its end.

import * as z from "zod";
import { consistencyOptions, follow, idleTarget } from "./consistency.ts";
import { evenly, idle, idleScale, needing, passes, smallTraining } from "./parts.ts";
import { recipe } from "./recipe.ts";
import { rectifiedDiffusionOptions, retrain } from "./rectifiedDiffusion.ts";

const { grid, target, targetDecay } = consistencyOptions;

export const rectifiedDiffusionCd = recipe({
  name: "rectified-diffusion-cd",
  summary: "Rectified Diffusion, then consistency distillation of it.",
  paper: {
    cite: "Wang et al. 2024, Rectified Diffusion: Straightness Is Not Your Need in Rectified Flow, section 3.2",
    url: "https://arxiv.org/abs/2410.07303",
    differs: ["its training code was not published: this is consistency distillation with a DDIM jump as its boundary"],
  },
  options: z.object({
    ...rectifiedDiffusionOptions,
    grid,
    target,
    targetDecay,
    rectify: z
      .number()
      .min(0)
      .lt(1)
      .default(0.5)
      .describe("Share of the budget for Rectified Diffusion; 0: the teacher is a student of it already."),
  }),
  training: { lr: 1.5e-4, ema: 0.99, images: 64_000 },
  small: {
    points: {
      ...smallTraining.points,
      teacherSteps: 32,
      pairs: 16384,
      atNoise: 0.5,
      distance: "mse",
      images: 614400,
    },
    images: {
      ...smallTraining.images,
      teacherSteps: 8,
      pairs: 4096,
      atNoise: 0.5,
      grid: 2,
      targetDecay: 0.9,
      rectify: 0.4,
      images: 28_800,
    },
  },
  needs: (o) => needing("data", o.rectify > 0 && "pairs", o.guidance !== 1 && "guidance"),
  teacherNfe: (o) =>
    o.rectify > 0
      ? { perImage: 1 - o.rectify, perPair: o.teacherSteps * passes(o.guidance) }
      : { perImage: passes(o.guidance), perPair: 0 },
  idle: (o) => ({
    ...idleScale(o),
    ...idleTarget(o),
    ...idle(o.rectify === 0, "with --rectify 0", "teacherSteps", "teacherSolver", "atNoise", "pairs", "compare"),
  }),
  *stages(teacher, o) {
    const first = o.rectify > 0 ? yield retrain(teacher, o, o.rectify) : teacher;
    // What the first stage learned has the guidance in it; without one, the teacher is guided here.
    const guidance = o.rectify > 0 ? 1 : o.guidance;
    const second = { ...o, guidance, boundary: "jump", sigmaData: 0.5, distill: true } as const;
    // Deterministic, as the paper samples it.
    yield follow(first, second, { name: "consistency", sampler: evenly([1, 2, 4]), share: 1 - o.rectify });
  },
});
