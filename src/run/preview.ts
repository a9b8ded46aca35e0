// What pictures of a run show: teacher and student from the same noise, with a few numbers of steps.

import { classCount } from "../condition.ts";
import { fromConstants, type ParamSpec, unflatten } from "../nn/params.ts";
import type { NetModel, Teacher } from "../recipes/recipe.ts";
import type { Runtime } from "../runtime/index.ts";
import { solverByName } from "../solvers/index.ts";
import type { SamplerSpec } from "./card.ts";
import { type SampleOptions, sampleAll, sampler, samplingGrid } from "./sample.ts";

export interface PreviewRow {
  readonly name: string;
  readonly sampler: SamplerSpec;
  readonly steps: number;
  readonly guidance: number;
}

export interface Shown {
  readonly name: string;
  /** [n, ...sampleShape] */
  readonly x: Float32Array;
}

/** Samples of a row: one of every class, or eight; in the plane as many as show a density. */
export function shownSamples({ sampleShape, conditions }: NetModel): number {
  if (sampleShape.length === 1 || sampleShape.slice(1).every((n) => n === 1)) return 500;
  return Math.min(10, Math.max(8, classCount(conditions)));
}

/** A row for each, all from the noise of one seed. */
export async function previewRows(
  { model, params }: Teacher,
  rows: readonly PreviewRow[],
  {
    n,
    seed,
    runtime,
    cond,
  }: { readonly n: number; readonly seed: number; readonly runtime: Runtime; readonly cond?: SampleOptions["cond"] },
): Promise<readonly Shown[]> {
  const out: Shown[] = [];
  for (const row of rows) {
    const ready = await sampler(model, params, runtime, n, { guidance: row.guidance });
    const times = samplingGrid(model.form, row.sampler.grid, row.steps, model.prediction);
    try {
      const { x } = await sampleAll(ready, {
        n,
        seed,
        solver: solverByName(row.sampler.solver),
        times,
        cond,
        stream: "preview",
      });
      out.push({ name: row.name, x });
    } finally {
      await ready.dispose();
    }
  }
  return out;
}

/** The student of these weights. */
export const studentOf = (model: NetModel, spec: readonly ParamSpec[], theta: Float32Array): Teacher => ({
  model,
  params: fromConstants(unflatten(spec, theta)),
});
