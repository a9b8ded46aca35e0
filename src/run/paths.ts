// The path of samples from noise to data: how straight and how first-order it is.

import { type Form, type Grid, uniformGrid, windowGrid } from "../core/index.ts";
import { type PathReport, pathReport } from "../metrics/index.ts";
import type { Solver } from "../solvers/index.ts";
import { type CondValues, type SampleOptions, type Sampler, sampleAll } from "./sample.ts";

export interface PathsOptions extends Pick<SampleOptions, "seed" | "label" | "onStep"> {
  /** Samples: at most the sampler's batch. */
  readonly n: number;
  readonly solver: Solver;
  readonly times: Grid;
}

export interface Paths {
  readonly whole: PathReport;
  /** On a form with windows, of each. */
  readonly windows: readonly PathReport[];
  /** The first samples' states, for a picture. */
  readonly trace: Trace;
}

export interface Trace {
  readonly times: Grid;
  /** [n, dim] at every time, x/(alpha + sigma): first-order paths are straight in these coordinates. */
  readonly states: readonly Float32Array[];
  readonly dim: number;
}

/** Samples kept for pictures. */
const TRACED = 40;

/** A fine grid over the times that a model was trained on, through every window edge. */
export function pathGrid(form: Form, steps: number, from: number = form.tMax): Grid {
  if (form.windows) return windowGrid(form.windows, Math.max(steps, form.windows.count));
  return uniformGrid(steps, { from, to: form.tMin });
}

/** Follows n samples along the grid, with one network evaluation per state. */
export async function measurePaths(sampler: Sampler, o: PathsOptions): Promise<Paths> {
  const { n, solver, times } = o;
  if (n > sampler.batch)
    throw new RangeError(`Paths of ${n} samples need a sampler of as large a batch, it has ${sampler.batch}.`);
  const { form, prediction, sampleShape } = sampler.model;
  const dim = sampleShape.reduce((a, b) => a * b, 1);
  // A solver evaluates every state it steps from, and the last evaluation at its time is that one.
  const seen = new Map<number, Float32Array>();
  let cond: CondValues = {};
  const watching: Sampler = {
    ...sampler,
    async predict(x, t, given, next) {
      const y = await sampler.predict(x, t, given, next);
      seen.set(t, y);
      cond = given;
      return y;
    },
  };
  const { states = [] } = await sampleAll(watching, { ...o, n, solver, times, keepStates: true });
  const last = times[times.length - 1];
  const full = new Float32Array(sampler.batch * dim);
  full.set(states[states.length - 1]);
  seen.set(last, await sampler.predict(full, last, cond));
  const predict = async (_: unknown, t: number) => {
    const y = seen.get(t);
    if (!y) throw new RangeError(`${solver.name} did not evaluate the state at t = ${t}; measure paths with ddim.`);
    return y.subarray(0, n * dim);
  };
  const report = await pathReport({ form, prediction, times, states, dim, predict }, form.windows);
  const traced = states.map((x, k) => {
    const [alpha, sigma] = form.at(times[k]);
    return x.slice(0, TRACED * dim).map((value) => value / (alpha + sigma));
  });
  return { ...report, trace: { times, states: traced, dim } };
}
