// Noise tables, timesteps and sigmas of diffusers' schedulers.
import { betaQuantile } from "./betaQuantile.ts";
import { type Options, refuse } from "./config.ts";
import { f32, fallingRange, interpolate, linspace, linspace32, log32, roundHalfEven } from "./float32.ts";

/**
 * ᾱ of the configured betas in float32, the products accumulated in float64, as torch does.
 * @throws RangeError for a beta outside of [0, 1].
 */
export function alphasCumprod(name: string, o: Options): Float64Array {
  const betas = o.trained_betas ? Array.from(o.trained_betas, f32) : namedBetas(name, o);
  const wrong = betas.findIndex((beta) => !(beta >= 0 && beta <= 1));
  if (wrong >= 0)
    throw new RangeError(
      `beta[${wrong}] of ${name} is ${betas[wrong]}, from ${o.trained_betas ? "trained_betas" : `beta_schedule ${o.beta_schedule} between beta_start ${o.beta_start} and beta_end ${o.beta_end}`}. Expected numbers in [0, 1].`,
    );
  const bars = cumulative(betas);
  return o.rescale_betas_zero_snr ? rescaled(bars) : bars;
}

/** Schedulers that divide by alpha keep the last ᾱ of a rescaled table at 2^-24. */
export function keepLast(o: Options, bars: Float64Array): Float64Array {
  if (o.rescale_betas_zero_snr) bars[bars.length - 1] = 2 ** -24;
  return bars;
}

