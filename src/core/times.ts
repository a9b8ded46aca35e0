// Time laws: how training times are drawn, as quantile functions of q in [0, 1).
import type { Form } from "./form.ts";
import { normalQuantile } from "./quantile.ts";

/** Quantile function: q uniform in [0, 1) gives a training time in (0, 1]. Stratified q give stratified times. */
export type TimeLaw = (q: number) => number;

/** Uniform on (from, to]: q = 0 is the noisy end, as PeRFlow draws t = 1 - q. */
export const uniform =
  ({ from = 0, to = 1 }: { from?: number; to?: number } = {}): TimeLaw =>
  (q) =>
    to - (to - from) * q;

/** sigmoid of a normal: more weight in the middle (Esser et al. 2024, eq. 19). */
export const logitNormal =
  ({ mean = 0, std = 1 }: { mean?: number; std?: number } = {}): TimeLaw =>
  (q) =>
    1 / (1 + Math.exp(-(mean + std * normalQuantile(inside(q)))));

/** ln(sigma/alpha) normal on a form (EDM: mean -1.2, std 1.2), cut to the form's times. */
export function logNormalNsr(form: Form, { mean = -1.2, std = 1.2 }: { mean?: number; std?: number } = {}): TimeLaw {
  const level = (t: number) => {
    const [alpha, sigma] = form.at(t);
    return normalCdf((Math.log(sigma / alpha) - mean) / std);
  };
  const [low, high] = [level(form.tMin), level(form.tMax)];
  return (q) => form.tAt(-(mean + std * normalQuantile(inside(low + (high - low) * q))));
}

/** A law rounded up to k/levels, k = 1..levels: never t = 0. PeRFlow's t = 1 - floor(qQ)/Q when the law is uniform. */
export const discrete =
  (levels: number, law: TimeLaw = uniform()): TimeLaw =>
  (q) =>
    Math.max(1, Math.ceil(law(q) * levels - 1e-9)) / levels;

/** A law pushed towards noise: t -> k t / (1 + (k - 1) t). */
export const shifted =
  (shift: number, law: TimeLaw = uniform()): TimeLaw =>
  (q) => {
    const t = law(q);
    return (shift * t) / (1 + (shift - 1) * t);
  };

/** A share of all draws at the given times, in equal parts; the rest by `law`. Few-step samplers evaluate only there. */
export const withAtoms =
  (share: number, times: readonly number[], law: TimeLaw = uniform()): TimeLaw =>
  (q) =>
    q < share ? times[Math.floor((q / share) * times.length)] : law((q - share) / (1 - share));

/** One q per stratum, all moved by one offset in [0, 1): lower variance than independent draws (VDM, appendix I.1). */
export const stratified = (batch: number, offset: number): Float64Array =>
  Float64Array.from({ length: batch }, (_, i) => (i + offset) / batch);

/** q = 0 would be an infinite quantile; half the smallest step of a 53-bit draw is not. */
const inside = (q: number): number => Math.min(1 - 2 ** -53, Math.max(q, 2 ** -54));

/** Standard normal distribution function (Abramowitz & Stegun 7.1.6/7.1.14 by series and continued fraction). */
export function normalCdf(x: number): number {
  const z = Math.abs(x) / Math.SQRT2;
  const tail = z < 2.5 ? 1 - erfSeries(z) : erfcFraction(z);
  return x > 0 ? 1 - tail / 2 : tail / 2;
}

function erfSeries(z: number): number {
  let term = z;
  let sum = z;
  for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
    term *= (2 * z * z) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
}

function erfcFraction(z: number): number {
  let f = z;
  for (let k = 60; k >= 1; k--) f = z + k / 2 / f;
  return Math.exp(-z * z) / (Math.sqrt(Math.PI) * f);
}
