// Solving a model's trajectory inside a graph: teachers' solves and generators alike. Samplers on the host are in solvers/.

import type { Clock } from "./clock.ts";
import type { Cond } from "./condition.ts";
import { type Form, logSnr } from "./core/index.ts";
import { add, mul, sub, type Tensor } from "./graph/index.ts";
import { type Model, predict } from "./model.ts";
import { dataRow, read } from "./pair.ts";

/** dpm++2m is closer to the exact solution at equal steps; the papers use ddim. */
export type SolverInGraph = "ddim" | "dpm++2m";

/**
 * From the state `from` [B, ...] at the time that path[0] shows to the one at the last of `path`, one evaluation a step.
 * `p` gives the model's parameters. Differentiable.
 */
export function solve<P>(
  model: Model<P>,
  p: P,
  from: Tensor,
  path: readonly Clock[],
  cond: Cond,
  solver: SolverInGraph = "ddim",
): Tensor {
  const stateRow = (t: number) => model.form.at(t);
  let state = from;
  let before: Tensor | null = null;
  for (let j = 0; j + 1 < path.length; j++) {
    const seen = predict(model, p, state, path[j], cond);
    if (solver === "ddim") {
      state = read(seen, stateRow, path[j + 1]);
      continue;
    }
    // DPM-Solver++(2M) (Lu et al. 2022, algorithm 2) is DDIM with the data prediction extrapolated along log-SNR.
    const data = read(seen, dataRow);
    const reach = before && path[j].with([path[j - 1], path[j + 1]], ahead(model.form), data.shape.length);
    const extrapolated: Tensor = before && reach ? add(data, mul(reach, sub(data, before))) : data;
    state = read({ ...seen, b: extrapolated, rowB: dataRow }, stateRow, path[j + 1]);
    before = data;
  }
  return state;
}

/** Half of the next step over the last one, in log-SNR; 0 (first order) for a step to pure data, which is infinite. */
const ahead =
  (form: Form) =>
  (now: number, previous: number, next: number): number => {
    const step = logSnr(form, next) - logSnr(form, now);
    return Number.isFinite(step) ? (0.5 * step) / (logSnr(form, now) - logSnr(form, previous)) : 0;
  };
