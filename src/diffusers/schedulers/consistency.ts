// LCMScheduler and TCDScheduler: few-step sampling of consistency-distilled models.
import type { Row } from "../../core/row.ts";
import { combine, x0 } from "../../solvers/combine.ts";
import { diffuse } from "../../solvers/consistency.ts";
import { entry, tableRow } from "./ddim.ts";
import { f32, linspace } from "./float32.ts";
import { limit, readOutput } from "./output.ts";
import { alphasCumprod } from "./schedule.ts";
import { type Context, nothing, type SchedulerBody, unscaled } from "./scheduler.ts";

/** Steps picked from the timesteps the distillation used: k·T/N - 1. */
function distilledTimesteps({ name, options: o, steps, sampling }: Context, everyTimestep: boolean): readonly number[] {
  if (sampling.timesteps) return sampling.timesteps;
  const total = o.num_train_timesteps;
  const original = sampling.originalInferenceSteps ?? o.original_inference_steps;
  const strength = sampling.strength ?? 1;
  if (original > total)
    throw new RangeError(`original_inference_steps = ${original} of ${name} exceeds its ${total} training timesteps.`);
  const stride = Math.floor(total / original);
  const known = everyTimestep
    ? Array.from({ length: Math.trunc(total * strength) }, (_, i) => i)
    : Array.from({ length: Math.trunc(original * strength) }, (_, i) => (i + 1) * stride - 1);
  if (steps > Math.min(original, known.length)) {
    throw new RangeError(
      `${steps} steps exceed the ${Math.min(original, known.length)} timesteps that ${name} was distilled on.`,
    );
  }
  known.reverse();
  return linspace(0, known.length, steps, false).map((i) => known[Math.floor(i)]);
}

const dataPrediction = (context: Context, row: Row, x: Float32Array, output: Float32Array) =>
  limit(context, readOutput(context, row, x, output, x0), true);

/** Jump to data with the boundary scalings of LCM (Luo et al. 2023, section 3), then fresh noise up to the next timestep. */
export function lcmScheduler(context: Context): SchedulerBody {
  const { name, options: o } = context;
  const bars = alphasCumprod(name, o);
  const timesteps = distilledTimesteps(context, false);
  return {
    timesteps,
    initNoiseSigma: 1,
    inputScale: unscaled,
    row: (k) => tableRow(entry(name, bars, timesteps[k])),
    step({ k, x, output, noise }) {
      const row = tableRow(entry(name, bars, timesteps[k]));
      const scaled = timesteps[k] * o.timestep_scaling;
      const total = scaled * scaled + 0.25;
      const landed = combine([
        [scaled / Math.sqrt(total), dataPrediction(context, row, x, output)],
        [0.25 / total, x],
      ]);
      if (k === timesteps.length - 1) return { x: landed, memory: nothing };
      const [alpha, sigma] = tableRow(bars[timesteps[k + 1]]);
      return {
        x: combine([
          [alpha, landed],
          [sigma, noise()],
        ]),
        memory: nothing,
      };
    },
  };
}

/** Read at s = (1 - eta)·next, then diffuse up to the next timestep (Zheng et al. 2024). */
export function tcdScheduler(context: Context): SchedulerBody {
  const { name, options: o, sampling } = context;
  const eta = sampling.eta ?? 0.3;
  if (!(eta >= 0 && eta <= 1)) throw new RangeError(`eta of ${name} is ${eta}. Expected a number from 0 to 1.`);
  const bars = alphasCumprod(name, o);
  const timesteps = distilledTimesteps(context, sampling.originalInferenceSteps !== undefined);
  return {
    timesteps,
    initNoiseSigma: 1,
    inputScale: unscaled,
    row: (k) => tableRow(entry(name, bars, timesteps[k])),
    step({ k, x, output, noise }) {
      const row = tableRow(entry(name, bars, timesteps[k]));
      const last = k === timesteps.length - 1;
      const next = last ? 0 : timesteps[k + 1];
      const s = tableRow(bars[Math.floor(f32(f32(1 - eta) * next))]);
      const landed = readOutput(context, row, x, output, s);
      if (last || eta === 0) return { x: landed, memory: nothing };
      const [p, q] = diffuse(s, tableRow(bars[next]));
      return {
        x: combine([
          [p, landed],
          [q, noise()],
        ]),
        memory: nothing,
      };
    },
  };
}
