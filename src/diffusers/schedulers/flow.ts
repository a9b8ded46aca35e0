// FlowMatchEulerDiscrete and FlowMatchHeunDiscrete: the linear form, where the output is u = eps - x0.
import { combine } from "../../solvers/combine.ts";
import { refuse } from "./config.ts";
import { f32, linspace } from "./float32.ts";
import { respace, respacing, shiftBy, shiftSigma, stretch } from "./schedule.ts";
import { type Context, nothing, type SchedulerBody, unscaled } from "./scheduler.ts";

/** Sigmas of falling training times; the shift enters twice, once in the ends and once in all, as in diffusers. */
function flowSigmas({ name, options: o, steps, sampling }: Context): number[] {
  const total = o.num_train_timesteps;
  const { mu } = sampling;
  const ends = [1, f32(1 / total)].map((s) => (o.use_dynamic_shifting ? s : f32(shiftSigma(s, o.shift))));
  const plain =
    sampling.sigmas ?? (sampling.timesteps ?? linspace(ends[0] * total, ends[1] * total, steps)).map((t) => t / total);
  if (!o.use_dynamic_shifting) return plain.map((s) => shiftSigma(s, o.shift));
  if (mu === undefined) throw new RangeError(`${name} has use_dynamic_shifting on. Expected mu.`);
  return plain.map((s) => shiftBy(o.time_shift_type, mu, s));
}

export function flowEulerScheduler(context: Context): SchedulerBody {
  const { name, options: o, steps, sampling } = context;
  if (!["exponential", "linear"].includes(o.time_shift_type))
    refuse(name, "time_shift_type", o.time_shift_type, "exponential or linear");
  const law = respacing(name, o);
  let sigmas = stretch(flowSigmas(context), o.shift_terminal);
  if (law) sigmas = respace(law, o, sigmas[0], sigmas[sigmas.length - 1], sampling.sigmas?.length ?? steps);
  const levels = sigmas.map((s) => (o.invert_sigmas ? f32(1 - f32(s)) : f32(s)));
  const ends = [...levels, o.invert_sigmas ? 1 : 0];
  return {
    timesteps: levels.map((s) => f32(s * o.num_train_timesteps)),
    initNoiseSigma: 1,
    inputScale: unscaled,
    row: (k) => [1 - ends[k], ends[k]],
    step({ k, x, output, noise }) {
      const [sigma, next] = [ends[k], ends[k + 1]];
      if (!o.stochastic_sampling)
        return {
          x: combine([
            [1, x],
            [next - sigma, output],
          ]),
          memory: nothing,
        };
      const fresh = [[1 - next, x] as const, [-(1 - next) * sigma, output] as const];
      return { x: combine(next === 0 ? fresh : [...fresh, [next, noise()]]), memory: nothing };
    },
  };
}

/** u by way of x0, in float32: near the data x - sigma·u loses digits, and the published numbers carry that loss. */
const throughData = (x: Float32Array, u: Float32Array, sigma: number): Float32Array =>
  x.map((v, i) => f32(f32(v - f32(v - f32(u[i] * sigma))) / sigma));

/** Two calls per step but one for the last. */
export function flowHeunScheduler(context: Context): SchedulerBody {
  const total = context.options.num_train_timesteps;
  const sigmas = flowSigmas(context).map(f32);
  const ends = [...sigmas, 0];
  const seen = sigmas.flatMap((s, i) => (i === 0 ? [s] : [s, s]));
  return {
    timesteps: seen.map((s) => f32(s * total)),
    initNoiseSigma: 1,
    inputScale: unscaled,
    row: (k) => [1 - seen[k], seen[k]],
    step({ k, x, output: raw, memory }) {
      const output = throughData(x, raw, seen[k]);
      const i = Math.floor(k / 2);
      const h = ends[i + 1] - ends[i];
      if (k % 2 === 0)
        return {
          x: combine([
            [1, x],
            [h, output],
          ]),
          memory: { past: [], held: output, x },
        };
      const { held, x: start } = memory;
      if (!held || !start)
        throw new RangeError(`Call ${k} of FlowMatchHeunDiscreteScheduler corrects call ${k - 1}, which was not made.`);
      return {
        x: combine([
          [1, start],
          [h / 2, held],
          [h / 2, output],
        ]),
        memory: nothing,
      };
    },
  };
}
