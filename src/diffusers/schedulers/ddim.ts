// DDIMScheduler and DDPMScheduler: steps between entries of the ᾱ table.
import type { Row } from "../../core/row.ts";
import { combine, eps, x0 } from "../../solvers/combine.ts";
import { refuse } from "./config.ts";
import { f32 } from "./float32.ts";
import { limit, readOutput } from "./output.ts";
import { alphasCumprod, spacedTimesteps } from "./schedule.ts";
import { type Context, nothing, type SchedulerBody, unscaled } from "./scheduler.ts";

export const tableRow = (bar: number): Row => [Math.sqrt(bar), Math.sqrt(1 - bar)];

export function checkCount({ name, options, steps }: Context): void {
  if (steps > options.num_train_timesteps) {
    throw new RangeError(`${steps} steps exceed num_train_timesteps = ${options.num_train_timesteps} of ${name}.`);
  }
}

/** The previous timestep is t - floor(T/steps), not the next of the list: the published quirk of step counts that do not divide T. */
export function ddimScheduler(context: Context): SchedulerBody {
  const { name, options: o, steps, sampling } = context;
  checkCount(context);
  const bars = alphasCumprod(name, o);
  const timesteps = spacedTimesteps(name, o, steps, { extra: 0 });
  const stride = Math.floor(o.num_train_timesteps / steps);
  const final = o.set_alpha_to_one ? 1 : bars[0];
  const eta = sampling.eta ?? 0;
  const level = (t: number) => entry(name, bars, t);
  return {
    timesteps,
    initNoiseSigma: 1,
    inputScale: unscaled,
    row: (k) => tableRow(level(timesteps[k])),
    step({ k, x, output, noise }) {
      const t = timesteps[k];
      const bar = level(t);
      const barTo = t - stride >= 0 ? bars[t - stride] : final;
      const row = tableRow(bar);
      const data = limit(context, readOutput(context, row, x, output, x0), true);
      const noiseRead = readOutput(context, row, x, output, eps);
      const std = eta * Math.sqrt(((1 - barTo) / (1 - bar)) * (1 - bar / barTo));
      const terms = [[Math.sqrt(barTo), data] as const, [Math.sqrt(1 - barTo - std * std), noiseRead] as const];
      return { x: combine(eta > 0 ? [...terms, [std, noise()]] : terms), memory: nothing };
    },
  };
}

/** Ancestral sampling with the posterior variance (Ho et al. 2020, eq. 7); the last step lands on x0. */
export function ddpmScheduler(context: Context): SchedulerBody {
  const { name, options: o, steps, sampling } = context;
  checkCount(context);
  const kinds = ["fixed_small", "fixed_small_log", "fixed_large"];
  const kind = o.variance_type ?? "fixed_small";
  if (!kinds.includes(kind)) refuse(name, "variance_type", kind, kinds.join(", "));
  const bars = alphasCumprod(name, o);
  const timesteps = sampling.timesteps ?? spacedTimesteps(name, o, steps, { extra: 0 });
  return {
    timesteps,
    initNoiseSigma: 1,
    inputScale: unscaled,
    row: (k) => tableRow(entry(name, bars, timesteps[k])),
    step({ k, x, output, noise }) {
      const t = timesteps[k];
      const bar = entry(name, bars, t);
      const barTo = k + 1 < timesteps.length && timesteps[k + 1] >= 0 ? bars[timesteps[k + 1]] : 1;
      // In float32, because 1 - x loses digits near the data and the published numbers carry that loss.
      const beta = f32(1 - f32(bar / barTo));
      const data = limit(context, readOutput(context, tableRow(bar), x, output, x0), true);
      const terms = [
        [(Math.sqrt(barTo) * beta) / (1 - bar), data] as const,
        [(Math.sqrt(bar / barTo) * (1 - barTo)) / (1 - bar), x] as const,
      ];
      if (t === 0) return { x: combine(terms), memory: nothing };
      const variance = kind === "fixed_large" ? beta : Math.max(((1 - barTo) / (1 - bar)) * beta, 1e-20);
      return { x: combine([...terms, [Math.sqrt(variance), noise()]]), memory: nothing };
    },
  };
}

/** @throws RangeError for a timestep outside the table, as an offset with a wide spacing gives. */
export function entry(name: string, bars: Float64Array, t: number): number {
  if (!Number.isInteger(t) || t < 0 || t >= bars.length) {
    throw new RangeError(
      `${name} needs timestep ${t}, outside its table of ${bars.length} entries. Choose fewer steps or a smaller steps_offset.`,
    );
  }
  return bars[t];
}
