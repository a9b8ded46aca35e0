// What a network outputs, as rows. Changing one into another is a `transfer`; there are no conversion functions.
import type { Form } from "./form.ts";
import { type Row, transfer } from "./row.ts";

export const predictionNames = ["eps", "x0", "v", "u", "score", "edm", "diff_eps"] as const;
export type PredictionName = (typeof predictionNames)[number];

export interface Prediction {
  readonly name: PredictionName;
  row(form: Form, t: number): Row;
  /** Only of "edm": the standard deviation of the data its preconditioning assumes. */
  readonly sigmaData?: number;
}

/** The noise. */
export const eps: Prediction = { name: "eps", row: () => [0, 1] };

/** The data. */
export const x0: Prediction = { name: "x0", row: () => [1, 0] };

/** alpha·eps - sigma·x0 (Salimans & Ho 2022; diffusers' v_prediction). */
export const vPrediction: Prediction = {
  name: "v",
  row(form, t) {
    const [alpha, sigma] = form.at(t);
    return [-sigma, alpha];
  },
};

/** dx/dt of the form; on the linear form eps - x0. */
export const velocity: Prediction = { name: "u", row: (form, t) => form.rate(t) };

/** ∇ log p_t = -eps/sigma. */
export const score: Prediction = { name: "score", row: (form, t) => [0, -1 / form.at(t)[1]] };

/** The network F of EDM: x0 = c_skip·x + c_out·F on the state scaled to alpha = 1 (Karras et al. 2022, table 1). */
export function edmWith(sigmaData: number): Prediction {
  if (!(sigmaData > 0)) throw new RangeError(`sigmaData is ${sigmaData}. Expected a positive number.`);
  return {
    name: "edm",
    sigmaData,
    row(form, t) {
      const [alpha, sigma] = form.at(t);
      const r = sigma / alpha;
      const total = Math.hypot(r, sigmaData);
      // (1 - c_skip)/c_out = r/(sigmaData·total) and -c_skip·r/c_out = -sigmaData/total
      return [alpha === 0 ? 1 / sigmaData : r / (sigmaData * total), -sigmaData / total];
    },
  };
}
export const edmPrediction: Prediction = edmWith(0.5);

/** PeRFlow's "diff_eps": the noise that a window's end needs to become its start, z_s = γ z_e + √(1 - γ²)·eps. */
export const diffEps: Prediction = {
  name: "diff_eps",
  row(form, t) {
    if (!form.windows) {
      throw new RangeError(
        `Prediction diff_eps is local to a window, but the form ${form.name} has none. Expected a chord.`,
      );
    }
    const { start, end } = form.windows.of(t);
    const [s, e] = [form.at(start), form.at(end)];
    const gamma = s[0] / e[0];
    if (!(gamma < 1)) {
      throw new RangeError(
        `Prediction diff_eps needs alpha to grow in a window; on ${form.name} at t = ${t} it does not.`,
      );
    }
    return [0, (s[1] - gamma * e[1]) / Math.sqrt(1 - gamma * gamma)];
  },
};

/**
 * Coefficients (p, q) with wanted = p·x + q·prediction, for the state x at t.
 * @throws RangeError naming prediction, form and t where the read is singular.
 */
export function coefficients(form: Form, t: number, prediction: Prediction, want: Row): Row {
  const [have, pred] = [form.at(t), prediction.row(form, t)];
  try {
    return transfer(have, pred, want);
  } catch (cause) {
    throw new RangeError(
      `Cannot read row [${want.join(", ")}] from the prediction ${prediction.name} on the form ${form.name} at t = ${t}: ` +
        `the prediction says nothing beyond the state there (rows [${have.join(", ")}] and [${pred.join(", ")}]). ` +
        "Use another prediction, or a time away from this end.",
      { cause },
    );
  }
}
