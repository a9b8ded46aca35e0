// Data N(m, s²): the exact denoiser, trajectory and ideal students, on any form.
import { type Form, type Prediction, type Row, transfer } from "../../src/core/index.ts";
import type { Predict, Vector } from "../../src/solvers/index.ts";

export interface Gaussian {
  readonly mean: number;
  readonly std: number;
}

const spread = ([alpha, sigma]: Row, { std }: Gaussian): number => Math.hypot(alpha * std, sigma);

/** E[eps | x] = sigma (x - alpha m)/S², E[x0 | x] = m + alpha s²(x - alpha m)/S², read as the prediction asked for. */
export function gaussianDenoiser<V extends Vector>(data: Gaussian, form: Form, prediction: Prediction): Predict<V> {
  return async (x, t) => {
    const [alpha, sigma] = form.at(t);
    const [a, b] = prediction.row(form, t);
    const variance = spread([alpha, sigma], data) ** 2;
    return x.map((value) => {
      const centered = value - alpha * data.mean;
      return a * (data.mean + (alpha * data.std ** 2 * centered) / variance) + (b * sigma * centered) / variance;
    }) as V;
  };
}

/** The exact trajectory keeps (x - alpha m)/S. */
export function gaussianFlow(data: Gaussian, form: Form, x: number, from: number, to: number): number {
  const [a, b] = [form.at(from), form.at(to)];
  return b[0] * data.mean + (spread(b, data) * (x - a[0] * data.mean)) / spread(a, data);
}

/** A consistency student: wherever it is read at form.at(end), it reads the end of the exact trajectory. */
export function consistencyStudent<V extends Vector>(
  data: Gaussian,
  form: Form,
  prediction: Prediction,
  end: number,
): Predict<V> {
  return async (x, t) => {
    const want = prediction.row(form, t);
    return x.map((value) => {
      if (t === end) return 0;
      const landed = gaussianFlow(data, form, value, t, end);
      const [p, q] = transfer(form.at(t), form.at(end), want);
      return p * value + q * landed;
    }) as V;
  };
}
