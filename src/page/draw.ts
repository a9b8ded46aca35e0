// Samples of a model in one call.

import type { Start } from "../recipes/recipe.ts";
import { type SampleOptions, type Samples, sampleAll, sampler, samplingGrid } from "../run/sample.ts";
import type { Runtime } from "../runtime/index.ts";
import { solverByName } from "../solvers/index.ts";

export interface DrawOptions extends Pick<SampleOptions, "label" | "cond" | "from" | "keepStates" | "onStep"> {
  readonly n: number;
  /** Default: the first that the model was made for. */
  readonly steps?: number;
  /** Default 0. */
  readonly seed?: number;
  /** Default 1: none. */
  readonly guidance?: number;
  /** Samples that go through the network together; default all, at most 64. */
  readonly batch?: number;
}

/**
 * As the model says that it is sampled. The same seed gives the same samples, whatever `n` and `batch` are. To draw often from
 * one model keep a `sampler` instead: this one is compiled and disposed at each call.
 *
 * @throws RangeError for steps that the model's grid cannot have, and for guidance of a model without classes.
 */
export async function draw(
  { model, params, sampler: spec }: Start,
  runtime: Runtime,
  { n, steps = spec.steps[0], seed = 0, guidance = 1, batch = Math.min(n, 64), ...options }: DrawOptions,
): Promise<Samples> {
  const times = samplingGrid(model.form, spec.grid, steps, model.prediction);
  const ready = await sampler(model, params, runtime, batch, { guidance });
  try {
    return await sampleAll(ready, { ...options, n, seed, solver: solverByName(spec.solver), times });
  } finally {
    await ready.dispose();
  }
}
