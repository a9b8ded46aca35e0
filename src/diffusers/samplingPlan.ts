// How a picture is sampled: by one of diffusers' schedulers, or by a solver of src/solvers on the form of the folder's
// scheduler. A pipeline sees no difference.
import { coefficients, conditioning, type Form, type Grid, type Row, uniformGrid, x0 } from "../core/index.ts";
import { checkPlan, combine, integrate, type Solver } from "../solvers/index.ts";
import { cleanEstimate } from "./preview.ts";
import { readScheduler } from "./scheduler.ts";
import {
  createScheduler,
  type DiffusersScheduler,
  runScheduler,
  type SamplingOptions,
  type SchedulerConfig,
} from "./schedulers/index.ts";

export interface Evaluation {
  /** Scaled for the network. */
  readonly x: Float32Array;
  readonly timestep: number;
  /** The data that an output here stands for. */
  clean(output: Float32Array): Float32Array;
}

export interface PlanRun {
  /** The state to start with. */
  readonly x: Float32Array;
  readonly evaluate: (at: Evaluation) => Promise<Float32Array>;
  readonly noise: (k: number) => Float32Array;
  /** After every evaluation of a scheduler, after every step of a solver: the state then. */
  readonly onStep: (x: Float32Array, timestep: number) => void;
}

export interface SamplingPlan {
  readonly name: string;
  /** Evaluations of the network; of an adaptive solver, its steps. */
  readonly evaluations: number;
  /** Factor on the noise that sampling from nothing starts with. */
  readonly startScale: number;
  /** The row (alpha, sigma) of the first state, to noise data for image to image. */
  readonly row: Row;
  run(run: PlanRun): Promise<Float32Array>;
}

export interface PlanOptions {
  readonly steps: number;
  readonly sampling?: SamplingOptions;
  /** Image to image: how much of the way is done again, above 0 to 1. */
  readonly strength?: number;
}

/** Throws RangeError for steps or a strength that leave nothing, and for what the scheduler or solver does not take. */
export function samplingPlan(
  config: SchedulerConfig,
  solver: Solver | undefined,
  { steps, sampling, strength }: PlanOptions,
): SamplingPlan {
  if (strength !== undefined && !(strength > 0 && strength <= 1))
    throw new RangeError(`The strength is ${strength}, expected above 0 (nothing changes) to 1 (everything is new).`);
  return solver ? solverPlan(config, solver, steps, strength) : schedulerPlan(config, steps, sampling, strength);
}

function schedulerPlan(
  config: SchedulerConfig,
  steps: number,
  sampling: SamplingOptions | undefined,
  strength: number | undefined,
): SamplingPlan {
  // These two were told the strength when their timesteps were picked.
  const told = config._class_name === "LCMScheduler" || config._class_name === "TCDScheduler";
  const sampler = createScheduler(config, steps, {
    ...sampling,
    ...(told && strength !== undefined ? { strength } : {}),
  });
  const from = strength === undefined || told ? 0 : firstCall(sampler, steps, strength);
  return {
    name: sampler.name,
    evaluations: sampler.timesteps.length - from,
    startScale: sampler.initNoiseSigma,
    row: sampler.row(from),
    run: ({ x, evaluate, noise, onStep }) =>
      runScheduler(sampler, {
        ...{ x, from, noise },
        predict: (scaled, timestep, k) =>
          evaluate({
            ...{ x: scaled, timestep },
            clean(output) {
              const scale = sampler.inputScale(k);
              const state = scale === 1 ? scaled : scaled.map((value) => value / scale);
              return cleanEstimate(sampler, config, k, state, output);
            },
          }),
        onStep: ({ timestep, x }) => onStep(x, timestep),
      }),
  };
}

/** The call an image to image run starts with, as diffusers counts it. */
function firstCall(sampler: DiffusersScheduler, steps: number, strength: number): number {
  const kept = Math.min(Math.trunc(steps * strength), steps);
  const perStep = /Heun|KDPM2/.test(sampler.name) ? 2 : 1;
  const from = (steps - kept) * perStep;
  if (from >= sampler.timesteps.length) throw leavesNone(steps, strength);
  return from;
}

const leavesNone = (steps: number, strength: number): RangeError =>
  new RangeError(`With ${steps} steps a strength of ${strength} leaves none; expected more of either.`);

/** The network is told T·t - 1, as everywhere where a table is a form. */
function solverPlan(
  config: SchedulerConfig,
  solver: Solver,
  steps: number,
  strength: number | undefined,
): SamplingPlan {
  const { form, prediction, steps: total } = readScheduler(config, "The scheduler's configuration");
  const kept = strength === undefined ? steps : Math.trunc(steps * strength);
  if (kept < 1) throw leavesNone(steps, strength ?? 1);
  const times: Grid = uniformGrid(kept, { from: firstTime(form, prediction) * (kept / steps) });
  checkPlan(solver, form, times);
  const each = solver.nfePerStep === "adaptive" ? 1 : solver.nfePerStep;
  return {
    name: solver.name,
    evaluations: each * kept,
    startScale: 1,
    row: form.at(times[0]),
    run: ({ x, evaluate, noise, onStep }) =>
      integrate<Float32Array>(solver, {
        ...{ form, prediction, times, x, noise },
        predict: (state, t) =>
          evaluate({
            ...{ x: state, timestep: total * t - 1 },
            clean(output) {
              if (!Number.isFinite(conditioning(form.at(t), prediction.row(form, t)))) return state;
              const [p, q] = coefficients(form, t, prediction, x0.row(form, t));
              return combine([
                [p, state],
                [q, output],
              ]);
            },
          }),
        onStep: ({ t, x }) => onStep(x, total * t - 1),
      }),
  };
}

/** Where the network says nothing about the data at the end, sampling starts just before it. */
const firstTime = (form: Form, prediction: Parameters<typeof coefficients>[2]): number =>
  Number.isFinite(conditioning(form.at(form.tMax), prediction.row(form, form.tMax))) ? form.tMax : 0.99 * form.tMax;
