// Loss weights as functions of form and time. They multiply a squared error in the named space.
import type { Form } from "./form.ts";
import type { Windows } from "./windows.ts";

export type Weight = (form: Form, t: number) => number;

export const constant: Weight = () => 1;

/** alpha²/sigma²: an eps-error read as an x0-error is divided by it, and the reverse. */
export const snr: Weight = (form, t) => {
  const [alpha, sigma] = form.at(t);
  return (alpha / sigma) ** 2;
};

/** min(SNR, gamma) for an x0-error (Hang et al. 2023; gamma = 5). */
export const minSnr =
  (gamma = 5): Weight =>
  (form, t) =>
    Math.min(snr(form, t), gamma);

/** max(SNR, 1) for an x0-error (Salimans & Ho 2022, "truncated SNR"). */
export const truncatedSnr: Weight = (form, t) => Math.max(snr(form, t), 1);

/** SNR + 1 for an x0-error: a v-error on VP forms (Salimans & Ho 2022). */
export const snrPlusOne: Weight = (form, t) => snr(form, t) + 1;

/** (r² + sigmaData²)/(r·sigmaData)² with r = sigma/alpha, for an x0-error (Karras et al. 2022, table 1). */
export const edmWeight =
  (sigmaData = 0.5): Weight =>
  (form, t) => {
    const r2 = 1 / snr(form, t);
    return (r2 + sigmaData ** 2) / (r2 * sigmaData ** 2);
  };

/** 1/max(1 - t, 0.1)/2.3 (PeRFlow's "reciprocal"; its mean over t is 1.436, not 1). */
export const reciprocal: Weight = (_form, t) => 1 / Math.max(1 - t, 0.1) / 2.3;

/** Window start over the mean start, so the mean over windows is 1 (PeRFlow's "rcp_win"). */
export const windowStart = (windows: Windows): Weight => {
  const starts = windows.edges.slice(0, -1);
  const mean = starts.reduce((sum, t) => sum + t, 0) / starts.length;
  return (_form, t) => windows.of(t).start / mean;
};
