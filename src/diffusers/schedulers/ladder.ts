// Timesteps and sigmas of the schedulers that step between sigmas (DPM-Solver, DEIS, UniPC).

import { edm as edmForm } from "../../core/forms.ts";
import { edmWith } from "../../core/prediction.ts";
import type { Row } from "../../core/row.ts";
import { refuse } from "./config.ts";
import { f32, linspace, linspace32, roundHalfEven } from "./float32.ts";
import {
  alphasCumprod,
  clippedCount,
  keepLast,
  lastSigma,
  logs,
  respace,
  respacing,
  shiftBy,
  shiftSigma,
  sigmasAt,
  sigmaToIndex,
  spacedTimesteps,
  stretch,
  tableSigmas,
} from "./schedule.ts";
import { type Context, unscaled } from "./scheduler.ts";

export interface Ladder {
  readonly timesteps: readonly number[];
  /** Row of the state before call k; k = number of calls is the end. */
  row(k: number): Row;
  readonly initNoiseSigma: number;
  inputScale(k: number): number;
  /** Row of the network's output, where prediction_type alone does not say it. */
  prediction?(k: number): Row;
}

/** Which details a class has of its own. */
interface Traits {
  /** Its last sigma when sigmas are respaced: the configured one, or the last again. */
  readonly repeatsLast: boolean;
  /** Rounds the timesteps of Karras sigmas. */
  readonly rounds: boolean;
  readonly unipc: boolean;
}

export function ladder(context: Context): Ladder {
  const { name, options: o, sampling } = context;
  const unipc = name === "UniPCMultistepScheduler";
  const deis = name === "DEISMultistepScheduler";
  const multistep = name === "DPMSolverMultistepScheduler";
  const rounds = !multistep || o.beta_schedule !== "squaredcos_cap_v2";
  const bars = keepLast(o, alphasCumprod(name, o));
  const sigmas = tableSigmas(bars);
  const { timesteps, levels } = climb(context, bars, sigmas, { repeatsLast: deis, rounds, unipc });
  const flow = o.use_flow_sigmas;
  if (sampling.timesteps && o.use_karras_sigmas)
    throw new RangeError(`Custom timesteps do not go with use_karras_sigmas of ${name}.`);
  const row = (k: number): Row => {
    const s = levels[k];
    if (flow) return [1 - s, s];
    const alpha = 1 / Math.sqrt(s * s + 1);
    return [alpha, s * alpha];
  };
  return { timesteps, row, initNoiseSigma: 1, inputScale: unscaled };
}

function climb(
  context: Context,
  bars: Float64Array,
  table: Float64Array,
  { repeatsLast, rounds, unipc }: Traits,
): { timesteps: number[]; levels: number[] } {
  const { name, options: o, steps, sampling } = context;
  const law = respacing(name, o);
  const smallest = table[0];
  const finish = (timesteps: readonly number[], sigmas: readonly number[], last: number) => ({
    timesteps: timesteps.map(Math.trunc),
    levels: [...sigmas, last].map(f32),
  });
  if (law === undefined) {
    const timesteps = sampling.timesteps ?? spaced(context, bars);
    return finish(timesteps, sigmasAt(timesteps, table), repeatsLast ? smallest : lastSigma(name, o, smallest));
  }
  // Respaced sigmas end at the configured last one; DEIS repeats its last, UniPC calls its last the smallest.
  const end = (sigmas: readonly number[]) =>
    repeatsLast ? sigmas[sigmas.length - 1] : lastSigma(name, o, unipc ? sigmas[sigmas.length - 1] : smallest);
  if (law === "flow" || (law === "karras" && unipc && o.use_flow_sigmas)) {
    const sigmas =
      law === "flow"
        ? flowSigmas(context, unipc)
        : respace(law, o, table[table.length - 1], smallest, steps).map((s) => s / (s + 1));
    return finish(
      sigmas.map((s) => s * o.num_train_timesteps),
      sigmas,
      end(sigmas),
    );
  }
  const sigmas = respace(law, o, table[table.length - 1], smallest, steps);
  const logSigmas = logs(table);
  const indices = sigmas.map((s) => sigmaToIndex(s, logSigmas));
  return finish(
    rounds && (law === "karras" || law === "lu") ? indices.map(roundHalfEven) : indices,
    sigmas,
    end(sigmas),
  );
}

