// Runge-Kutta methods on dx/dt = u(x, t): a method is its tableau. They follow t, so the form's curvature costs accuracy.
import type { Form } from "../core/form.ts";
import { combine, evaluate, fresh } from "./combine.ts";
import type { Solver, Step, Vector } from "./solver.ts";

/** a[i] are the weights of earlier slopes for stage i + 1, b those of the step, c = sums of a. */
interface Tableau {
  readonly a: readonly (readonly number[])[];
  readonly b: readonly number[];
}

const sum = (row: readonly number[]): number => row.reduce((s, v) => s + v, 0);

/** Slopes of all stages. The last time of a step belongs to the next window, so slopes there are read just inside. */
async function stages<V extends Vector>(step: Step<V>, { a }: Tableau, first?: V): Promise<V[]> {
  const { form, t, next, x } = step;
  const h = next - t;
  const slope = (at: V, time: number) => evaluate(step, at, time, form.rate(time));
  const slopes = [first ?? (await slope(x, t))];
  for (const row of a) {
    const c = sum(row);
    const stage = combine([[1, x], ...row.map((w, j) => [h * w, slopes[j]] as const)]);
    slopes.push(await slope(stage, c === 1 ? next : t + c * h));
  }
  return slopes;
}

/** A chord's rate jumps at an edge, and a stage at the end of a step would read the next window's. */
const refuseChord = (name: string) => (form: Form) =>
  form.spec.kind === "chord"
    ? `${name} evaluates at both ends of a step, and ${form.name} has a kink at every edge. Expected ddim or euler.`
    : undefined;

function rungeKutta(name: string, order: number, tableau: Tableau): Solver {
  return {
    name,
    order,
    nfePerStep: tableau.b.length,
    kind: "ode",
    ...(order > 1 ? { refuses: refuseChord(name), smooth: true } : {}),
    ...fresh,
    async step(step) {
      const { t, next, x, state } = step;
      const slopes = await stages(step, tableau);
      return { x: combine([[1, x], ...tableau.b.map((w, j) => [(next - t) * w, slopes[j]] as const)]), state };
    },
  };
}

export const euler: Solver = rungeKutta("euler", 1, { a: [], b: [1] });
export const heun: Solver = rungeKutta("heun", 2, { a: [[1]], b: [1 / 2, 1 / 2] });
export const rk4: Solver = rungeKutta("rk4", 4, {
  a: [[1 / 2], [0, 1 / 2], [0, 0, 1]],
  b: [1 / 6, 1 / 3, 1 / 3, 1 / 6],
});

/** Dormand & Prince 1980, order 5 with an embedded order 4. */
const dormandPrince = {
  a: [
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
  ],
  b: [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
};
/** Weights of the error estimate; the seventh slope is the first of the next step. */
const errorWeights = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];

export const dopri5: Solver = rungeKutta("dopri5", 5, dormandPrince);

/**
 * Dormand-Prince with error control inside every step of the grid. The step size is kept within 1/5 and 10 times the
 * last one; NFE depends on the tolerance.
 */
export function rk45({ rtol = 1e-5, atol = 1e-5 }: { rtol?: number; atol?: number } = {}): Solver {
  return {
    name: "rk45",
    order: 5,
    nfePerStep: "adaptive",
    kind: "ode",
    refuses: refuseChord("rk45"),
    smooth: true,
    ...fresh,
    async step(step) {
      const { form, next } = step;
      let { t, x } = step;
      let size = Math.min(step.state.stepSize ?? 0.05, t - next);
      let first: typeof x | undefined;
      while (t > next) {
        const to = t - size <= next + 1e-12 ? next : t - size;
        const inner = { ...step, x, t, next: to };
        const slopes = await stages(inner, dormandPrince, first);
        const h = to - t;
        const candidate = combine([[1, x], ...dormandPrince.b.map((w, j) => [h * w, slopes[j]] as const)]);
        slopes.push(await evaluate(inner, candidate, to, form.rate(to)));
        const error = combine(errorWeights.map((w, j) => [h * w, slopes[j]] as const));
        const norm = scaled(error, x, candidate, rtol, atol);
        if (!Number.isFinite(norm))
          throw new RangeError(`rk45 met a value that is not finite at t = ${t}. Expected a finite slope there.`);
        if (norm <= 1) {
          [t, x, first] = [to, candidate, slopes[6]];
        } else {
          first = slopes[0];
          if (size < 1e-9)
            throw new RangeError(
              `rk45 needs steps below 1e-9 at t = ${t} for tolerance ${rtol}. Expected a smoother model.`,
            );
        }
        size = size * Math.min(10, Math.max(0.2, 0.9 * Math.max(norm, 1e-10) ** -0.2));
      }
      return { x, state: { past: [], stepSize: size } };
    },
  };
}

/** Root mean square of the error in units of the tolerance; at most 1 is accepted. */
function scaled(error: Vector, from: Vector, to: Vector, rtol: number, atol: number): number {
  let total = 0;
  for (let i = 0; i < error.length; i++) {
    total += (error[i] / (atol + rtol * Math.max(Math.abs(from[i]), Math.abs(to[i])))) ** 2;
  }
  return Math.sqrt(total / error.length);
}
