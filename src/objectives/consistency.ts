// Consistency: two points of one trajectory have one end (Song et al. 2023, eq. 7 and 10).

import type { Clock } from "../clock.ts";
import type { Cond } from "../condition.ts";
import type { Draws } from "../draws.ts";
import { stopGradient, type Tensor } from "../graph/index.ts";
import type { Distance } from "./distances.ts";
import { meanOfSample } from "./regress.ts";

/** A consistency function; see `endOf`. */
export type EndOf<P> = (p: P, x: Tensor, clock: Clock, cond: Cond) => Tensor;

export interface Moment {
  readonly x: Tensor;
  readonly clock: Clock;
}

/**
 * From the student's parameters and those of its target to a loss per sample [B]: f(x_t, t) against f_target(x_s, s),
 * where `solved` is x_s, one step of the teacher nearer to the data, or the same noise at s.
 */
export const consistency =
  <P>(f: EndOf<P>, distance: Distance) =>
  (p: P, target: P, state: Moment, solved: Moment, cond: Cond, draws: Draws): Tensor => {
    const end = stopGradient(f(target, stopGradient(solved.x), solved.clock, cond));
    const value = f(p, state.x, state.clock, cond);
    return meanOfSample(distance(draws.note("value", value), draws.note("target", end)));
  };
