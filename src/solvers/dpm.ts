// DPM-Solver (eps) and DPM-Solver++ (x0), multistep, singlestep and stochastic (Lu et al. 2022).
import { logSnr } from "../core/form.ts";
import { combine, eps, evaluate, fresh, remember, x0 } from "./combine.ts";
import { type ExponentialOptions, exponentialStep, type Variable } from "./exponential.ts";
import type { Evaluation, Solver, Step, Vector } from "./solver.ts";

const want = (variable: Variable) => (variable === "x0" ? x0 : eps);

/** The exponential step to `to` from evaluations whose first is the state's own. */
function advance<V extends Vector>(
  options: ExponentialOptions,
  step: Step<V>,
  x: V,
  to: number,
  known: readonly Evaluation<V>[],
): V {
  const rows = known.map(({ t }) => step.form.at(t));
  const { x: p, outputs, noise } = exponentialStep(options, rows[0], step.form.at(to), rows);
  const terms = known.map(({ m }, j) => [outputs[j], m] as const);
  return combine(noise === 0 ? [[p, x], ...terms] : [[p, x], ...terms, [noise, step.noise(step.k)]]);
}

/** Pure noise at the start or pure data at the end: the noise alone does not carry a step there, the data does. */
const atSpecialEnd = ({ form, t, next }: Pick<Step<Vector>, "form" | "t" | "next">): boolean =>
  form.at(t)[0] === 0 || form.at(next)[1] === 0;

/** Multistep of order 1 to 3: one evaluation per step, the order grows over the first steps. */
export function dpmMultistep(options: ExponentialOptions & { order: number; name: string }): Solver {
  const { order, name, variable, stochastic = false } = options;
  return {
    name,
    order: stochastic ? Math.min(order, 2) : order,
    nfePerStep: 1,
    kind: stochastic ? "sde" : "ode",
    minSteps: order,
    ...fresh,
    async step(step) {
      if (variable === "eps" && atSpecialEnd(step)) {
        const m = await evaluate(step, step.x, step.t, x0);
        const known = [{ t: step.t, x: step.x, m }];
        return { x: advance({ variable: "x0", stochastic }, step, step.x, step.next, known), state: { past: [] } };
      }
      const m = await evaluate(step, step.x, step.t, want(variable));
      const past = remember(step, m, order);
      return { x: advance(options, step, step.x, step.next, past), state: { past } };
    },
  };
}

/** Singlestep of order 2 or 3: the step's own intermediate points, r = 1/2 or 1/3 and 2/3 of it in log-SNR. */
export function dpmSinglestep({ variable, order, name }: { variable: Variable; order: 2 | 3; name: string }): Solver {
  const inner = order === 2 ? [1 / 2] : [1 / 3, 2 / 3];
  return {
    name,
    order,
    nfePerStep: order,
    kind: "ode",
    ...fresh,
    async step(step) {
      const { form, t, next, x, state } = step;
      const [a, b] = [logSnr(form, t), logSnr(form, next)];
      if (!Number.isFinite(b - a)) return { x: await evaluate(step, x, t, form.at(next)), state };
      const known: Evaluation<typeof x>[] = [{ t, x, m: await evaluate(step, x, t, want(variable)) }];
      if (b !== a) {
        for (const r of inner) {
          const s = form.tAt(a + r * (b - a));
          const u = advance({ variable }, step, x, s, known);
          known.push({ t: s, x: u, m: await evaluate(step, u, s, want(variable)) });
        }
      }
      // Order 2 weighs the slope by half the first-order weight, order 3 uses the start and the last point (eq. 3.8).
      const used = known.length === 3 ? [known[0], known[2]] : known;
      const slope = order === 2 ? "half" : "taylor";
      return { x: advance({ variable, slope }, step, x, next, used), state };
    },
  };
}
