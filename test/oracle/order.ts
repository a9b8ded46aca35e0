// Measured orders of convergence against exact flows. Used by the contract test and by the table in docs/solvers.md.
import {
  chord,
  cosine,
  edm,
  type Form,
  type Grid,
  linear,
  logSnrGrid,
  subVp,
  table,
  uniformWindows,
  ve,
  vPrediction,
  vp,
  windowGrid,
} from "../../src/core/index.ts";
import { integrate, type Solver, type State } from "../../src/solvers/index.ts";
import { type Gaussian, gaussianDenoiser } from "./gaussian.ts";
import { endpoint, type Mixture, mixtureDenoiser } from "./mixture.ts";

/** A form and the span of times over which orders are measured, away from infinite log-SNR. */
export interface Arena {
  readonly form: Form;
  readonly from: number;
  readonly to: number;
}

export const arenas: readonly Arena[] = [
  { form: linear(), from: 0.98, to: 0.02 },
  { form: linear(3), from: 0.98, to: 0.05 },
  { form: vp(), from: 1, to: 0.02 },
  { form: cosine(), from: 0.98, to: 0.03 },
  { form: subVp(), from: 1, to: 0.05 },
  { form: ve(), from: 1, to: 0.3 },
  { form: edm(), from: 1, to: 0.2 },
  { form: table(), from: 1, to: 0.02 },
  { form: chord(table(), uniformWindows(4)), from: 1, to: 0.25 },
  { form: chord(vp(), uniformWindows(4)), from: 1, to: 0.25 },
];

export const supports = (solver: Solver, { form }: Arena): boolean =>
  solver.refuses?.(form) === undefined && !(solver.smooth && ["table", "chord"].includes(form.spec.kind));

/** Uniform in log-SNR, or on a chord uniform inside its first three windows. */
export function arenaGrid({ form, from, to }: Arena, steps: number): Grid {
  if (!form.windows) return logSnrGrid(form, steps, { from, to });
  return windowGrid(form.windows, (steps * form.windows.count) / (form.windows.count - 1)).filter((t) => t >= to);
}

const mixture: Mixture = { weights: [0.4, 0.6], means: [-0.6, 0.7], stds: [0.5, 0.6] };

/** Starts of the flow in units of sigma: several, because a single error may change its sign and look small. */
const starts = [-1.3, -0.6, -0.1, 0.3, 0.7, 1.2];

/** Root mean square error of the states at the end for an exact mixture denoiser. Multistep solvers warm up along the exact trajectory. */
export async function odeError(solver: Solver, arena: Arena, steps: number): Promise<number> {
  const { form, from, to } = arena;
  const times = arenaGrid(arena, steps);
  const predict = mixtureDenoiser<Float64Array>(mixture, form, vPrediction);
  const [a, s] = form.at(from);
  const exact = (t: number): Float64Array => {
    const [alpha, sigma] = form.at(t);
    return Float64Array.from(starts, (z) => alpha * endpoint(mixture, (z * s) / a, s / a, sigma / alpha));
  };
  const warm = solver.nfePerStep === 1 ? (solver.minSteps ?? 1) - 1 : 0;
  let x: Float64Array = exact(from);
  let state: State<Float64Array> = solver.init();
  for (let k = 0; k < steps; k++) {
    if (k > 0 && k <= warm) x = exact(times[k]);
    const noise = () => new Float64Array(starts.length);
    ({ x, state } = await solver.step({
      form,
      prediction: vPrediction,
      t: times[k],
      next: times[k + 1],
      x,
      k,
      times,
      predict,
      noise,
      state,
    }));
  }
  const truth = exact(to);
  return Math.sqrt(x.reduce((sum, value, i) => sum + (value - truth[i]) ** 2, 0) / x.length);
}

/**
 * Relative error of the variance at the end of a stochastic solver, exactly: with a linear denoiser the result is linear
 * in the start and in every noise, so one run with unit vectors gives all coefficients.
 */
export async function sdeError(
  solver: Solver,
  { form, from, to }: Arena,
  steps: number,
  gaussian: Gaussian,
): Promise<{ variance: number; mean: number }> {
  const x = new Float64Array(steps + 2);
  x[1] = 1;
  const noise = (k: number) => {
    const z = new Float64Array(steps + 2);
    z[k + 2] = 1;
    return z;
  };
  const predict = gaussianDenoiser<Float64Array>(gaussian, form, vPrediction);
  const end = await integrate(solver, {
    form,
    prediction: vPrediction,
    times: arenaGrid({ form, from, to }, steps),
    x,
    predict,
    noise,
  });
  const variance = ([alpha, sigma]: readonly [number, number]) => (alpha * gaussian.std) ** 2 + sigma ** 2;
  const [a, b] = [form.at(from), form.at(to)];
  let total = (end[1] - end[0]) ** 2 * variance(a);
  for (let k = 0; k < steps; k++) total += (end[k + 2] - end[0]) ** 2;
  const mean = end[0] + (end[1] - end[0]) * a[0] * gaussian.mean;
  return { variance: Math.abs(total / variance(b) - 1), mean: Math.abs(mean - b[0] * gaussian.mean) };
}

/** Root mean square of the relative variance errors over data of several widths. */
async function varianceError(solver: Solver, arena: Arena, steps: number): Promise<number> {
  let total = 0;
  for (const std of [0.2, 1, 3]) total += (await sdeError(solver, arena, steps, { mean: 0.5, std })).variance ** 2;
  return Math.sqrt(total / 3);
}

/** Slope of log2(error) over three doublings, by least squares; errors at rounding level are left out. */
export function slope(errors: readonly number[]): number {
  const points = errors.map((e, i) => ({ x: i, y: -Math.log2(e), e })).filter(({ e }) => e > 2e-14);
  const mx = points.reduce((sum, p) => sum + p.x, 0) / points.length;
  const up = points.reduce((sum, p) => sum + (p.x - mx) * p.y, 0);
  return up / points.reduce((sum, p) => sum + (p.x - mx) ** 2, 0);
}

/** Measured order of a solver in an arena. High orders reach rounding early, so they use fewer steps. */
export async function measureOrder(solver: Solver, arena: Arena): Promise<number> {
  const counts =
    solver.order >= 5 ? [24, 48, 96] : solver.order === 4 || arena.form.windows ? [96, 192, 384] : [192, 384, 768];
  const errors: number[] = [];
  for (const steps of counts) {
    errors.push(
      solver.kind === "sde" ? await varianceError(solver, arena, steps) : await odeError(solver, arena, steps),
    );
  }
  return slope(errors);
}
