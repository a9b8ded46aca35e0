// Pseudo linear multistep: Adams-Bashforth weights on the noise, DDIM as the transfer (Liu et al. 2022).

import { transfer } from "../core/row.ts";
import { combine, eps, evaluate, fresh, remember } from "./combine.ts";
import type { Solver } from "./solver.ts";

/** Adams-Bashforth weights for equal steps, newest first, by number of known slopes. */
export const adamsBashforth: readonly (readonly number[])[] = [
  [],
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
];

/** The improved PNDM without Runge-Kutta warm-up. Second order: the weights are exact for equal steps in r only. */
export const ipndm: Solver = {
  name: "ipndm",
  order: 2,
  nfePerStep: 1,
  kind: "ode",
  minSteps: 2,
  ...fresh,
  async step(step) {
    const { form, t, next, x } = step;
    if (form.at(t)[0] === 0) return { x: await evaluate(step, x, t, form.at(next)), state: { past: [] } };
    const past = remember(step, await evaluate(step, x, t, eps), 4);
    const weights = adamsBashforth[past.length];
    const [p, q] = transfer(form.at(t), eps, form.at(next));
    return { x: combine([[p, x], ...past.map((e, j) => [q * weights[j], e.m] as const)]), state: { past } };
  },
};
