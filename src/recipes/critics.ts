// What methods with a second network share: a generator's samples, a critic that follows them, a discriminator.

import { times } from "../clock.ts";
import { type Form, startScale, uniform } from "../core/index.ts";
import type { Draws } from "../draws.ts";
import { concat, input, mul, type Tensor } from "../graph/index.ts";
import type { Model } from "../model.ts";
import { features, headSpec, heads, middleFeatures } from "../nn/features.ts";
import { initialize } from "../nn/initialize.ts";
import type { ParamSpec, Params } from "../nn/params.ts";
import { generate } from "../objectives/distribution.ts";
import { noised, read } from "../pair.ts";
import type { Key } from "../random.ts";
import { type NetModel, STUDENT, type Start, type Table } from "./recipe.ts";

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

export interface Discriminator {
  /** Of the heads. */
  readonly spec: readonly ParamSpec[];
  readonly start: Float32Array;
  /** Logits [B, 1] of x, noised at a time and with a noise of these names. */
  judge(
    p: { network: Params; heads: Params },
    x: Tensor,
    at: { t: string; noise: string },
    prefix: string,
    draws: Draws,
  ): readonly Tensor[];
}

/** Heads on the features of a network. `named`: where they look; default: its middle. */
export function discriminator(start: Start, model: NetModel, named: readonly string[], seed: Key): Discriminator {
  const names = named.length > 0 ? named : middleFeatures(start.network);
  if (!names)
    throw new RangeError(
      "An ONNX file does not say what is computed inside, and a discriminator looks there. Use another method.",
    );
  const [x, cond] = onePass(model);
  const spec = headSpec(model, start.spec, names, times(1), x, cond);
  const see = features(model, names);
  return {
    spec,
    start: initialize(spec, seed),
    judge(p, sample, at, prefix, draws) {
      const t = draws.clock(at.t, inside);
      const state = read(noised(t, sample, draws.normal(at.noise)), (time) => model.form.at(time));
      const logits = heads(
        p.heads,
        names,
        see(p.network, draws.note(`state_${at.noise}`, state), t, draws.cond("full", prefix)),
      );
      draws.note(`logits_${at.noise}`, concat(logits, 1));
      return logits;
    },
  };
}

/** Inputs of one sample, for shapes. */
function onePass(model: Model<Params>): [Tensor, Record<string, Tensor>] {
  const cond = Object.entries(model.conditions).map(([name, { shape, dtype }]) => [
    name,
    input(name, [1, ...shape], dtype),
  ]);
  return [input("x", [1, ...model.sampleShape]), Object.fromEntries(cond)];
}
