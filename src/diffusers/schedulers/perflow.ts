// PeRFlowScheduler: DDIM on the chord of the table, with the published scheduler's rounding of times.
import { chord } from "../../core/chord.ts";
import { stepsPerWindow } from "../../core/grid.ts";
import { coefficients, diffEps, eps, type Prediction, velocity } from "../../core/prediction.ts";
import { table } from "../../core/table.ts";
import { uniformWindows } from "../../core/windows.ts";
import { combine } from "../../solvers/combine.ts";
import { refuse } from "./config.ts";
import { entry, tableRow } from "./ddim.ts";
import { linspace } from "./float32.ts";
import { alphasCumprod } from "./schedule.ts";
import { type Context, nothing, type SchedulerBody, unscaled } from "./scheduler.ts";

const predictions: Record<string, Prediction> = { ddim_eps: eps, diff_eps: diffEps, velocity };

/**
 * Never takes fewer steps than windows. Times are truncated to multiples of 1/T after each window is divided evenly, so a
 * few differ by one from the exact ones. A step follows the velocity at its start, also where truncation carries it across
 * an edge. The network is told T·t, one more than the table index.
 */
export function perflowScheduler(context: Context): SchedulerBody {
  const { name, options: o, steps } = context;
  const prediction = predictions[o.prediction_type];
  if (!prediction) refuse(name, "prediction_type", o.prediction_type, Object.keys(predictions).join(", "));
  if (o.t_clean !== 0) refuse(name, "t_clean", o.t_clean, "0");
  const total = o.num_train_timesteps;
  const windows = uniformWindows(o.num_time_windows);
  const bars = alphasCumprod(name, o);
  const form = chord(table({ alphasCumprod: bars, between: "floor" }), windows);
  const counts = stepsPerWindow(windows, Math.max(steps, windows.count));
  const timesteps = counts
    .flatMap((n, i) => linspace(windows.edges[i], windows.edges[i + 1], n, false))
    .map((t) => Math.trunc(t * total));
  /** The window is looked up with a tolerance of a tenth of a timestep: just above an edge belongs below it. */
  const start = (t: number) => windows.of(Math.max(t - 0.1 / total, 1e-9)).start;
  return {
    timesteps,
    initNoiseSigma: 1,
    inputScale: unscaled,
    row: (k) => tableRow(entry(name, bars, timesteps[k] - 1)),
    step({ k, x, output }) {
      const t = Math.min(timesteps[k] / total, start(timesteps[k] / total));
      const to = (k + 1 < timesteps.length ? timesteps[k + 1] : 0) / total;
      const [p, q] = coefficients(form, t, prediction, velocity.row(form, t));
      const h = to - timesteps[k] / total;
      return {
        x: combine([
          [1 + h * p, x],
          [h * q, output],
        ]),
        memory: nothing,
      };
    },
  };
}