function namedBetas(name: string, o: Options): number[] {
  const count = o.num_train_timesteps;
  const fromBar = (bar: (t: number) => number) =>
    Array.from({ length: count }, (_, i) => f32(Math.min(1 - bar((i + 1) / count) / bar(i / count), 0.999)));
  switch (o.beta_schedule) {
    case "linear":
      return linspace32(o.beta_start, o.beta_end, count);
    case "scaled_linear":
      return linspace32(Math.sqrt(o.beta_start), Math.sqrt(o.beta_end), count).map((b) => f32(b * b));
    case "squaredcos_cap_v2":
      return fromBar((t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2);
    case "exp":
      if (name === "HeunDiscreteScheduler") return fromBar((t) => Math.exp(-12 * t));
      break;
    case "sigmoid":
      if (name === "DDPMScheduler") {
        return linspace32(-6, 6, count).map((x) =>
          f32(f32(f32(1 / (1 + Math.exp(-x))) * f32(o.beta_end - o.beta_start)) + f32(o.beta_start)),
        );
      }
      break;
  }
  throw new RangeError(
    `Unknown beta schedule "${o.beta_schedule}" of ${name}. Expected linear, scaled_linear or squaredcos_cap_v2.`,
  );
}

function cumulative(betas: readonly number[]): Float64Array {
  let product = 1;
  return Float64Array.from(betas, (beta) => {
    product *= f32(1 - beta);
    return f32(product);
  });
}

/** Zero terminal SNR (Lin et al. 2023), by way of new betas. */
function rescaled(bars: Float64Array): Float64Array {
  const root = bars.map((b) => f32(Math.sqrt(b)));
  const [first, last] = [root[0], root[root.length - 1]];
  const scale = f32(first / f32(first - last));
  const moved = root.map((q) => f32(f32(q - last) * scale)).map((q) => f32(q * q));
  return cumulative(Array.from(moved, (bar, i) => f32(1 - (i === 0 ? bar : f32(bar / moved[i - 1])))));
}

/** sigma/alpha of every table entry, float32. */
export const tableSigmas = (bars: Float64Array): Float64Array => bars.map((b) => f32(Math.sqrt(f32(f32(1 - b) / b))));

/** Timesteps by spacing, falling. `first` is the number of usable timesteps; `extra` counts the point after the last. */
export function spacedTimesteps(
  name: string,
  o: Options,
  steps: number,
  { extra, first = o.num_train_timesteps, rounded = true }: { extra: 0 | 1; first?: number; rounded?: boolean },
): number[] {
  const total = o.num_train_timesteps;
  const count = steps + extra;
  const cut = (rising: number[]) => rising.slice(extra).reverse();
  switch (o.timestep_spacing) {
    case "linspace":
      return cut(linspace(0, first - 1, count).map((t) => (rounded ? roundHalfEven(t) : f32(t))));
    case "leading": {
      const ratio = Math.floor((extra ? first : total) / count);
      return cut(Array.from({ length: count }, (_, i) => i * ratio)).map((t) => t + o.steps_offset);
    }
    case "trailing":
      return fallingRange(first, total / steps).map((t) => roundHalfEven(t) - 1);
    default:
      return refuse(name, "timestep_spacing", o.timestep_spacing, "leading, trailing or linspace");
  }
}

/** Number of timesteps whose half log-SNR is at least lambda_min_clipped. */
export function clippedCount(o: Options, bars: Float64Array): number {
  return bars.filter((b) => 0.5 * Math.log(b / (1 - b)) >= o.lambda_min_clipped).length;
}

/** Fractional index of a sigma, linear in its logarithm. The table's logarithms are float32, and so is their difference. */
export function sigmaToIndex(sigma: number, logSigmas: ArrayLike<number>): number {
  const log = Math.log(Math.max(sigma, 1e-10));
  let low = 0;
  for (let i = 0; i < logSigmas.length; i++) if (log >= logSigmas[i]) low = i;
  low = Math.min(low, logSigmas.length - 2);
  const w = Math.min(1, Math.max(0, (logSigmas[low] - log) / f32(logSigmas[low] - logSigmas[low + 1])));
  return (1 - w) * low + w * (low + 1);
}

export type Respacing = "karras" | "exponential" | "beta" | "lu" | "flow" | undefined;

/** Which of the use_*_sigmas options is on. @throws RangeError if more than one is. */
export function respacing(name: string, o: Options): Respacing {
  const on = (["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"] as const).filter((k) => o[k]);
  if (on.length > 1) throw new RangeError(`${name} has ${on.join(" and ")} on. Expected at most one of them.`);
  if (o.use_karras_sigmas) return "karras";
  if (o.use_lu_lambdas) return "lu";
  if (o.use_exponential_sigmas) return "exponential";
  if (o.use_beta_sigmas) return "beta";
  return o.use_flow_sigmas ? "flow" : undefined;
}

/** `count` sigmas from high to low by a named law; sigma_min and sigma_max of the configuration go before the given ends. */
export function respace(law: Respacing, o: Options, high: number, low: number, count: number): number[] {
  const [top, end] = [o.sigma_max ?? high, o.sigma_min ?? low];
  switch (law) {
    case "karras": {
      const [a, b] = [top ** (1 / 7), end ** (1 / 7)];
      return linspace(0, 1, count).map((q) => (a + q * (b - a)) ** 7);
    }
    case "exponential":
      return linspace(Math.log(top), Math.log(end), count).map(Math.exp);
    case "beta":
      return linspace(0, 1, count).map((q) => end + betaQuantile(1 - q, 0.6) * (top - end));
    case "lu": // linear in log sigma between the table's own ends
      return linspace(log32(high), log32(low), count).map(Math.exp);
    default:
      throw new RangeError(`Sigmas cannot be respaced by ${law}.`);
  }
}

/** Sigmas of falling timesteps, read from the table. */
export const sigmasAt = (timesteps: readonly number[], sigmas: Float64Array): number[] =>
  timesteps.map((t) => interpolate(t, sigmas));

export const logs = (sigmas: Float64Array): Float64Array => sigmas.map(log32);

/** Flow matching: s -> k s / (1 + (k - 1) s). */
export const shiftSigma = (s: number, k: number): number => (k * s) / (1 + (k - 1) * s);

/** Resolution-dependent shift by mu. */
export const shiftBy = (type: string, mu: number, s: number): number => {
  const k = type === "exponential" ? Math.exp(mu) : mu;
  return k / (k + (1 / s - 1));
};

/** Stretches shifted sigmas so that the last one is the configured shift_terminal. */
export function stretch(sigmas: readonly number[], terminal: number | null): number[] {
  if (!terminal) return [...sigmas];
  // A single step ends at sigma 1, which no factor brings anywhere else.
  if (sigmas[sigmas.length - 1] >= 1)
    throw new RangeError(
      `shift_terminal = ${terminal} cannot be met: the last of ${sigmas.length} sigmas is ${sigmas[sigmas.length - 1]}. Expected more steps.`,
    );
  const scale = (1 - sigmas[sigmas.length - 1]) / (1 - terminal);
  return sigmas.map((s) => 1 - (1 - s) / scale);
}

/** The last sigma: zero, or the table's smallest. */
export function lastSigma(name: string, o: Options, smallest: number): number {
  if (o.final_sigmas_type === "zero") return 0;
  if (o.final_sigmas_type === "sigma_min") return smallest;
  return refuse(name, "final_sigmas_type", o.final_sigmas_type, "zero or sigma_min");
}
