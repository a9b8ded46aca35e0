// Where sampling starts.
import type { Form } from "./form.ts";

/**
 * What standard normal noise is multiplied with to start at time t: sigma(t). Tables start from the noise itself, as
 * diffusers does (init_noise_sigma 1), even where their last sigma is less than 1.
 */
export function startScale(form: Form, t: number): number {
  const base = form.spec.kind === "chord" ? form.spec.base : form.spec;
  return base.kind === "table" ? 1 : form.at(t)[1];
}
