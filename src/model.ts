// A model: a network with the form it lives in and what it predicts. Guidance and change of form are functions
// from model to model.

import type { Clock } from "./clock.ts";
import { type Columns, type Cond, canBeGuided, withoutData } from "./condition.ts";
import { type Form, logSnr, type Prediction } from "./core/index.ts";
import { add, mul, perSample, sub, type Tensor } from "./graph/index.ts";
import type { Pair } from "./pair.ts";

export interface Model<P> {
  readonly form: Form;
  readonly prediction: Prediction;
  /** Shape of one sample, e.g. [1, 28, 28]. */
  readonly sampleShape: readonly number[];
  /** What it is conditioned on besides the time; {}: nothing. */
  readonly conditions: Columns;
  /** The prediction at x [B, ...sampleShape]; `cond` has the columns of `conditions`. `p` gives the parameters. */
  apply(p: P, x: Tensor, clock: Clock, cond: Cond): Tensor;
  /** The form that its network knows, where it is read in another one: see `inForm`. */
  readonly native?: Form;
  /** What its network predicts, where `prediction` is made of that; and how: see objectives/boundary.ts. */
  readonly own?: Prediction;
  readonly boundary?: { readonly kind: "edm" | "lcm"; readonly sigmaData: number };
}

export interface NetworkLike<P> {
  readonly sampleShape: readonly number[];
  readonly conditions: Columns;
  apply(p: P, x: Tensor, tau: Tensor, cond: Cond): Tensor;
}

/** What the network is told for a time t: scale·t + offset. Diffusers' tables of 1000 entries: 1000·t − 1. */
export interface TimeInput {
  readonly scale: number;
  readonly offset: number;
  /** Whether it sees the state over √(alpha² + sigma²): on forms whose states grow (VE, EDM). Default false. */
  readonly normalize?: boolean;
}

/** What the network is told at t. */
export const timeLabel =
  ({ scale, offset }: TimeInput) =>
  (t: number): number =>
    scale * t + offset;

/** A network as a model: its output is `prediction` on `form`, and it is told times as `time` says. */
export function networkModel<P>(
  network: NetworkLike<P>,
  form: Form,
  prediction: Prediction,
  time: TimeInput,
): Model<P> {
  const tau = timeLabel(time);
  const unit = (t: number) => 1 / Math.hypot(...form.at(t));
  const seen = (x: Tensor, clock: Clock) => (time.normalize ? mul(x, clock.column(unit, x.shape.length)) : x);
  return {
    form,
    prediction,
    sampleShape: network.sampleShape,
    conditions: network.conditions,
    apply(p, x, clock, cond) {
      // A span of time is told on the scale of time.
      const told = cond.span ? { ...cond, span: mul(cond.span, time.scale) } : cond;
      return network.apply(p, seen(x, clock), clock.column(tau, 1), told);
    },
  };
}

/** State and prediction of one evaluation: everything the model knows at x. */
export function predict<P>(model: Model<P>, p: P, x: Tensor, clock: Clock, cond: Cond): Pair {
  return {
    clock,
    a: x,
    rowA: (t) => model.form.at(t),
    b: model.apply(p, x, clock, cond),
    rowB: (t) => model.prediction.row(model.form, t),
  };
}

/**
 * Classifier-free guidance (Ho & Salimans 2022): null + scale·(conditional − null); 1 is no guidance. `scale` may be one
 * per sample [B]. A combination of predictions at one row stays at that row, so it is the same in any prediction.
 * Throws a RangeError for a model to which nothing is given that could be left out.
 */
export function guided<P>(model: Model<P>, scale: number | Tensor): Model<P> {
  const { conditions } = model;
  if (scale === 1) return model;
  if (!canBeGuided(conditions)) {
    const why = conditions.labels ? `was trained without a "no label"` : "has no labels";
    const said = typeof scale === "number" ? `Guidance ${scale}` : "Guidance";
    throw new RangeError(`${said} needs a conditional model; this one ${why}. Use guidance 1.`);
  }
  return {
    ...model,
    apply(p, x, clock, cond) {
      const unconditional = model.apply(p, x, clock, withoutData(conditions, cond, clock.batch));
      const conditional = model.apply(p, x, clock, cond);
      const g = typeof scale === "number" ? scale : perSample(scale, x.shape.length);
      return add(mul(conditional, g), mul(unconditional, typeof g === "number" ? 1 - g : sub(1, g)));
    },
  };
}

/**
 * The same network read in another form, without retraining: at every time the model is asked at the time of equal
 * SNR, with the state rescaled (SNR matching). Its samples stay the same up to solver error. Times whose SNR the native
 * form does not reach are cut off: the new form's tMin and tMax are the ends of what is left.
 */
export function inForm<P>(model: Model<P>, form: Form): Model<P> {
  const native = (t: number) => model.form.tAt(logSnr(form, t));
  // alpha/alpha' and sigma/sigma' agree at equal SNR; the norms are safe where one of them is zero.
  const scale = (t: number) => Math.hypot(...model.form.at(native(t))) / Math.hypot(...form.at(t));
  const [cleanest, noisiest] = [model.form.tMin, model.form.tMax].map((t) => logSnr(model.form, t));
  const tMin = logSnr(form, form.tMin) > cleanest ? form.tAt(cleanest) : form.tMin;
  const tMax = logSnr(form, form.tMax) < noisiest ? form.tAt(noisiest) : form.tMax;
  return {
    ...model,
    form: { ...form, tMin, tMax },
    native: model.form,
    own: model.own ?? model.prediction,
    prediction: {
      ...model.prediction,
      // Rows of the native form read the same hidden pair, so they are right as they are.
      row: (_, t) => model.prediction.row(model.form, native(t)),
    },
    apply: (p, x, clock, cond) => model.apply(p, mul(x, clock.column(scale, x.shape.length)), clock.at(native), cond),
  };
}
