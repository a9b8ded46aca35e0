// UniPC: a multistep predictor, and a corrector that reuses the evaluation at the new point (Zhao et al. 2023).
import { combine, evaluate, fresh, remember, x0 } from "./combine.ts";
import { exponentialStep } from "./exponential.ts";
import type { Solver } from "./solver.ts";

/**
 * Order p + 1 with one evaluation per step: the corrector adds one to the predictor's p. B is the paper's B1(h) = h ("flat") or B2(h) = e^h - 1 ("half").
 * The state handed on is the predicted one; the correction enters at the start of the next step.
 */
export function unipc({
  p: points,
  slope = "half",
  name,
}: {
  p: 2 | 3;
  slope?: "half" | "flat";
  name: string;
}): Solver {
  return {
    name,
    order: points + 1,
    nfePerStep: 1,
    kind: "ode",
    minSteps: points,
    ...fresh,
    async step(step) {
      const { form, t, next, state } = step;
      const m = await evaluate(step, step.x, t, x0);
      const before = state.past;
      let x = step.x;
      if (before.length > 0) {
        const rows = [...before.map((e) => form.at(e.t)), form.at(t)];
        const c = exponentialStep({ variable: "x0", slope }, rows[0], form.at(t), rows);
        x = combine([
          [c.x, before[0].x],
          ...before.map((e, j) => [c.outputs[j], e.m] as const),
          [c.outputs[before.length], m],
        ]);
      }
      const past = remember(step, m, points, x);
      const rows = past.map((e) => form.at(e.t));
      const p = exponentialStep({ variable: "x0", slope }, rows[0], form.at(next), rows);
      return { x: combine([[p.x, x], ...past.map((e, j) => [p.outputs[j], e.m] as const)]), state: { past } };
    },
  };
}
