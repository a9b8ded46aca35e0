// Continuous-time consistency models (sCM, Lu & Song 2024, algorithm 1): the consistency function does not change along a
// trajectory, so its tangent, exact by forward mode, is what is left to remove.

import * as z from "zod";
import { logNormalNsr } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import { stopGradient } from "../graph/index.ts";
import { guided, inForm, predict } from "../model.ts";
import { tangentLoss, trig, vRow } from "../objectives/tangent.ts";
import { read } from "../pair.ts";
import { evenly, idle, needing, option, passes, smallTraining, stageOf, student } from "./parts.ts";
import { type NetModel, recipe, STUDENT } from "./recipe.ts";
import { afterSettling, idleSettling, settled, settleOptions } from "./settle.ts";

export const scm = recipe({
  name: "scm",
  summary: "Continuous-time consistency: remove the tangent of the consistency function.",
  paper: {
    cite: "Lu & Song 2024, Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models",
    url: "https://arxiv.org/abs/2410.11081",
    differs: ["no learned weight of times", "the data are taken to have unit standard deviation"],
  },
  options: z.object({
    distill: z.boolean().default(true).describe("Follows the teacher; without, it learns from data alone."),
    guidance: option.guidance(),
    tangentWarmup: z
      .int()
      .nonnegative()
      .default(1000)
      .describe("Steps of training, whatever the batch and the budget, over which the tangent's second part comes in."),
    normalize: z.boolean().default(true).describe("Divides the tangent by its norm plus c."),
    tangentOffset: z.number().nonnegative().default(0.1).describe("Added to the tangent's norm."),
    timeMean: z.number().default(-1).describe("Mean of ln(sigma/alpha) of times."),
    timeStd: z.number().positive().default(1.4).describe("Standard deviation of ln(sigma/alpha) of times."),
    ...settleOptions,
  }),
  training: { lr: 1e-4, ema: 0.99, images: 128_000 },
  small: {
    points: { ...smallTraining.points, tangentWarmup: 500, timeScale: 5, images: 614400 },
    images: {
      ...smallTraining.images,
      tangentWarmup: 100,
      timeMean: 1,
      timeStd: 1.6,
      timeScale: 30,
      images: 12_800,
    },
  },
  needs: (o) => needing("data", o.guidance !== 1 && "guidance"),
  teacherNfe: (o) => ({ perImage: o.distill ? passes(o.guidance) : 0, perPair: 0 }),
  idle: (o, teacher) => ({
    ...idleSettling(o, teacher),
    ...idle(!o.normalize, "with --no-normalize", "tangentOffset"),
    ...idle(!o.distill, "with --no-distill", "guidance"),
  }),
  *stages(teacher, o) {
    const onTrig = (model: NetModel) => (model.form.spec.kind === "cosine" ? model : inForm(model, trig));
    const start = yield* settled(teacher, o);
    const model = onTrig(start.model);
    const { form } = model;
    const asked = guided(onTrig(teacher.model), o.guidance);
    const loss = tangentLoss(model, o);
    const times = logNormalNsr(form, { mean: o.timeMean, std: o.timeStd });
    const player = student(start, (table, draws) => {
      const t = draws.clock("t", times);
      const pair = independent(draws, t);
      const x = draws.note(
        "state",
        read(pair, (time) => trig.at(time)),
      );
      const cond = draws.cond("dropped");
      const followed = o.guidance === 1 ? cond : draws.cond("full");
      const dx = draws.note(
        "velocity",
        o.distill ? stopGradient(read(predict(asked, teacher.params, x, t, followed), vRow)) : read(pair, vRow),
      );
      return loss(table(STUDENT), x, t, dx, cond, draws);
    });
    const sampler = evenly([1, 2, 4], "lcm");
    const share = afterSettling(teacher, o);
    yield stageOf(start, { name: "scm", model, players: [player], source: { data: "" }, sampler, share });
  },
});
