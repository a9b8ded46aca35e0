// EulerDiscrete, EulerAncestralDiscrete, HeunDiscrete and EDMEuler: steps in sigma on states with alpha = 1.
import type { Row } from "../../core/row.ts";
import { combine, x0 } from "../../solvers/combine.ts";
import { withNoise } from "../../solvers/ddim.ts";
import { refuse } from "./config.ts";
import { f32, linspace32, log32 } from "./float32.ts";
import { edmParts, edmSigmas } from "./ladder.ts";
import { limit, readOutput } from "./output.ts";
import {
  alphasCumprod,
  keepLast,
  lastSigma,
  logs,
  respace,
  respacing,
  sigmasAt,
  sigmaToIndex,
  spacedTimesteps,
  tableSigmas,
} from "./schedule.ts";
import { type Context, nothing, type SchedulerBody } from "./scheduler.ts";

interface Sigmas {
  readonly timesteps: readonly number[];
  readonly sigmas: readonly number[];
}

function tableLevels(context: Context, last: (smallest: number) => number): Sigmas {
  const { name, options: o, steps, sampling } = context;
  const table = tableSigmas(keepLast(o, alphasCumprod(name, o)));
  const timesteps = sampling.timesteps ?? spacedTimesteps(name, o, steps, { extra: 0, rounded: false });
  const law = respacing(name, o);
  let sigmas = sampling.sigmas?.slice(0, -1) ?? sigmasAt(timesteps, table);
  if (o.interpolation_type === "log_linear") {
    const [low, high] = [log32(table[0]), log32(table[table.length - 1])];
    sigmas = linspace32(high, low, steps + 1).map((l) => f32(Math.exp(l)));
  } else if (o.interpolation_type !== undefined && o.interpolation_type !== "linear") {
    refuse(name, "interpolation_type", o.interpolation_type, "linear or log_linear");
  }
  const end = sampling.sigmas ? sampling.sigmas[sampling.sigmas.length - 1] : last(table[0]);
  if (law === undefined && !sampling.sigmas) return { timesteps, sigmas: [...sigmas, end].map(f32) };
  const spaced = law === undefined ? sigmas : respace(law, o, sigmas[0], sigmas[sigmas.length - 1], steps);
  const logSigmas = logs(table);
  return { timesteps: spaced.map((s) => f32(sigmaToIndex(s, logSigmas))), sigmas: [...spaced, end].map(f32) };
}

const startingSigma = ({ options: o }: Context, sigmas: readonly number[]): number => {
  const top = sigmas.reduce((a, b) => Math.max(a, b), 0);
  return ["linspace", "trailing"].includes(o.timestep_spacing) ? top : Math.hypot(top, 1);
};

const scale = (sigmas: readonly number[]) => (k: number) => 1 / Math.hypot(sigmas[k], 1);

/** Sigma raised by churn for one step, as in EDM but limited per step by √2 - 1. */
function churned({ sampling }: Context, sigma: number, count: number): number {
  const { s_churn = 0, s_tmin = 0, s_tmax = Number.POSITIVE_INFINITY } = sampling.churn ?? {};
  return sigma >= s_tmin && sigma <= s_tmax ? sigma * (1 + Math.min(s_churn / count, Math.SQRT2 - 1)) : sigma;
}

/**
 * x + (x - x0)/sigma·dt, rounded to float32 after every operation: from a large sigma the difference loses digits, and the
 * published numbers carry that loss.
 */
const move = (x: Float32Array, data: Float32Array, sigma: number, dt: number): Float32Array =>
  x.map((v, i) => f32(v + f32(f32(f32(v - data[i]) / sigma) * f32(dt))));

/** One Euler step of the state from sigma (raised to `hat`) to `next`, given x0 as a function of the raised state. */
function eulerStep(
  context: Context,
  x: Float32Array,
  [sigma, hat, next]: readonly number[],
  noise: () => Float32Array,
  data: (x: Float32Array) => Float32Array,
): Float32Array {
  const raised =
    hat > sigma
      ? combine([
          [1, x],
          [Math.sqrt(hat * hat - sigma * sigma) * (context.sampling.churn?.s_noise ?? 1), noise()],
        ])
      : x;
  return move(raised, data(raised), hat, next - hat);
}

