// Measuring one model: at several numbers of steps against data and a teacher, and along its paths.
import { canBeGuided } from "../condition.ts";
import type { Metric, Rows } from "../metrics/index.ts";
import { fromConstants } from "../nn/params.ts";
import { type Evaluation, endsOf, evaluate } from "../run/evaluate.ts";
import { measurePaths, pathGrid } from "../run/paths.ts";
import { sampler, samplingGrid } from "../run/sample.ts";
import { ddim, solverByName } from "../solvers/index.ts";
import { type Context, checkInterrupt } from "./context.ts";
import type { ModelResult } from "./evaluationReport.ts";
import { UsageError, usage } from "./failure.ts";
import type { Measuring } from "./features.ts";
import type { LoadedModel } from "./models.ts";

/** What is needed of a model to sample it. */
export type SampledModel = Pick<LoadedModel, "model" | "params" | "sampler" | "name" | "path">;

export interface MeasureOptions {
  readonly steps: readonly number[];
  readonly n: number;
  readonly batch: number;
  readonly solver?: string;
  readonly teacherSteps: number;
  readonly pathSteps: number;
  readonly pathSamples: number;
  /** Index of the first sample, and how many there are in all, where these are a part of them. */
  readonly from?: number;
  readonly whole?: number;
  readonly keepStates?: boolean;
}

export interface Against {
  readonly role: ModelResult["role"];
  readonly guidance: number;
  readonly measured?: Measuring;
  /** Where the teacher ends from the same noise. */
  readonly ends?: Float32Array;
}

/** What cannot be measured becomes one of `notes`. Throws UsageError where the model can take none of the steps. */
export async function measureModel(
  one: SampledModel,
  { role, guidance, measured, ends }: Against,
  o: MeasureOptions,
  notes: string[],
  context: Context,
): Promise<ModelResult> {
  const evaluations: Evaluation[] = [];
  const possible = possibleSteps(one, o.steps, notes);
  const ready = await samplerOf(one, guidance, o, context);
  const line = context.report.progress(one.name);
  try {
    const events = evaluate(ready, {
      n: o.n,
      from: o.from,
      seed: context.seed,
      solver: solverOf(one, o),
      grids: possible.map((steps) => gridOf(one, steps)),
      features: measured?.features,
      metrics: measured?.metrics.map((metric) => announced(metric, o.n, context)),
      ends,
      keepStates: o.keepStates,
      onStep({ done, total }) {
        checkInterrupt(context, "Nothing was written.");
        line.update({ done, total, unit: "steps" });
      },
    });
    for await (const event of events) {
      evaluations.push(event);
      for (const note of event.notes) if (!notes.includes(note)) notes.push(note);
      const { shown, states, ...numbers } = event;
      context.report.event({ ...numbers, model: one.name });
    }
  } finally {
    line.end();
    await ready.dispose();
  }
  const paths = o.pathSteps === 0 ? [] : await pathsOf(one, guidance, possible, notes, o, context);
  return { name: one.name, path: one.path, role, guidance, evaluations, paths };
}

/** Those of `steps` that the windows allow; others become a note. Throws UsageError where none is left. */
export function possibleSteps(one: SampledModel, steps: readonly number[], notes: string[]): readonly number[] {
  const least = windowsOf(one);
  const dropped = steps.filter((n) => n < least);
  const possible = steps.filter((n) => n >= least);
  if (possible.length === 0)
    throw new UsageError(
      `--steps ${steps.join(",")}: ${one.name} has ${least} windows, expected at least as many steps.`,
    );
  if (dropped.length > 0)
    notes.push(`${one.name} has ${least} windows, so it was not measured with ${dropped.join(", ")} steps.`);
  return possible;
}

/** Says what is computed where that takes longer than a second: work of precision and recall grows with n². */
const announced = <S>(metric: Metric<Rows, S>, n: number, { report }: Context): Metric<Rows, S> => ({
  ...metric,
  value(state) {
    if (n >= 2000) report.note(`Computing ${metric.name} of ${n.toLocaleString("en-US")} samples.`);
    return metric.value(state);
  },
});

/** Steps below which a model cannot be sampled. */
export const windowsOf = ({ model, sampler: { grid } }: Pick<SampledModel, "model" | "sampler">): number =>
  model.form.windows?.count ??
  (grid.kind === "windows"
    ? grid.windows.kind === "uniform"
      ? grid.windows.count
      : grid.windows.edges.length - 1
    : 1);

export const solverOf = (one: SampledModel, o: MeasureOptions) =>
  usage(() => solverByName(o.solver ?? one.sampler.solver));
export const gridOf = ({ model, sampler }: SampledModel, steps: number) =>
  usage(() => samplingGrid(model.form, sampler.grid, steps, model.prediction));
export const samplerOf = (one: SampledModel, guidance: number, o: MeasureOptions, { runtime }: Context) => {
  if (guidance !== 1 && !canBeGuided(one.model.conditions) && !one.model.conditions.guidance)
    throw new UsageError(`--guidance ${guidance} needs a model with classes; ${one.name} has none.`);
  return sampler(one.model, fromConstants(one.params), runtime, Math.min(o.whole ?? o.n, o.batch), { guidance });
};

/** Along a fine grid and, for two and more steps, along the sampler's. What cannot be read becomes a note. */
export async function pathsOf(
  one: SampledModel,
  guidance: number,
  steps: readonly number[],
  notes: string[],
  o: MeasureOptions,
  context: Context,
): Promise<ModelResult["paths"]> {
  const { model } = one;
  const n = Math.min(o.pathSamples, o.batch);
  const ready = await samplerOf(one, guidance, { ...o, n }, context);
  const paths: ModelResult["paths"][number][] = [];
  const fine = pathGrid(model.form, o.pathSteps, gridOf(one, Math.max(2, windowsOf(one)))[0]);
  const grids = [
    { times: fine, fine: true },
    ...steps.filter((k) => k > 1).map((k) => ({ times: gridOf(one, k), fine: false })),
  ];
  const line = context.report.progress(`${one.name}, paths`);
  try {
    for (const [i, grid] of grids.entries()) {
      const onStep = () => checkInterrupt(context, "Nothing was written.");
      const measured = await measurePaths(ready, {
        n,
        seed: context.seed,
        solver: ddim(),
        times: grid.times,
        onStep,
      }).catch((error: unknown) => {
        if (!(error instanceof RangeError)) throw error;
        const note = `The paths of ${one.name} with ${grid.times.length - 1} steps were not measured: ${error.message}`;
        notes.push(note);
        return undefined;
      });
      if (measured) paths.push({ ...measured, steps: grid.times.length - 1, fine: grid.fine });
      line.update({ done: i + 1, total: grids.length, unit: "paths" });
    }
  } finally {
    line.end();
    await ready.dispose();
  }
  return paths;
}

/** Where the teacher ends from the noise of the samples: what "endpoint" compares to. */
export async function endsOfTeacher(
  teacher: SampledModel,
  guidance: number,
  o: MeasureOptions,
  context: Context,
): Promise<Float32Array> {
  const ready = await samplerOf(teacher, guidance, o, context);
  const line = context.report.progress(`${teacher.name}, ${o.teacherSteps} steps`);
  try {
    return await endsOf(ready, {
      n: o.n,
      from: o.from,
      seed: context.seed,
      solver: solverByName("ddim"),
      times: gridOf(teacher, o.teacherSteps),
      onStep({ done, total }) {
        checkInterrupt(context, "Nothing was written.");
        line.update({ done, total, unit: "steps" });
      },
    });
  } finally {
    line.end();
    await ready.dispose();
  }
}
