// DPM2 of k-diffusion (diffusers' KDPM2DiscreteScheduler): the midpoint rule in sigma/alpha, its midpoint in log-SNR.
import { logSnr } from "../core/form.ts";
import { transfer } from "../core/row.ts";
import { combine, eps, evaluate, fresh } from "./combine.ts";
import type { Solver } from "./solver.ts";

/** Two evaluations per step, one where the step starts at pure noise or ends at pure data. */
export const kdpm2: Solver = {
  name: "kdpm2",
  order: 2,
  nfePerStep: 2,
  kind: "ode",
  ...fresh,
  async step(step) {
    const { form, t, next, x, state } = step;
    const [a, b] = [logSnr(form, t), logSnr(form, next)];
    if (!Number.isFinite(b - a)) return { x: await evaluate(step, x, t, form.at(next)), state };
    const middle = form.tAt((a + b) / 2);
    const half = await evaluate(step, x, t, form.at(middle));
    const [p, q] = transfer(form.at(t), eps, form.at(next));
    return {
      x: combine([
        [p, x],
        [q, await evaluate(step, half, middle, eps)],
      ]),
      state,
    };
  },
};
