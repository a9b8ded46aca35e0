// Consistency functions: a model's data prediction joined with the state, f = skip·x + out·x0, so that f is the identity
// where a trajectory ends (Song et al. 2023, eq. 5).

import type { Clock } from "../clock.ts";
import type { Cond } from "../condition.ts";
import { type Form, transfer, x0 } from "../core/index.ts";
import { add, mul, type Tensor } from "../graph/index.ts";
import { type Model, type TimeInput, timeLabel } from "../model.ts";

/**
 * "jump": a DDIM step to the end of the trajectory, so f is the state there (PCM; no constant to choose).
 * "edm": c_skip and c_out of EDM in r = sigma/alpha (Song et al. 2023, appendix C), f is data.
 * "lcm": c_skip and c_out of ten times the network's time label, on the state itself (Luo et al. 2023, section 4.2).
 */
export type BoundaryKind = "jump" | "edm" | "lcm";

export interface Boundary {
  readonly kind: BoundaryKind;
  /** Standard deviation of the data: of "edm" and "lcm". */
  readonly sigmaData: number;
}

/** (skip, out) at t, for trajectories that end at form.tMin. */
function joined(form: Form, { kind, sigmaData }: Boundary, timeInput: TimeInput) {
  const label = timeLabel(timeInput);
  return (t: number): readonly [skip: number, out: number] => {
    const [alpha, sigma] = form.at(t);
    if (kind === "lcm") {
      const n = 10 * label(t);
      const s2 = sigmaData ** 2;
      return [s2 / (n * n + s2), n / Math.sqrt(n * n + s2)];
    }
    const end = form.at(form.tMin);
    if (kind === "jump") {
      if (t <= form.tMin) return [1, 0];
      return [end[1] / sigma, end[0] - (alpha * end[1]) / sigma];
    }
    const [r, rMin] = [sigma / alpha, end[1] / end[0]];
    if (t <= form.tMin) return [1 / alpha, 0];
    // With alpha = 0 nothing of the data is left in the state.
    if (alpha === 0) return [0, 1];
    const s2 = sigmaData ** 2;
    const out = (r - rMin) / r;
    return [(s2 / ((r - rMin) ** 2 + s2) - (out * s2) / (r * r + s2)) / alpha, out];
  };
}

/** f at x [B, …]: the model's end of the trajectory through x, whatever it predicts. */
export function endOf<P>(
  model: Model<P>,
  boundary: Boundary,
  timeInput: TimeInput,
): (p: P, x: Tensor, clock: Clock, cond: Cond) => Tensor {
  const { form, prediction } = model;
  const coefficients = joined(form, boundary, timeInput);
  const column = (which: 0 | 1) => (t: number) => {
    const [skip, out] = coefficients(t);
    // At the end the state alone counts, and a prediction need say nothing of the data there.
    if (out === 0) return which === 0 ? skip : 0;
    const [p, q] = transfer(form.at(t), prediction.row(form, t), [1, 0]);
    return which === 0 ? skip + out * p : out * q;
  };
  const [ofState, ofPrediction] = [column(0), column(1)];
  return (p, x, clock, cond) => {
    const rank = x.shape.length;
    const y = model.apply(p, x, clock, cond);
    return add(mul(x, clock.column(ofState, rank)), mul(y, clock.column(ofPrediction, rank)));
  };
}

/** A consistency model as an ordinary one: it predicts x0, and what it predicts is f. */
export function consistent<P>(
  model: Model<P>,
  boundary: { readonly kind: "edm" | "lcm"; readonly sigmaData: number },
  timeInput: TimeInput,
): Model<P> {
  const f = endOf(model, boundary, timeInput);
  return { ...model, prediction: x0, own: model.own ?? model.prediction, boundary, apply: f };
}
