// Regression onto a row of the pair: the objective of diffusion, flow matching, PeRFlow and Rectified Diffusion.

import type { Draw } from "../couplings/coupling.ts";
import { mean, mul, type Tensor } from "../graph/index.ts";
import { type Model, predict } from "../model.ts";
import { type Clock, type RowAt, read } from "../pair.ts";
import type { Distance } from "./distances.ts";

/** From parameters and a draw to a loss per sample [B]. */
export type Objective<P> = (p: P, draw: Draw, clock: Clock) => Tensor;

export interface RegressOptions {
  /** The row that student and pair are compared at; default: what the student predicts. */
  readonly compare?: RowAt;
  readonly distance: Distance;
  /** Weight of a sample's loss. A factor q on the compared row is a weight q² on a squared error. */
  readonly weight?: (t: number) => number;
}

export function regress<P>(model: Model<P>, { compare, distance, weight }: RegressOptions): Objective<P> {
  return (p, { pair, labels }, clock) => {
    const x = read(pair, (t) => model.form.at(t));
    const student = predict(model, p, x, clock, labels);
    const row = compare ?? student.rowB;
    const error = distance(read(student, row), read(pair, row));
    const perSample = mean(
      error,
      error.shape.flatMap((_, i) => (i > 0 ? [i] : [])),
    );
    return weight ? mul(perSample, clock.column(weight, 1)) : perSample;
  };
}
