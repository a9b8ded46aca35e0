// Form from a discrete ᾱ table: the schedules of DDPM-style checkpoints.
import { checkInverse, checkTime, type Form, type TableSpec } from "./form.ts";
import type { Row } from "./row.ts";

export interface TableForm extends Form {
  /** ᾱ_i, i = 0 (data) ... T - 1 (noise), in float64. */
  readonly alphasCumprod: Float64Array;
  /** Fractional index of a time: T·t - 1, so t = 1 is the last entry. */
  index(t: number): number;
  /** Time of an index: (i + 1) / T. */
  time(index: number): number;
}

export type Schedule = "linear" | "scaled_linear" | "squaredcos_cap_v2";
export type TableOptions = { between?: "logSnr" | "floor" } & (
  | { alphasCumprod: ArrayLike<number> }
  | { betas: ArrayLike<number>; zeroSnr?: boolean }
  | { schedule?: Schedule; betaStart?: number; betaEnd?: number; steps?: number; zeroSnr?: boolean }
);

/** β_i of a named schedule. Stable Diffusion: scaled_linear, 0.00085 to 0.012. */
export function betas(schedule: Schedule, steps: number, betaStart: number, betaEnd: number): Float64Array {
  const at = (i: number) => (steps > 1 ? i / (steps - 1) : 0);
  const bar = (t: number) => Math.cos(((t + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
  switch (schedule) {
    case "linear":
      return Float64Array.from({ length: steps }, (_, i) => betaStart + (betaEnd - betaStart) * at(i));
    case "scaled_linear": {
      const [a, b] = [Math.sqrt(betaStart), Math.sqrt(betaEnd)];
      return Float64Array.from({ length: steps }, (_, i) => (a + (b - a) * at(i)) ** 2);
    }
    case "squaredcos_cap_v2": // Nichol & Dhariwal 2021, eq. 17
      return Float64Array.from({ length: steps }, (_, i) => Math.min(1 - bar((i + 1) / steps) / bar(i / steps), 0.999));
    default:
      throw new RangeError(
        `Unknown beta schedule "${String(schedule)}". Expected linear, scaled_linear or squaredcos_cap_v2, or betas themselves.`,
      );
  }
}

/** ᾱ_i, the products of 1 − β. Throws RangeError for a β outside [0, 1]. */
export function cumulativeAlphas(betas: ArrayLike<number>): Float64Array {
  const out = new Float64Array(betas.length);
  let product = 1;
  for (let i = 0; i < out.length; i++) {
    if (!(betas[i] >= 0 && betas[i] <= 1))
      throw new RangeError(`beta[${i}] is ${betas[i]}. Expected a number in [0, 1].`);
    product *= 1 - betas[i];
    out[i] = product;
  }
  return out;
}

/** Shifts √ᾱ so that the last one is 0, keeping the first (Lin et al. 2023, algorithm 1). */
export function zeroTerminalSnr(alphasCumprod: ArrayLike<number>): Float64Array {
  const root = Float64Array.from(alphasCumprod, Math.sqrt);
  const [first, last] = [root[0], root[root.length - 1]];
  return root.map((q) => (((q - last) * first) / (first - last)) ** 2);
}

function resolve(options: TableOptions): [Float64Array, TableSpec] {
  const between = options.between ?? "logSnr";
  if ("alphasCumprod" in options) {
    const bars = Float64Array.from(options.alphasCumprod);
    return [bars, { kind: "table", between, schedule: "alphas_cumprod", alphasCumprod: [...bars] }];
  }
  const zeroSnr = options.zeroSnr ?? false;
  if ("betas" in options) {
    const list = Array.from(options.betas);
    return [finish(list, zeroSnr), { kind: "table", between, schedule: "trained_betas", betas: list, zeroSnr }];
  }
  const { schedule = "scaled_linear", betaStart = 0.00085, betaEnd = 0.012, steps = 1000 } = options;
  if (!Number.isInteger(steps) || steps < 2)
    throw new RangeError(`Table length is ${steps}. Expected an integer of at least 2.`);
  const bars = finish(betas(schedule, steps, betaStart, betaEnd), zeroSnr);
  return [bars, { kind: "table", between, schedule, betaStart, betaEnd, steps, zeroSnr }];
}

const finish = (list: ArrayLike<number>, zeroSnr: boolean): Float64Array =>
  zeroSnr ? zeroTerminalSnr(cumulativeAlphas(list)) : cumulativeAlphas(list);

/**
 * Time t = (index + 1) / T: t = 1 is the last entry, t = 1/T the first, and [0, 1/T] holds the first
 * (ᾱ never reaches 1; diffusers' set_alpha_to_one = false). Between entries the log-SNR is linear in t, or, with
 * `between: "floor"`, the entry below is taken, as PeRFlow does at window edges that fall between two indices.
 * The last interval of a zero-terminal-SNR table has no finite log-SNR: there alpha is linear in t.
 */
export function table(options: TableOptions = {}): TableForm {
  const [bars, spec] = resolve(options);
  const steps = bars.length;
  for (let i = 0; i < steps; i++) {
    if (!(bars[i] >= 0 && bars[i] <= 1 && (i === 0 || bars[i] < bars[i - 1]))) {
      throw new RangeError(`ᾱ[${i}] is ${bars[i]}. Expected falling values in [0, 1].`);
    }
  }
  const name = "table";
  const lambda = bars.map((bar) => 0.5 * (Math.log(bar) - Math.log1p(-bar)));
  const entry = (i: number): Row => [Math.sqrt(bars[i]), Math.sqrt(1 - bars[i])];
  const floor = spec.between === "floor";
  const index = (t: number): number => {
    const place = t * steps - 1;
    const nearest = Math.round(place);
    return Math.abs(place - nearest) < 1e-9 ? nearest : place;
  };
  /** The last interval of a zero-terminal-SNR table. */
  const zeroTail = (i: number) => bars[i + 1] === 0;

  const at = (t: number): Row => {
    checkTime(name, t);
    const place = index(t);
    const i = Math.floor(place);
    if (place <= 0) return entry(0);
    if (i === place || floor) return entry(i);
    const q = place - i;
    if (zeroTail(i)) {
      const alpha = (1 - q) * Math.sqrt(bars[i]);
      return [alpha, Math.sqrt(1 - alpha * alpha)];
    }
    const level = lambda[i] + q * (lambda[i + 1] - lambda[i]);
    return [Math.sqrt(1 / (1 + Math.exp(-2 * level))), Math.sqrt(1 / (1 + Math.exp(2 * level)))];
  };

  return {
    name,
    spec,
    alphasCumprod: bars,
    index,
    time: (i) => (i + 1) / steps,
    tMin: 1 / steps,
    tMax: 1,
    at,
    rate(t) {
      checkTime(name, t);
      const i = Math.ceil(index(t)) - 1; // the interval below t, which an entry starts
      if (i < 0) return [0, 0];
      const [alpha, sigma] = at(t);
      if (zeroTail(i)) {
        const slope = -steps * Math.sqrt(bars[i]);
        return [slope, (-alpha * slope) / sigma];
      }
      const slope = steps * (lambda[i + 1] - lambda[i]);
      return [slope * alpha * sigma * sigma, -slope * sigma * alpha * alpha];
    },
    tAt(level) {
      let low = 0;
      let high = steps - 1;
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (lambda[middle] >= level) low = middle;
        else high = middle;
      }
      const q = zeroTail(low)
        ? 1 - Math.sqrt(1 / (1 + Math.exp(-2 * level)) / bars[low])
        : (lambda[low] - level) / (lambda[low] - lambda[low + 1]);
      return checkInverse(name, level, (low + q + 1) / steps, 1 / steps, 1);
    },
  };
}
