// What methods with a second network share: a generator's samples, and a critic that follows them.

import { type Form, startScale, uniform } from "../core/index.ts";
import type { CondKind, Draws } from "../draws.ts";
import { mul, stopGradient, type Tensor } from "../graph/index.ts";
import type { Params } from "../nn/params.ts";
import { distance } from "../objectives/distances.ts";
import { generate } from "../objectives/distribution.ts";
import { regress } from "../objectives/regress.ts";
import { noised, type RowAt } from "../pair.ts";
import { type NetModel, STUDENT, type Table } from "./recipe.ts";

export const CRITIC = "critic";

/** Times at which samples are noised: the ends say little (DMD, appendix B). */
export const inside = uniform({ from: 0.02, to: 0.98 });

/** The student's samples, made once for all losses of a step: from fresh noise, or from `noise` [B, …]. */
export const samplesOf = (
  model: NetModel,
  times: readonly number[],
  table: Table,
  draws: Draws,
  noise: () => Tensor = () => mul(draws.normal("noise"), startScale(model.form, times[0])),
): Tensor =>
  draws.share("generated", () => generate({ model, times }, table(STUDENT), noise(), draws.cond("full"), draws));

/** The times of a student with n steps. */
export const evenTimes = (n: number, { tMax }: Form): readonly number[] =>
  Array.from({ length: n }, (_, k) => tMax * (1 - k / n));

/** The times of a student: those given, or evenly spaced ones. Throws a RangeError unless they fall from tMax. */
export function timesOf(
  o: { readonly steps: number; readonly stepTimes: readonly number[] },
  form: Form,
): readonly number[] {
  const { steps, stepTimes } = o;
  if (stepTimes.length === 0) return evenTimes(steps, form);
  const falling = stepTimes.every((t, k) => (k === 0 ? t === form.tMax : t < stepTimes[k - 1]));
  if (!falling || (steps !== 1 && steps !== stepTimes.length)) {
    const count = steps === 1 ? "Times" : `${steps} times`;
    throw new RangeError(
      `The step times are ${stepTimes.join(", ")}. ${count} that fall from ${form.tMax} are expected.`,
    );
  }
  return stepTimes;
}

/** How a critic follows the student: it denoises its samples x, compared in mean square at a row: [B]. */
export function following(model: NetModel, compare: RowAt, cond: CondKind) {
  const { tMin, tMax } = model.form;
  const follow = regress(model, { compare, distance: distance({ kind: "mse" }) });
  return (p: Params, x: Tensor, draws: Draws): Tensor => {
    const t = draws.clock("critic_t", uniform({ from: tMin, to: tMax }));
    return follow(p, noised(t, stopGradient(x), draws.normal("critic_noise")), draws.cond(cond), draws);
  };
}

/** Several vectors as one. */
export function joined(...parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
