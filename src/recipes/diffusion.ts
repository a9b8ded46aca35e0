// Diffusion training (Ho et al. 2020, eq. 14; Salimans & Ho 2022 for v): noise the data, predict what was hidden.

import * as z from "zod";
import { uniform } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import { distance } from "../objectives/distances.ts";
import { evenly, regressing, stageOf } from "./parts.ts";
import { recipe } from "./recipe.ts";

/** The model's form and prediction are the method; the loss is the plain mean square of Ho et al.'s L_simple. */
export const diffusion = recipe({
  name: "diffusion",
  summary: "Noise the data, predict what was hidden.",
  paper: {
    cite: "Ho et al. 2020, Denoising Diffusion Probabilistic Models",
    url: "https://arxiv.org/abs/2006.11239",
    differs: ["times are real numbers, and spread evenly over a batch"],
  },
  options: z.object({}),
  training: { lr: 1e-3, ema: 0.999, images: 256_000 },
  needs: () => ["data"],
  teacherNfe: () => ({ perImage: 0, perPair: 0 }),
  *stages(start) {
    const { model } = start;
    const times = uniform({ from: model.form.tMin, to: model.form.tMax });
    const how = { model, coupling: independent, times, distance: distance({ kind: "mse" }) };
    const players = [regressing(start, how)] as const;
    yield stageOf(start, { name: "diffusion", model, players, source: { data: "" }, sampler: evenly([50]) });
  },
});
