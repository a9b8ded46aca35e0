// UniPCMultistepScheduler: predictor and corrector of any order between sigmas.
import { combine, eps, x0 } from "../../solvers/combine.ts";
import { exponentialStep } from "../../solvers/exponential.ts";
import { refuse } from "./config.ts";
import { ladder } from "./ladder.ts";
import { limit, readOutput } from "./output.ts";
import type { Context, SchedulerBody } from "./scheduler.ts";

export function unipcScheduler(context: Context): SchedulerBody {
  const { name, options: o } = context;
  if (!Number.isInteger(o.solver_order) || o.solver_order < 1)
    refuse(name, "solver_order", o.solver_order, "a positive integer");
  const solver = ["midpoint", "heun", "logrho"].includes(o.solver_type) ? "bh2" : o.solver_type;
  if (solver !== "bh1" && solver !== "bh2") refuse(name, "solver_type", o.solver_type, "bh1 or bh2");
  if (o.shift_terminal !== null && !o.use_flow_sigmas)
    refuse(name, "shift_terminal", o.shift_terminal, "null without use_flow_sigmas");
  const how = { variable: o.predict_x0 ? "x0" : "eps", slope: solver === "bh1" ? "flat" : "half" } as const;
  const steps = ladder(context);
  const count = steps.timesteps.length;
  const orders: number[] = [];
  for (let k = 0; k < count; k++) {
    orders.push(Math.min(o.lower_order_final ? Math.min(o.solver_order, count - k) : o.solver_order, k + 1));
  }
  return {
    timesteps: steps.timesteps,
    initNoiseSigma: steps.initNoiseSigma,
    inputScale: steps.inputScale,
    row: steps.row,
    step({ k, x: predicted, output, memory }) {
      const row = steps.row(k);
      const want = o.predict_x0 ? x0 : eps;
      const read = readOutput(context, row, predicted, output, want);
      const m = o.predict_x0 ? limit(context, read, false) : read;
      let x = predicted;
      if (memory.past.length > 0 && !o.disable_corrector.includes(k - 1)) {
        const known = memory.past.slice(0, orders[k - 1]);
        const c = exponentialStep(how, known[0].row, row, [...known.map((e) => e.row), row]);
        x = combine([
          [c.x, known[0].x],
          ...known.map((e, j) => [c.outputs[j], e.m] as const),
          [c.outputs[known.length], m],
        ]);
      }
      const past = [{ row, m, x }, ...memory.past].slice(0, Math.max(o.solver_order, 1));
      const known = past.slice(0, orders[k]);
      const p = exponentialStep(
        how,
        row,
        steps.row(k + 1),
        known.map((e) => e.row),
      );
      return { x: combine([[p.x, x], ...known.map((e, j) => [p.outputs[j], e.m] as const)]), memory: { past } };
    },
  };
}