function spaced(context: Context, bars: Float64Array): number[] {
  const { name, options: o, steps } = context;
  const first = clippedCount(o, bars);
  if (name === "DPMSolverSinglestepScheduler")
    return linspace(0, first - 1, steps + 1)
      .map(roundHalfEven)
      .reverse()
      .slice(0, -1);
  return spacedTimesteps(name, o, steps, { extra: o.timestep_spacing === "trailing" ? 0 : 1, first });
}

function flowSigmas({ name, options: o, steps, sampling }: Context, unipc: boolean): number[] {
  const total = o.num_train_timesteps;
  const { mu } = sampling;
  if (o.use_dynamic_shifting && mu === undefined)
    throw new RangeError(`${name} has use_dynamic_shifting on. Expected mu.`);
  if (!unipc) {
    const shift = o.use_dynamic_shifting && mu !== undefined ? Math.exp(mu) : o.flow_shift;
    return linspace(1, 1 / total, steps + 1)
      .map((a) => shiftSigma(1 - a, shift))
      .reverse()
      .slice(0, -1);
  }
  const plain = sampling.sigmas ?? linspace(1, 1 / total, steps + 1).slice(0, -1);
  const shifted = plain.map((s) =>
    o.use_dynamic_shifting && mu !== undefined ? shiftBy(o.time_shift_type, mu, s) : shiftSigma(s, o.flow_shift),
  );
  const sigmas = stretch(shifted, o.shift_terminal);
  if (Math.abs(sigmas[0] - 1) < 1e-6) sigmas[0] -= 1e-6;
  return sigmas;
}

/** EDM's sigmas from sigma_max to sigma_min, and the last one; computed in float64 or, by one class, in float32. */
export function edmSigmas({ name, options: o, steps }: Context, single: boolean): { sigmas: number[]; last: number } {
  const [low, high] = [o.sigma_min ?? 0.002, o.sigma_max ?? 80];
  const round = single ? f32 : (x: number) => x;
  let sigmas: number[];
  if (o.sigma_schedule === "karras") {
    const [a, b] = [high ** (1 / o.rho), low ** (1 / o.rho)];
    const ramp = single ? linspace32(0, 1, steps) : linspace(0, 1, steps);
    sigmas = ramp.map((q) => round(round(round(a) + round(q * round(b - a))) ** o.rho));
  } else if (o.sigma_schedule === "exponential") {
    sigmas = linspace32(Math.log(low), Math.log(high), steps)
      .map((l) => f32(Math.exp(l)))
      .reverse();
  } else {
    refuse(name, "sigma_schedule", o.sigma_schedule, "karras or exponential");
  }
  const rounded = sigmas.map(f32);
  return { sigmas: rounded, last: lastSigma(name, o, single ? low : rounded[rounded.length - 1]) };
}

/** Timestep, input scale and output row of EDM's preconditioning on alpha = 1. */
export function edmParts({ name, options: o }: Context, levels: readonly number[]) {
  if (!["epsilon", "v_prediction"].includes(o.prediction_type))
    refuse(name, "prediction_type", o.prediction_type, "epsilon or v_prediction");
  const sign = o.prediction_type === "epsilon" ? 1 : -1;
  const network = edmWith(o.sigma_data);
  const form = (sigma: number) => ({ ...edmForm(), at: (): Row => [1, sigma] });
  return {
    timesteps: levels.slice(0, -1).map((s) => f32(0.25 * f32(Math.log(s)))),
    initNoiseSigma: Math.hypot(o.sigma_max ?? 80, 1),
    inputScale: (k: number) => 1 / Math.hypot(levels[k], o.sigma_data),
    output: (sigma: number): Row => {
      const [a, b] = network.row(form(sigma), 1);
      return [sign * a, sign * b];
    },
  };
}

export function edmLadder(context: Context): Ladder {
  const { sigmas, last } = edmSigmas(context, true);
  const levels = [...sigmas, f32(last)];
  const { timesteps, initNoiseSigma, inputScale, output } = edmParts(context, levels);
  return { timesteps, initNoiseSigma, inputScale, row: (k) => [1, levels[k]], prediction: (k) => output(levels[k]) };
}
