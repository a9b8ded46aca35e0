// The exact denoiser in every form and prediction: its network is told the angle of the state, whatever form made it.
import { type Form, type Prediction, type Row, transfer } from "../core/index.ts";
import { add, mul } from "../graph/index.ts";
import type { Model } from "../model.ts";
import type { Network } from "./network.ts";
import type { Params } from "./params.ts";

/** The model that predicts `prediction` on `form`; `network` is of family exact. */
export function exactModel(network: Network, form: Form, prediction: Prediction): Model<Params> {
  const { sampleShape, conditions } = network;
  const angle = (t: number) => Math.atan2(form.at(t)[1], form.at(t)[0]);
  const unit = (t: number) => 1 / Math.hypot(...form.at(t));
  // v at that angle, of which state and prediction can be read at any time: the determinant of the two rows is 1/unit.
  const known = (t: number): Row => [-Math.sin(angle(t)), Math.cos(angle(t))];
  const coefficient = (which: 0 | 1) => (t: number) => transfer(form.at(t), known(t), prediction.row(form, t))[which];
  const [ofState, ofNetwork] = [coefficient(0), coefficient(1)];
  return {
    form,
    prediction,
    sampleShape,
    conditions,
    apply(p, x, clock, cond) {
      const rank = x.shape.length;
      const tau = clock.column((t) => (1000 * angle(t)) / (Math.PI / 2), 1);
      const v = network.apply(p, mul(x, clock.column(unit, rank)), tau, cond);
      return add(mul(x, clock.column(ofState, rank)), mul(v, clock.column(ofNetwork, rank)));
    },
  };
}
