// EDM's sampler: Heun in r = sigma/alpha with optional fresh noise (Karras et al. 2022, algorithm 2).

import { transfer } from "../core/row.ts";
import { combine, eps, evaluate, fresh } from "./combine.ts";
import type { Solver } from "./solver.ts";

export interface Churn {
  /** S_churn: total noise added, spread over the steps; at most √2 - 1 of the level per step. */
  churn?: number;
  /** Levels sigma/alpha between which noise is added. */
  from?: number;
  to?: number;
  /** S_noise: standard deviation of the added noise. */
  noise?: number;
}

/** Two evaluations per step, one where the step ends at pure data or starts at pure noise. */
export function edmSampler({
  churn = 0,
  from = 0,
  to = Number.POSITIVE_INFINITY,
  noise: strength = 1,
}: Churn = {}): Solver {
  return {
    name: churn === 0 ? "edm" : `edm(churn ${churn})`,
    order: 2,
    nfePerStep: 2,
    kind: churn === 0 ? "ode" : "sde",
    ...fresh,
    async step(step) {
      const { form, next, k, times, noise, state } = step;
      let { t, x } = step;
      const [alpha, sigma] = form.at(t);
      const r = sigma / alpha;
      const gamma = churn > 0 && r >= from && r <= to ? Math.min(churn / (times.length - 1), Math.SQRT2 - 1) : 0;
      if (gamma > 0 && Number.isFinite(r)) {
        // Not beyond the form's noisiest level, where the network has never been.
        const raised = Math.min(r * (1 + gamma), form.at(form.tMax)[1] / form.at(form.tMax)[0]);
        t = form.tAt(-Math.log(raised));
        const scale = form.at(t)[0];
        x = combine([
          [scale / alpha, x],
          [scale * strength * Math.sqrt(Math.max(0, raised * raised - r * r)), noise(k)],
        ]);
      }
      const target = form.at(next);
      if (form.at(t)[0] === 0) return { x: await evaluate(step, x, t, target), state };
      const m = await evaluate(step, x, t, eps);
      const [p, q] = transfer(form.at(t), eps, target);
      const predicted = combine([
        [p, x],
        [q, m],
      ]);
      if (target[1] === 0) return { x: predicted, state };
      const corrected = await evaluate(step, predicted, next, eps);
      return {
        x: combine([
          [p, x],
          [q / 2, m],
          [q / 2, corrected],
        ]),
        state,
      };
    },
  };
}