export function eulerScheduler(context: Context): SchedulerBody {
  const { name, options: o } = context;
  const levels = tableLevels(context, (smallest) => lastSigma(name, o, smallest));
  const { sigmas } = levels;
  const continuous = o.timestep_type === "continuous" && o.prediction_type === "v_prediction";
  if (!["discrete", "continuous"].includes(o.timestep_type))
    refuse(name, "timestep_type", o.timestep_type, "discrete or continuous");
  if (o.prediction_type === "flow_prediction")
    refuse(name, "prediction_type", o.prediction_type, "epsilon, sample or v_prediction");
  return {
    timesteps: continuous ? sigmas.slice(0, -1).map((s) => f32(0.25 * f32(Math.log(s)))) : levels.timesteps,
    initNoiseSigma: startingSigma(context, sigmas),
    inputScale: scale(sigmas),
    row: (k) => [1, sigmas[k]],
    step({ k, x, output, noise }) {
      const hat = churned(context, sigmas[k], sigmas.length - 1);
      // eps is read at the raised sigma, v at the plain one: so does diffusers.
      const at: Row = [1, o.prediction_type === "epsilon" ? hat : sigmas[k]];
      const data = (raised: Float32Array) => readOutput(context, at, raised, output, x0);
      return { x: eulerStep(context, x, [sigmas[k], hat, sigmas[k + 1]], noise, data), memory: nothing };
    },
  };
}

export function edmEulerScheduler(context: Context): SchedulerBody {
  const { sigmas, last } = edmSigmas(context, false);
  const levels = [...sigmas, f32(last)];
  const { timesteps, initNoiseSigma, inputScale, output: outputRow } = edmParts(context, levels);
  return {
    timesteps,
    initNoiseSigma,
    inputScale,
    row: (k) => [1, levels[k]],
    step({ k, x, output, noise }) {
      const hat = churned(context, levels[k], levels.length - 1);
      const data = (raised: Float32Array) => readOutput(context, [1, hat], raised, output, x0, outputRow(hat));
      return { x: eulerStep(context, x, [levels[k], hat, levels[k + 1]], noise, data), memory: nothing };
    },
  };
}

/** DDIM with eta = 1 on the states with alpha = 1. */
export function eulerAncestralScheduler(context: Context): SchedulerBody {
  const { name, options: o } = context;
  if (!["epsilon", "v_prediction"].includes(o.prediction_type))
    refuse(name, "prediction_type", o.prediction_type, "epsilon or v_prediction");
  const { timesteps, sigmas } = tableLevels(context, () => 0);
  return {
    timesteps,
    initNoiseSigma: startingSigma(context, sigmas),
    inputScale: scale(sigmas),
    row: (k) => [1, sigmas[k]],
    step({ k, x, output, noise }) {
      const from: Row = [1, sigmas[k]];
      const { row, fresh } = withNoise(from, [1, sigmas[k + 1]], 1);
      const next = move(x, readOutput(context, from, x, output, x0), sigmas[k], row[1] - sigmas[k]);
      return {
        x:
          fresh === 0
            ? next
            : combine([
                [1, next],
                [fresh, noise()],
              ]),
        memory: nothing,
      };
    },
  };
}

/** Two calls per step but one for the last; between them the state is the Euler prediction. */
export function heunScheduler(context: Context): SchedulerBody {
  const levels = tableLevels(context, () => 0);
  const twice = <T>(list: readonly T[]) => list.flatMap((v, i) => (i === 0 ? [v] : [v, v]));
  const { sigmas } = levels;
  /** Sigma the network sees in call k: 0, 1, 1, 2, 2, ... */
  const seen = (k: number) => sigmas[Math.ceil(k / 2)];
  return {
    timesteps: twice(levels.timesteps),
    initNoiseSigma: startingSigma(context, sigmas),
    inputScale: (k) => 1 / Math.hypot(seen(k), 1),
    row: (k) => [1, seen(k)],
    step({ k, x, output, memory }) {
      const sigma = seen(k);
      const data = limit(context, readOutput(context, [1, sigma], x, output, x0), true);
      const slope = combine([
        [1 / sigma, x],
        [-1 / sigma, data],
      ]);
      const [from, to] = [sigmas[Math.floor(k / 2)], sigmas[Math.floor(k / 2) + 1]];
      if (k % 2 === 0)
        return {
          x: combine([
            [1, x],
            [to - from, slope],
          ]),
          memory: { past: [], held: slope, x },
        };
      const { held, x: start } = memory;
      if (!held || !start)
        throw new RangeError(`Call ${k} of HeunDiscreteScheduler corrects call ${k - 1}, which was not made.`);
      const half = (to - from) / 2;
      return {
        x: combine([
          [1, start],
          [half, held],
          [half, slope],
        ]),
        memory: nothing,
      };
    },
  };
}
