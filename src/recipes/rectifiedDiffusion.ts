// Rectified Diffusion (Wang et al. 2024, algorithm 1): keep form, prediction and sampler of the teacher, retrain on pairs
// of noise and the sample the teacher makes of it. The comparison is in x0, as in the published code.

import * as z from "zod";
import { uniform, withAtoms } from "../core/index.ts";
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
import { recipe, type Stage, type Start } from "./recipe.ts";

export const rectifiedDiffusionOptions = {
  teacherSteps: option.teacherSteps(50),
  teacherSolver: option.teacherSolver(),
  guidance: option.guidance(),
  atNoise: option.share("pure noise, where one step is decided", 0.25),
  distance: option.distance("pseudo-huber"),
  distanceScale: option.distanceScale(),
  pairs: option.pairs(4096),
  compare: z
    .enum(["x0", "prediction"])
    .default("x0")
    .describe("What is compared: the data, as in the published code, or the prediction, as in the published text."),
};
const schema = z.object(rectifiedDiffusionOptions);

/** Retrains on pairs that the teacher makes. */
export function retrain(teacher: Start, o: z.output<typeof schema>, share = 1): Stage {
  const { model } = teacher;
  const player = regressing(teacher, {
    model,
    coupling: storedPairs(model.form),
    times: withAtoms(o.atNoise, [model.form.tMax], uniform({ from: model.form.tMin, to: model.form.tMax })),
    compare: o.compare === "x0" ? dataRow : undefined,
    distance: distanceOf(o),
  });
  const pairs = pairsOf(teacher, o);
  const name = "rectified-diffusion";
  return stageOf(teacher, { name, model, players: [player], source: { pairs }, sampler: evenly([1, 2]), share });
}

export const rectifiedDiffusion = recipe({
  name: "rectified-diffusion",
  summary: "Retrain on the teacher's pairs in the teacher's own form: first-order, not straight.",
  paper: {
    cite: "Wang et al. 2024, Rectified Diffusion: Straightness Is Not Your Need in Rectified Flow",
    url: "https://arxiv.org/abs/2410.07303",
    differs: [
      "the pair's noisy end is the state that the sampler starts from, which removes the terminal mismatch",
      "a share of the batch is at t = 1, where one step is decided",
    ],
  },
  options: schema,
  training: { lr: 1.5e-4, ema: 0.99, images: 32_000 },
  small: {
    points: {
      ...smallTraining.points,
      teacherSteps: 32,
      pairs: 16384,
      atNoise: 0.5,
      distance: "mse",
      images: 409600,
    },
    images: { ...smallTraining.images, teacherSteps: 20, pairs: 4096, atNoise: 0.5, images: 11_200 },
  },
  needs: (o) => needing("pairs", o.guidance !== 1 && "guidance"),
  teacherNfe: (o) => ({ perImage: 0, perPair: o.teacherSteps * passes(o.guidance) }),
  idle: idleScale,
  *stages(teacher, o) {
    yield retrain(teacher, o);
  },
});
