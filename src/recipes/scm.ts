// Continuous-time consistency models (sCM, Lu & Song 2024, algorithm 1): the consistency function does not change along a
// trajectory, so its tangent, exact by forward mode, is what is left to remove.

import { z } from "zod";
import { cosine, logNormalNsr, v } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import { add, div, jvp, mul, neg, perSample, sqrt, square, stopGradient, sub, sumOfSquares } from "../graph/index.ts";
import { guided, inForm, predict } from "../model.ts";
import { meanOfSample } from "../objectives/regress.ts";
import { read } from "../pair.ts";
import { evenly, option, passes, stageOf, student } from "./parts.ts";
import { type NetModel, recipe, STUDENT } from "./recipe.ts";
import { afterSettling, settled, settleOptions } from "./settle.ts";

/** TrigFlow's angle is πt/2: the cosine form, on which its F is v. */
const trig = cosine();
const vRow = (t: number) => v.row(trig, t);
const cos = (t: number) => trig.at(t)[0];
const sin = (t: number) => trig.at(t)[1];

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
    tangentWarmup: z.int().nonnegative().default(1000).describe("Steps over which the tangent's second part comes in."),
    normalize: z.boolean().default(true).describe("Divides the tangent by its norm plus c."),
    tangentOffset: z.number().nonnegative().default(0.1).describe("Added to the tangent's norm."),
    timeMean: z.number().default(-1).describe("Mean of ln(sigma/alpha) of times."),
    timeStd: z.number().positive().default(1.4).describe("Standard deviation of ln(sigma/alpha) of times."),
    ...settleOptions,
  }),
  training: { lr: 1e-4, ema: 0.99, images: 128_000 },
  small: { batch: 256, lr: 0.001, ema: 0.99, warmup: 50, tangentWarmup: 500, timeScale: 5, images: 614400 },
  needs: (o) => ["data", ...(o.guidance === 1 ? [] : ["guidance" as const])],
  teacherNfe: (o) => ({ perImage: o.distill ? passes(o.guidance) : 0, perPair: 0 }),
  *stages(teacher, o) {
    const onTrig = (model: NetModel) => (model.form.spec.kind === "cosine" ? model : inForm(model, trig));
    const start = yield* settled(teacher, o);
    const model = onTrig(start.model);
    const { form } = model;
    const asked = guided(onTrig(teacher.model), o.guidance);
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
      const moving = t.moving();
      const F = draws.note("value", read(predict(model, table(STUDENT), x, moving.clock, cond), vRow));
      const { columns, rates } = moving.columns();
      // Per angle: d/dθ = (2/π) d/dt.
      const perAngle = rates.map((rate) => mul(rate, 2 / Math.PI));
      const dF = draws.note("derivative", stopGradient(jvp([F], [x, ...columns], [dx, ...perAngle])[0]));
      const rank = x.shape.length;
      const first = mul(
        t.column((time) => cos(time) ** 2, rank),
        sub(stopGradient(F), dx),
      );
      const second = mul(
        t.column((time) => cos(time) * sin(time), rank),
        add(x, dF),
      );
      const ramp = o.tangentWarmup === 0 ? second : mul(second, draws.ramp(o.tangentWarmup));
      const tangent = draws.note("tangent", neg(add(first, ramp)));
      const norm = perSample(
        sqrt(
          sumOfSquares(
            tangent,
            x.shape.flatMap((_, i) => (i > 0 ? [i] : [])),
          ),
        ),
        rank,
      );
      const g = draws.note("normalized_tangent", o.normalize ? div(tangent, add(norm, o.tangentOffset)) : tangent);
      const target = draws.note("target", stopGradient(add(F, g)));
      return meanOfSample(square(sub(F, target)));
    });
    const sampler = evenly([1, 2, 4], "lcm");
    const share = afterSettling(teacher, o);
    yield stageOf(start, { name: "scm", model, players: [player], source: { data: "" }, sampler, share });
  },
});
