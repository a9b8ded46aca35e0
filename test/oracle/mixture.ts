// One-dimensional Gaussian mixtures: exact score, denoiser and endpoint of the flow, on any form.
import { type Form, normalCdf, type Prediction, type Row } from "../../src/core/index.ts";
import type { Predict, Vector } from "../../src/solvers/index.ts";

export interface Mixture {
  readonly weights: readonly number[];
  readonly means: readonly number[];
  readonly stds: readonly number[];
}

/** The mixture most reference numbers are for. */
export const gmmA: Mixture = { weights: [0.3, 0.7], means: [-1.5, 1], stds: [0.2, 0.4] };

/** log p, score, E[eps | x] and E[x0 | x] of the noised mixture at (alpha, sigma). */
export function posterior({ weights, means, stds }: Mixture, [alpha, sigma]: Row, x: number) {
  const parts = weights.map((w, k) => {
    const variance = (alpha * stds[k]) ** 2 + sigma ** 2;
    const z = x - alpha * means[k];
    return { k, variance, z, logp: Math.log(w) - (z * z) / (2 * variance) - 0.5 * Math.log(2 * Math.PI * variance) };
  });
  const top = Math.max(...parts.map((p) => p.logp));
  const total = parts.reduce((sum, p) => sum + Math.exp(p.logp - top), 0);
  let [score, data] = [0, 0];
  for (const { k, variance, z, logp } of parts) {
    const p = Math.exp(logp - top) / total;
    score -= (p * z) / variance;
    data += p * (means[k] + (alpha * stds[k] ** 2 * z) / variance);
  }
  return { logp: top + Math.log(total), score, eps: -sigma * score, x0: data };
}

export function mixtureDenoiser<V extends Vector>(mixture: Mixture, form: Form, prediction: Prediction): Predict<V> {
  return async (x, t) => {
    const row = form.at(t);
    const [a, b] = prediction.row(form, t);
    return x.map((value) => {
      const { eps, x0 } = posterior(mixture, row, value);
      return a * x0 + b * eps;
    }) as V;
  };
}

/** P(y <= value) of the mixture with noise r added (the scaled state y = x/alpha). */
export const cdf = ({ weights, means, stds }: Mixture, y: number, r: number): number =>
  weights.reduce((sum, w, k) => sum + w * normalCdf((y - means[k]) / Math.hypot(stds[k], r)), 0);

/** The exact end at noise level `to` of the flow through y at level `from`: one-dimensional flows keep the quantile. */
export function endpoint(mixture: Mixture, y: number, from: number, to: number): number {
  const level = cdf(mixture, y, from);
  let [low, high] = [-20 - 20 * to, 20 + 20 * to];
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (cdf(mixture, middle, to) < level) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
