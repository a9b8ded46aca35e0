// Regression onto a row of the pair: the objective of diffusion, flow matching, PeRFlow and Rectified Diffusion.

import type { Cond } from "../condition.ts";
import type { Draws } from "../draws.ts";
import { mean, mul, type Tensor } from "../graph/index.ts";
import { type Model, predict } from "../model.ts";
import { type Pair, type RowAt, read } from "../pair.ts";
import type { Distance } from "./distances.ts";

export interface RegressOptions {
  /** The row that student and pair are compared at; default: what the student predicts. */
  readonly compare?: RowAt;
  readonly distance: Distance;
  /** Weight of a sample's loss. A factor q on the compared row is a weight q² on a squared error. */
  readonly weight?: (t: number) => number;
}

/** From parameters and a pair to a loss per sample [B]. */
export type Regression<P> = (p: P, pair: Pair, cond: Cond, draws: Draws) => Tensor;

/** The student at the start of a pair, compared with what the pair leads to, in the row `compare` (default: that of its own prediction). */
export function regress<P>(model: Model<P>, { compare, distance, weight }: RegressOptions): Regression<P> {
  return (p, pair, cond, draws) => {
    const x = draws.note(
      "state",
      read(pair, (t) => model.form.at(t)),
    );
    const student = predict(model, p, x, pair.clock, cond);
    const row = compare ?? student.rowB;
    const value = draws.note("value", read(student, row));
    const error = distance(value, draws.note("target", read(pair, row)));
    const loss = meanOfSample(error);
    return weight ? mul(loss, draws.note("weight", pair.clock.column(weight, 1))) : loss;
  };
}

/** The mean over the elements of every sample: [B, …] to [B]. */
export const meanOfSample = (x: Tensor): Tensor =>
  mean(
    x,
    x.shape.flatMap((_, i) => (i > 0 ? [i] : [])),
  );
