// MeanFlow (Geng et al. 2025, algorithm 1): learn the average velocity over [r, t], by the identity that ties it to the
// velocity at t: u = v − (t − r)·du/dt. The derivative is exact, by forward mode.

import * as z from "zod";
import type { Clock } from "../clock.ts";
import { logitNormal, normalCdf } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import type { Draws } from "../draws.ts";
import { stopGradient, type Tensor } from "../graph/index.ts";
import { guided, predict } from "../model.ts";
import { meanVelocity } from "../objectives/meanVelocity.ts";
import { read, straightRow } from "../pair.ts";
import { told } from "./grow.ts";
import { evenly, idle, needing, passes, smallTraining, stageOf, student } from "./parts.ts";
import { recipe, STUDENT } from "./recipe.ts";
import { idleStart, startOption, straightened } from "./reflow.ts";
import { afterSettling, idleSettling, settled, settleOptions } from "./settle.ts";

export const meanflow = recipe({
  name: "meanflow",
  summary: "Learn the average velocity between two times, from data alone.",
  paper: {
    cite: "Geng et al. 2025, Mean Flows for One-step Generative Modeling",
    url: "https://arxiv.org/abs/2505.13447",
    differs: [
      "the teacher is only the start: nothing is asked of it, but with `--distill`, where the velocity is the teacher's",
      "the network is told t and t − r",
    ],
  },
  options: z.object({
    start: startOption,
    distill: z
      .boolean()
      .default(false)
      .describe("The velocity at a state is the teacher's, without the scatter of the data's own."),
    guidance: z.number().default(1).describe("Guidance of the velocity that is learned; it is baked into the student."),
    equal: z.number().min(0).max(1).default(0.75).describe("Share of samples with r = t."),
    timeMean: z.number().default(-0.4).describe("Mean of the logit of times."),
    timeStd: z.number().positive().default(1).describe("Standard deviation of the logit of times."),
    weightPower: z.number().nonnegative().default(1).describe("Power of the adaptive weight (error + c)^−p."),
    weightOffset: z.number().positive().default(1e-3).describe("Offset of the adaptive weight."),
    ...settleOptions,
  }),
  training: { lr: 1e-4, ema: 0.99, images: 128_000 },
  small: {
    points: {
      ...smallTraining.points,
      start: "snr-matched",
      equal: 0.5,
      timeScale: 5,
      timeMean: 0,
      timeStd: 1.5,
      images: 614400,
    },
    images: {
      ...smallTraining.images,
      start: "snr-matched",
      distill: true,
      equal: 0.25,
      timeScale: 30,
      timeMean: 0,
      timeStd: 1.5,
      images: 12_800,
    },
  },
  needs: (o) => needing("data", "network", o.guidance !== 1 && "guidance"),
  teacherNfe(o) {
    const settling = o.timeScale === undefined ? 0 : o.settle;
    return {
      perImage: (o.distill ? passes(o.guidance) * (1 - settling) : passes(o.guidance) - 1) + settling,
      perPair: 0,
    };
  },
  idle: (o, teacher) => ({
    ...idleStart(teacher),
    ...idleSettling(o, teacher),
    ...idle(o.weightPower === 0, "with --weight-power 0", "weightOffset"),
  }),
  *stages(teacher, o, seed) {
    const start = told(straightened(yield* settled(teacher, o), o.start), { span: true }, seed);
    const { model } = start;
    const asked = guided(straightened(teacher, "snr-matched").model, o.guidance);
    // A teacher can only be asked at times that it knows.
    const { form } = o.distill ? asked : model;
    const followed = o.guidance === 1 ? "dropped" : "full";
    const velocity = (z: Tensor, t: Clock, draws: Draws) =>
      stopGradient(read(predict(asked, teacher.params, z, t, draws.cond(followed)), straightRow));
    const loss = meanVelocity(model, o, o.distill ? velocity : undefined);
    const law = logitNormal({ mean: o.timeMean, std: o.timeStd });
    const below = (t: number) => normalCdf((Math.log(t / (1 - t)) - o.timeMean) / o.timeStd);
    const cut = (t: number) => Math.min(form.tMax, Math.max(form.tMin, t));
    const player = student(start, (table, draws) => {
      // The larger and the smaller of two draws.
      const t = draws.clock("t", (q) => cut(law(Math.sqrt(q))));
      const r = draws.clockAfter("r", t, (q, time) =>
        q < o.equal ? time : Math.min(time, cut(law(((q - o.equal) / (1 - o.equal)) * below(time)))),
      );
      return loss(table(STUDENT), independent(draws, t), r, draws.cond("dropped"), draws);
    });
    const sampler = evenly([1, 2, 4]);
    yield stageOf(start, {
      name: "meanflow",
      model,
      players: [player],
      source: { data: "" },
      sampler,
      share: afterSettling(teacher, o),
    });
  },
});
