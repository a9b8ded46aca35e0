// Methods that take derivatives in time need a network that is smooth in time. One that is told 1000·t through waves as
// fast as its label has derivatives a thousand times its values, which drown what the method learns from (Lu & Song
// 2024, section 4.1). So it is told less first, and learns its teacher's predictions again: by least squares in the layer
// that sees the waves, where that is a U-Net's, and then by training.

import * as z from "zod";
import { uniform } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import { square, stopGradient, sub } from "../graph/index.ts";
import { inForm, networkModel, predict, timeLabel } from "../model.ts";
import { fromConstants, unflatten } from "../nn/params.ts";
import { retimed } from "../nn/retime.ts";
import { meanOfSample } from "../objectives/regress.ts";
import { read } from "../pair.ts";
import { evenly, idle, stageOf, student } from "./parts.ts";
import { type Idle, STUDENT, type Stage, type Start } from "./recipe.ts";

export const settleOptions = {
  timeScale: z
    .number()
    .positive()
    .optional()
    .describe("What the network is told at t = 1; a low number makes it smooth in time. Default as the teacher."),
  settle: z
    .number()
    .min(0)
    .lt(1)
    .default(0.2)
    .describe(
      "With another time scale: share of the budget in which the student learns its teacher's predictions again; 0: none, for a U-Net, whose first layer of the time is refitted in any case.",
    ),
};

export interface SettleOptions {
  readonly timeScale?: number;
  readonly settle: number;
}

const unchanged = (teacher: Start, { timeScale }: SettleOptions) =>
  timeScale === undefined || timeScale === teacher.timeInput.scale;

export const idleSettling = (o: SettleOptions, teacher?: Start): Idle =>
  idle(
    o.timeScale === undefined || (teacher !== undefined && unchanged(teacher, o)),
    "without another --time-scale than the teacher's",
    "settle",
  );

/** What is left of the budget after it; 1 where the time scale is the teacher's. */
export const afterSettling = (teacher: Start, o: SettleOptions): number => (unchanged(teacher, o) ? 1 : 1 - o.settle);

/** The teacher with another time scale, after a stage that teaches it; the teacher itself where that is not asked for. */
export function* settled(teacher: Start, o: SettleOptions): Generator<Stage, Start, Start> {
  if (o.timeScale === undefined || unchanged(teacher, o)) return teacher;
  const timeInput = { ...teacher.timeInput, scale: o.timeScale, offset: 0 };
  const { form, native, prediction, own } = teacher.model;
  const told = networkModel(teacher.network, native ?? form, own ?? prediction, timeInput);
  const model = native ? inForm(told, form) : told;
  const labels = [timeLabel(teacher.timeInput), timeLabel(timeInput)] as const;
  const theta = retimed(teacher.network, teacher.spec, teacher.theta, ...labels);
  const start: Start = { ...teacher, timeInput, model, theta, params: fromConstants(unflatten(teacher.spec, theta)) };
  if (o.settle === 0) return start;
  const player = student(start, (table, draws) => {
    const t = draws.clock("t", uniform({ from: form.tMin, to: form.tMax }));
    const x = read(independent(draws, t), (time) => form.at(time));
    const cond = draws.cond("dropped");
    const row = (time: number) => prediction.row(form, time);
    const value = read(predict(model, table(STUDENT), x, t, cond), row);
    const target = stopGradient(read(predict(teacher.model, teacher.params, x, t, cond), row));
    return meanOfSample(square(sub(draws.note("value", value), draws.note("target", target))));
  });
  const sampler = evenly([4]);
  const name = "smooth in time";
  return yield stageOf(start, { name, model, players: [player], source: { data: "" }, sampler, share: o.settle });
}
