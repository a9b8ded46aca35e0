// Progressive distillation (Salimans & Ho 2022, algorithm 2): one step of the student does what two of the teacher do;
// then the student is the teacher, and the steps are halved.

import * as z from "zod";
import { discrete, snrPlusOne, truncatedSnr, uniform } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import { stopGradient } from "../graph/index.ts";
import { regress } from "../objectives/regress.ts";
import { dataRow, read } from "../pair.ts";
import { solve } from "../solve.ts";
import { distanceOf, evenly, idleScale, option, smallTraining, stageOf, student } from "./parts.ts";
import { recipe, STUDENT } from "./recipe.ts";

export const progressive = recipe({
  name: "progressive",
  summary: "Two steps of the teacher become one of the student, again and again.",
  paper: {
    cite: "Salimans & Ho 2022, Progressive Distillation for Fast Sampling of Diffusion Models",
    url: "https://arxiv.org/abs/2202.00512",
    differs: ["the mean over a sample's elements, not their sum", "the teacher keeps its form and its prediction"],
  },
  options: z.object({
    from: z.int().positive().default(8).describe("Steps of the first student; its teacher takes twice as many."),
    to: z.int().positive().default(1).describe("Steps of the last student."),
    weight: z
      .enum(["truncated-snr", "snr+1"])
      .default("truncated-snr")
      .describe("Weight of the squared error of the data: max(SNR, 1) or SNR + 1."),
    distance: option.distance("mse"),
    distanceScale: option.distanceScale(),
  }),
  training: { lr: 1e-4, ema: 0.99, images: 64_000 },
  small: {
    points: { ...smallTraining.points, images: 614400 },
    images: { ...smallTraining.images, from: 4, images: 19_200 },
  },
  needs: () => ["data"],
  teacherNfe: () => ({ perImage: 2, perPair: 0 }),
  idle: idleScale,
  *stages(teacher, o) {
    const halved = Array.from({ length: 1 + Math.floor(Math.log2(o.from)) }, (_, k) => Math.floor(o.from / 2 ** k));
    if (!halved.includes(o.to))
      throw new RangeError(
        `${o.from} steps become ${halved.join(", ")} by halving. Expected --to to be one of them, not ${o.to}.`,
      );
    let from = teacher;
    for (const n of halved.filter((steps) => steps >= o.to)) {
      const { model, params } = from;
      const { form } = model;
      const weigh = o.weight === "snr+1" ? snrPlusOne : truncatedSnr;
      const loss = regress(model, { compare: dataRow, distance: distanceOf(o), weight: (t) => weigh(form, t) });
      const after = (halves: number) => (t: number) => Math.max(0, t - halves / (2 * n));
      const player = student(from, (table, draws) => {
        const t = draws.clock("t", discrete(n, uniform()));
        const cond = draws.cond("dropped");
        const z = read(independent(draws, t), (time) => form.at(time));
        const middle = draws.note("middle", solve(model, params, z, [t, t.at(after(1))], cond));
        const end = draws.note(
          "end",
          stopGradient(solve(model, params, middle, [t.at(after(1)), t.at(after(2))], cond)),
        );
        // The data that one step would have to see to get there: the chord of the two.
        const pair = { clock: t, a: z, rowA: form.at, b: end, rowB: (time: number) => form.at(after(2)(time)) };
        return loss(table(STUDENT), pair, cond, draws);
      });
      const name = `${n} step${n === 1 ? "" : "s"}`;
      from = yield stageOf(from, { name, model, players: [player], source: { data: "" }, sampler: evenly([n]) });
    }
  },
});
