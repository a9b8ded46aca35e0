// MeanFlow's identity (Geng et al. 2025, eq. 6): the average velocity u over [r, t] is v − (t − r)·du/dt, v the velocity at
// t and du/dt the derivative along the trajectory.

import type { Clock } from "../clock.ts";
import { type Cond, withoutData } from "../condition.ts";
import type { Draws } from "../draws.ts";
import {
  add,
  cast,
  constant,
  equal,
  jvp,
  mul,
  perSample,
  pow,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
  where,
} from "../graph/index.ts";
import { type Model, predict } from "../model.ts";
import { type Pair, read, straightRow } from "../pair.ts";

export interface MeanVelocityOptions {
  /** Of the velocity that is learned; samples with nothing given are not guided. */
  readonly guidance: number;
  /** The weight of a sample is (error + weightOffset)^−weightPower. */
  readonly weightPower: number;
  readonly weightOffset: number;
}

/**
 * From parameters, a pair on straight paths and the earlier time r to a loss per sample [B]; `model` is told the span t − r.
 * `known` gives the velocity at a state where it is known; else it is the pair's, which is right on average.
 */
export const meanVelocity =
  <P>(model: Model<P>, o: MeanVelocityOptions, known?: (z: Tensor, t: Clock, draws: Draws) => Tensor) =>
  (p: P, pair: Pair, r: Clock, cond: Cond, draws: Draws): Tensor => {
    const t = pair.clock;
    const z = draws.note(
      "state",
      read(pair, (time) => model.form.at(time)),
    );
    const v = draws.note("velocity", known?.(z, t, draws) ?? guidedVelocity(model, p, pair, z, cond, o.guidance));
    // Along (dz, dr, dt) = (v, 0, 1).
    const moving = t.moving(model.form);
    const span = moving.clock.with([r], (now, before) => now - before, 1);
    const u = draws.note("value", read(predict(model, p, z, moving.clock, { ...cond, span }), straightRow));
    const { columns, rates } = moving.columns();
    const [du] = jvp([u], [z, ...columns], [v, ...rates]);
    draws.note("derivative", du);
    const reach = t.with([r], (now, before) => now - before, z.shape.length);
    const target = draws.note("target", stopGradient(sub(v, mul(reach, du))));
    const elements = z.shape.flatMap((_, i) => (i > 0 ? [i] : []));
    const error = draws.note("squared_error", sum(square(sub(u, target)), elements));
    const weight = draws.note("weight", stopGradient(pow(add(error, o.weightOffset), -o.weightPower)));
    return mul(weight, error);
  };

/** g·v + (1 − g)·u(z, t, t | nothing given), without gradient (section 4.2). Throws a RangeError for a model without labels. */
function guidedVelocity<P>(model: Model<P>, p: P, pair: Pair, z: Tensor, cond: Cond, guidance: number): Tensor {
  const { clock: t } = pair;
  const v = read(pair, straightRow);
  if (guidance === 1) return v;
  const { conditions } = model;
  if (!conditions.labels?.none || !cond.labels)
    throw new RangeError(
      `Guidance ${guidance} of the velocity needs labels of which one means "no label"; this model has none. Use guidance 1.`,
    );
  const nothing = { ...withoutData(conditions, cond, t.batch), span: t.column(() => 0, 1) };
  const free = stopGradient(read(predict(model, p, z, t, nothing), straightRow));
  const none = Number(conditions.labels.none[0]);
  const dropped = perSample(equal(cast(cond.labels, "float32"), constant(none)), z.shape.length);
  return where(dropped, v, add(mul(v, guidance), mul(free, 1 - guidance)));
}
