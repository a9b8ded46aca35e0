// PNDMScheduler: Runge-Kutta warm-up (or a repeated first step), then linear multistep on the raw outputs.
import { type Row, transfer } from "../../core/row.ts";
import { combine, eps } from "../../solvers/combine.ts";
import { adamsBashforth } from "../../solvers/pndm.ts";
import { refuse } from "./config.ts";
import { checkCount, entry, tableRow } from "./ddim.ts";
import { readOutput } from "./output.ts";
import { alphasCumprod, spacedTimesteps } from "./schedule.ts";
import { type Context, nothing, type SchedulerBody, unscaled } from "./scheduler.ts";

export function pndmScheduler(context: Context): SchedulerBody {
  const { name, options: o, steps } = context;
  checkCount(context);
  if (!["epsilon", "v_prediction"].includes(o.prediction_type))
    refuse(name, "prediction_type", o.prediction_type, "epsilon or v_prediction");
  const bars = alphasCumprod(name, o);
  const final = tableRow(o.set_alpha_to_one ? 1 : bars[0]);
  const stride = Math.floor(o.num_train_timesteps / steps);
  const spaced = spacedTimesteps(name, o, steps, { extra: 0 });
  const { timesteps, warm } = o.skip_prk_steps ? repeated(spaced) : rungeKutta(name, spaced, stride);

  const level = (t: number): Row => (t >= 0 ? tableRow(entry(name, bars, t)) : final);
  /** DDIM from t to `to` with a combined output. */
  const jump = (x: Float32Array, output: Float32Array, t: number, to: number): Float32Array => {
    const [from, target] = [level(t), level(to)];
    const [p, q] = transfer(from, eps, target);
    return combine([
      [p, x],
      [q, readOutput(context, from, x, output, eps)],
    ]);
  };
  const call = (m: Float32Array, x: Float32Array) => ({ row: eps, m, x });

  return {
    timesteps,
    initNoiseSigma: 1,
    inputScale: unscaled,
    row: (k) => level(timesteps[k]),
    step({ k, x, output, memory }) {
      const t = timesteps[k];
      if (k < warm) {
        const stage = k % 4;
        const start = stage === 0 ? x : (memory.x ?? x);
        const anchor = timesteps[k - stage];
        const to = t - (stage % 2 === 1 ? 0 : Math.floor(stride / 2));
        const weights = [1 / 6, 1 / 3, 1 / 3, 1 / 6];
        const held =
          memory.held && stage > 0
            ? combine([
                [1, memory.held],
                [weights[stage], output],
              ])
            : combine([[weights[0], output]]);
        const past = stage === 0 ? [call(output, x), ...memory.past].slice(0, 3) : memory.past;
        return { x: jump(start, stage === 3 ? held : output, anchor, to), memory: { past, held, x: start } };
      }
      if (o.skip_prk_steps && k === 1) {
        // The first step again, with the mean of both outputs.
        const [first] = memory.past;
        const mean = combine([
          [0.5, output],
          [0.5, first.m],
        ]);
        return { x: jump(first.x, mean, t + stride, t), memory: { past: memory.past } };
      }
      const past = [call(output, x), ...memory.past].slice(0, 4);
      const weights = adamsBashforth[past.length];
      const mixed = combine(past.map((e, j) => [weights[j], e.m] as const));
      return { x: jump(x, mixed, t, t - stride), memory: { ...nothing, past } };
    },
  };
}

/** t0, t1, t1, t2, ...: the second call repeats the first step. A single step is called twice at the same time. */
const repeated = (spaced: readonly number[]) => ({
  timesteps: [...spaced.slice(0, 1), ...spaced.slice(1, 2), ...spaced.slice(1)],
  warm: 0,
});

/** Three Runge-Kutta steps of four calls, then the rest. */
function rungeKutta(name: string, spaced: readonly number[], stride: number): { timesteps: number[]; warm: number } {
  if (spaced.length < 4) {
    throw new RangeError(
      `${name} warms up with three Runge-Kutta steps and cannot in ${spaced.length} steps. Expected at least 4 steps, or skip_prk_steps.`,
    );
  }
  const half = Math.floor(stride / 2);
  const warm = spaced.slice(0, 3).flatMap((t, i) => [t, spaced[i + 1] + half, spaced[i + 1] + half, spaced[i + 1]]);
  return { timesteps: [...warm, ...spaced.slice(3)], warm: 12 };
}
