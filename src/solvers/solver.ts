// What a sampler is: a plain object whose step turns the state at one time into the state at the next.
import type { Form } from "../core/form.ts";
import { checkGrid, type Grid } from "../core/grid.ts";
import type { Prediction } from "../core/prediction.ts";

/** A batch of states, flat. Float32 in use; float64 where an error of 1e-10 has to be measured. */
export type Vector = Float32Array | Float64Array;

/** One network evaluation: the model's prediction for the state x at time t. Counts 1 NFE. */
export type Predict<V extends Vector = Float32Array> = (x: V, t: number) => Promise<V>;

/** What a multistep solver remembers of one evaluation. */
export interface Evaluation<V extends Vector> {
  readonly t: number;
  /** What the solver reads: x0 or eps. */
  readonly m: V;
  /** The state the step started from. */
  readonly x: V;
}

export interface State<V extends Vector> {
  /** Newest first. */
  readonly past: readonly Evaluation<V>[];
  /** Step size proposed by an adaptive solver, in t. */
  readonly stepSize?: number;
}

export interface Step<V extends Vector> {
  readonly form: Form;
  readonly prediction: Prediction;
  readonly t: number;
  readonly next: number;
  readonly x: V;
  /** Index of the step and all times, for solvers that treat the last step in a special way. */
  readonly k: number;
  readonly times: Grid;
  readonly predict: Predict<V>;
  /** Standard normal noise of step k, as long as x. Only stochastic solvers ask for it. */
  readonly noise: (k: number) => V;
  readonly state: State<V>;
}

export interface Stepped<V extends Vector> {
  readonly x: V;
  readonly state: State<V>;
}

export interface Solver {
  readonly name: string;
  /** Global order: of the endpoint ("ode"), of mean and variance ("sde"); 0 where more steps bring nothing ("consistency"). */
  readonly order: number;
  readonly nfePerStep: number | "adaptive";
  readonly kind: "ode" | "sde" | "consistency";
  /** Fewest steps with which the declared order is reached at least once. Multistep solvers warm up with lower orders. */
  readonly minSteps?: number;
  /** True if the declared order needs a form that is smooth in t: a table or a chord has kinks. */
  readonly smooth?: boolean;
  /** A sentence saying why this solver does not work on a form, or undefined. */
  refuses?(form: Form): string | undefined;
  init<V extends Vector>(): State<V>;
  step<V extends Vector>(step: Step<V>): Promise<Stepped<V>>;
}

export interface IntegrateOptions<V extends Vector> {
  form: Form;
  prediction: Prediction;
  /** Falling times from noise to data; see core's grids. */
  times: Grid;
  /** The state at times[0]. Not changed. */
  x: V;
  predict: Predict<V>;
  noise?: (k: number) => V;
  onStep?: (event: { k: number; t: number; next: number; x: V; nfe: number }) => void;
}

/**
 * The state at times.at(-1). The one loop over steps; it holds no randomness and no clock.
 * @throws RangeError for a grid that does not fall, a step across a window edge, or too few steps for the solver.
 */
export async function integrate<V extends Vector>(solver: Solver, options: IntegrateOptions<V>): Promise<V> {
  const { form, prediction, times, noise = refuseNoise(solver), onStep } = options;
  checkPlan(solver, form, times);
  let nfe = 0;
  const predict: Predict<V> = (x, t) => {
    nfe++;
    return options.predict(x, t);
  };
  let x = options.x;
  let state = solver.init<V>();
  for (let k = 0; k + 1 < times.length; k++) {
    const [t, next] = [times[k], times[k + 1]];
    ({ x, state } = await solver.step({ form, prediction, t, next, x, k, times, predict, noise, state }));
    onStep?.({ k, t, next, x, nfe });
  }
  return x;
}

/** Refuses plans that cannot work, naming the values. */
export function checkPlan(solver: Solver, form: Form, times: Grid): void {
  checkGrid(times);
  const steps = times.length - 1;
  const reason = solver.refuses?.(form);
  if (reason) throw new RangeError(reason);
  if (steps < (solver.minSteps ?? 1)) {
    throw new RangeError(
      `${solver.name} has order ${solver.order} and cannot warm up in ${steps} steps. ` +
        `Expected at least ${solver.minSteps} steps, or a solver of lower order.`,
    );
  }
  const { windows } = form;
  if (!windows) return;
  if (times[0] === 1 && times[steps] === 0 && steps < windows.count) {
    throw new RangeError(
      `${steps} steps cannot cover ${windows.count} windows. Expected at least one step per window.`,
    );
  }
  for (let k = 0; k < steps; k++) {
    const { end } = windows.of(times[k]);
    if (times[k + 1] < end - 1e-9) {
      throw new RangeError(
        `The step from t = ${times[k]} to ${times[k + 1]} crosses the window edge ${end} of ${form.name}. Expected a grid through every edge.`,
      );
    }
  }
}

function refuseNoise(solver: Solver): (k: number) => never {
  return (k) => {
    throw new RangeError(`${solver.name} is stochastic and step ${k} asked for noise. Expected a \`noise\` function.`);
  };
}
