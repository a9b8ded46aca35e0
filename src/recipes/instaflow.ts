// InstaFlow (Liu et al. 2024, sections 3.1 and 3.2): reflow, then distill the straight flow into one step.

import * as z from "zod";
import { storedPairs } from "../couplings/storedPairs.ts";
import { dataRow } from "../pair.ts";
import {
  distanceOf,
  evenly,
  idleScale,
  needing,
  option,
  pairsOf,
  passes,
  regressing,
  smallTraining,
  stageOf,
} from "./parts.ts";
import { recipe } from "./recipe.ts";
import { idleStart, rectify, reflowOptions } from "./reflow.ts";

export const instaflow = recipe({
  name: "instaflow",
  summary: "Reflow, then one-step distillation of the straight flow.",
  paper: {
    cite: "Liu et al. 2024, InstaFlow: One Step is Enough for High-Quality Diffusion-Based Text-to-Image Generation",
    url: "https://arxiv.org/abs/2309.06380",
    differs: ["the distance is mean square or Huber in place of LPIPS", "time runs from data to noise"],
  },
  options: z.object({
    ...reflowOptions,
    distillDistance: option.distance("pseudo-huber").describe("How errors are measured in the distillation."),
    distillShare: z.number().gt(0).lt(1).default(0.5).describe("Share of the budget for the distillation."),
  }),
  training: { lr: 1.5e-4, ema: 0.99, images: 64_000 },
  small: {
    points: {
      ...smallTraining.points,
      start: "snr-matched",
      teacherSteps: 32,
      pairs: 16384,
      distillDistance: "mse",
      images: 614400,
    },
    images: {
      ...smallTraining.images,
      start: "snr-matched",
      teacherSteps: 4,
      pairs: 4096,
      images: 40_000,
    },
  },
  needs: (o) => needing("pairs", o.guidance !== 1 && "guidance"),
  // Two sets of pairs: the teacher's, and those of the straight flow.
  teacherNfe: (o) => ({ perImage: 0, perPair: o.teacherSteps * (passes(o.guidance) + 1) }),
  idle: (o, teacher) => ({ ...(o.distillDistance === "mse" ? idleScale(o) : {}), ...idleStart(teacher) }),
  *stages(teacher, o) {
    const flow = yield rectify(teacher, o, { name: "reflow", share: 1 - o.distillShare });
    const { model } = flow;
    const player = regressing(flow, {
      model,
      coupling: storedPairs(model.form),
      times: () => model.form.tMax,
      cond: "full",
      compare: dataRow,
      distance: distanceOf({ distance: o.distillDistance, distanceScale: o.distanceScale }),
    });
    const source = { pairs: pairsOf(flow, { ...o, guidance: 1 }) };
    const sampler = evenly([1]);
    yield stageOf(flow, { name: "one step", model, players: [player], source, sampler, share: o.distillShare });
  },
});
