// The tangent of a consistency function along a trajectory, on TrigFlow's angle (sCM, Lu & Song 2024, eq. 8): what is left
// to remove.

import type { Clock } from "../clock.ts";
import type { Cond } from "../condition.ts";
import { cosine, vPrediction } from "../core/index.ts";
import type { Draws } from "../draws.ts";
import {
  add,
  div,
  jvp,
  mul,
  neg,
  perSample,
  sqrt,
  square,
  stopGradient,
  sub,
  sumOfSquares,
  type Tensor,
} from "../graph/index.ts";
import { type Model, predict } from "../model.ts";
import { type RowAt, read } from "../pair.ts";
import { meanOfSample } from "./regress.ts";

/** TrigFlow's angle is πt/2: the cosine form, on which its F is v. */
export const trig = cosine();
export const vRow: RowAt = (t) => vPrediction.row(trig, t);
const cos = (t: number) => trig.at(t)[0];
const sin = (t: number) => trig.at(t)[1];

export interface TangentOptions {
  /** Steps over which the tangent's second part comes in. */
  readonly tangentWarmup: number;
  /** Divides the tangent by its norm plus `tangentOffset`. */
  readonly normalize: boolean;
  readonly tangentOffset: number;
}

/** From parameters, a state x at t and dx per angle to a loss per sample [B]: mean|F − sg[F + g]|², g the tangent. */
export const tangentLoss =
  <P>(model: Model<P>, o: TangentOptions) =>
  (p: P, x: Tensor, t: Clock, dx: Tensor, cond: Cond, draws: Draws): Tensor => {
    const rank = x.shape.length;
    const moving = t.moving(model.form);
    const F = draws.note("value", read(predict(model, p, x, moving.clock, cond), vRow));
    const { columns, rates } = moving.columns();
    // Per angle: d/dθ = (2/π) d/dt.
    const perAngle = rates.map((rate) => mul(rate, 2 / Math.PI));
    const dF = draws.note("derivative", stopGradient(jvp([F], [x, ...columns], [dx, ...perAngle])[0]));
    const first = mul(
      t.column((time) => cos(time) ** 2, rank),
      sub(stopGradient(F), dx),
    );
    const second = mul(
      t.column((time) => cos(time) * sin(time), rank),
      add(x, dF),
    );
    const ramped = o.tangentWarmup === 0 ? second : mul(second, draws.ramp(o.tangentWarmup));
    const tangent = draws.note("tangent", neg(add(first, ramped)));
    const elements = x.shape.flatMap((_, i) => (i > 0 ? [i] : []));
    const norm = perSample(sqrt(sumOfSquares(tangent, elements)), rank);
    const g = draws.note("normalized_tangent", o.normalize ? div(tangent, add(norm, o.tangentOffset)) : tangent);
    const target = draws.note("target", stopGradient(add(F, g)));
    return meanOfSample(square(sub(F, target)));
  };
