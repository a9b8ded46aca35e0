// Flow matching on the straight path (Lipman et al. 2023, eq. 23; the 1-rectified flow of Liu et al. 2023, eq. 1).
// It is `diffusion` on the linear form with the velocity: only the time law is a choice of its own.

import * as z from "zod";
import { logitNormal, uniform } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import { distance } from "../objectives/distances.ts";
import { evenly, regressing, stageOf } from "./parts.ts";
import { recipe } from "./recipe.ts";

export const flowMatching = recipe({
  name: "flow-matching",
  summary: "Learn the velocity of straight paths between data and noise.",
  paper: {
    cite: "Lipman et al. 2023, Flow Matching for Generative Modeling",
    url: "https://arxiv.org/abs/2210.02747",
    differs: ["t = 0 is data: the velocity points from data to noise"],
  },
  options: z.object({
    times: z
      .enum(["uniform", "logit-normal"])
      .default("uniform")
      .describe("How times are drawn; logit-normal favors the middle (Esser et al. 2024, section 3.1)."),
  }),
  training: { lr: 1e-3, ema: 0.999, images: 256_000 },
  needs: () => ["data"],
  teacherNfe: () => ({ perImage: 0, perPair: 0 }),
  *stages(start, o) {
    const { model } = start;
    const times = o.times === "uniform" ? uniform() : logitNormal();
    const how = { model, coupling: independent, times, distance: distance({ kind: "mse" }) };
    const players = [regressing(start, how)] as const;
    const sampler = evenly([50], "euler");
    yield stageOf(start, { name: "flow-matching", model, players, source: { data: "" }, sampler });
  },
});
