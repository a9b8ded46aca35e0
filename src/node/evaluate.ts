// What models lose with few steps, as a table, a report, charts and a grid on the same noise.
import { z } from "zod";
import { canBeGuided } from "../condition.ts";
import type { Metric, Rows } from "../metrics/index.ts";
import { fromConstants } from "../nn/params.ts";
import { type Evaluation, endsOf, evaluate } from "../run/evaluate.ts";
import { measurePaths, pathGrid } from "../run/paths.ts";
import { sampler, samplingGrid } from "../run/sample.ts";
import { ddim, solverByName } from "../solvers/index.ts";
import { type Context, checkInterrupt } from "./context.ts";
import { type ModelResult, type Report, writeReport } from "./evaluationReport.ts";
import { UsageError, usage } from "./failure.ts";
import { measuring } from "./features.ts";
import { openData } from "./files.ts";
import { type LoadedModel, loadModel, withClasses } from "./models.ts";
import { claimReport } from "./reportFolder.ts";
import { force, samplingOptions } from "./sample.ts";

const count = z.int().positive();

export const evaluateOptions = z.object({
  models: z.array(z.string()).min(1).describe("Models, runs or diffusers folders."),
  data: z.string().describe("What samples should look like.").meta({ value: "path" }),
  steps: z.array(count).min(1).default([1, 2, 4, 8]).describe("Numbers of steps."),
  n: count.default(1000).describe("Samples per model and number of steps."),
  ...samplingOptions,
  teacher: z
    .string()
    .optional()
    .describe("Measured too; where it ends from the same noise is the truth.")
    .meta({ value: "path" }),
  teacherSteps: count.default(50).describe("Steps of the teacher's solution that counts as the truth."),
  teacherGuidance: z.number().optional().describe("Default: what is baked into the first model."),
  pathSteps: z.int().nonnegative().default(100).describe("Steps of the fine paths that are measured; 0: none."),
  pathSamples: count.default(64).describe("Samples whose paths are measured."),
  features: z.string().default("auto").describe('What samples are compared by: "auto", "none" or an .onnx file.'),
  out: z.string().default("evaluation").describe("Where report, charts and grid go.").meta({ value: "dir" }),
  force,
});
export type EvaluateCommandOptions = z.output<typeof evaluateOptions>;

/** Evaluates, writes report.json, charts and a grid, and returns the numbers. */
export async function evaluateModels(o: EvaluateCommandOptions, context: Context): Promise<Report> {
  const found = await Promise.all(o.models.map((path) => loadModel(path)));
  const [first] = found;
  const { sampleShape } = first.model;
  const master = o.teacher === undefined ? undefined : await loadModel(o.teacher);
  for (const { name, model } of [...found, ...(master ? [master] : [])])
    if (model.sampleShape.join() !== sampleShape.join())
      throw new Error(
        `${name} makes samples of ${model.sampleShape.join(" x ")}, ${first.name} of ${sampleShape.join(" x ")}; expected the same.`,
      );
  await claimReport(o.out, o.force);
  const [c, h = 1, w = 1] = sampleShape;
  const data = await openData(o.data, { shape: [c, h, w] });
  const facts = { dataClasses: data.classes > 0 ? data.classes : undefined, nullClass: o.nullClass };
  const loaded = found.map((one) => withClasses(one, facts));
  const teacher = master && withClasses(master, facts);
  const measured = await measuring(o.features, data, { ...context, n: o.n });
  const notes: string[] = measured
    ? [...(data.notes ?? []), ...measured.notes]
    : [
        ...(data.notes ?? []),
        "There are no features for this data, so nothing compares samples to it; give --features.",
      ];
  try {
    const teacherGuidance = o.teacherGuidance ?? first.card?.guidance.baked ?? o.guidance;
    const ends = teacher && (await truth(teacher, teacherGuidance, o, context));
    const jobs = [
      ...(teacher ? [{ loaded: teacher, role: "teacher", guidance: teacherGuidance } as const] : []),
      ...loaded
        .filter(({ path }) => path !== teacher?.path)
        .map((one) => ({ loaded: one, role: "student", guidance: o.guidance }) as const),
    ];
    const results: ModelResult[] = [];
    for (const { loaded: one, role, guidance } of jobs) {
      const evaluations: Evaluation[] = [];
      const possible = o.steps.filter((steps) => steps >= windowsOf(one));
      const dropped = o.steps.filter((steps) => steps < windowsOf(one));
      if (dropped.length > 0)
        notes.push(
          `${one.name} has ${windowsOf(one)} windows, so it was not measured with ${dropped.join(", ")} steps.`,
        );
      if (possible.length === 0)
        throw new UsageError(
          `--steps ${o.steps.join(",")}: ${one.name} has ${windowsOf(one)} windows, expected at least as many steps.`,
        );
      const ready = await samplerOf(one, guidance, o, context);
      const line = context.report.progress(one.name);
      try {
        const events = evaluate(ready, {
          n: o.n,
          seed: context.seed,
          solver: solverOf(one, o),
          grids: possible.map((steps) => gridOf(one, steps)),
          features: measured?.features,
          metrics: measured?.metrics.map((metric) => announced(metric, o.n, context)),
          ends,
          onStep({ done, total }) {
            checkInterrupt(context, "Nothing was written.");
            line.update({ done, total, unit: "steps" });
          },
        });
        for await (const event of events) {
          evaluations.push(event);
          for (const note of event.notes) if (!notes.includes(note)) notes.push(note);
          const { shown, ...numbers } = event;
          context.report.event({ ...numbers, model: one.name });
        }
      } finally {
        line.end();
        await ready.dispose();
      }
      const paths = o.pathSteps === 0 ? [] : await pathsOf(one, guidance, possible, notes, o, context);
      results.push({ name: one.name, path: one.path, role, guidance, evaluations, paths });
    }
    const report = { results, protocol: measured?.protocol, notes };
    await writeReport(report, sampleShape, o, context);
    return report;
  } finally {
    await measured?.dispose();
  }
}

/** Says what is computed where that takes longer than a second: work of precision and recall grows with n². */
const announced = <S>(metric: Metric<Rows, S>, n: number, { report }: Context): Metric<Rows, S> => ({
  ...metric,
  value(state) {
    if (n >= 2000) report.note(`Computing ${metric.name} of ${n.toLocaleString("en-US")} samples.`);
    return metric.value(state);
  },
});

const windowsOf = ({ model, sampler: { grid } }: LoadedModel): number =>
  model.form.windows?.count ??
  (grid.kind === "windows"
    ? grid.windows.kind === "uniform"
      ? grid.windows.count
      : grid.windows.edges.length - 1
    : 1);

const solverOf = (one: LoadedModel, o: EvaluateCommandOptions) =>
  usage(() => solverByName(o.solver ?? one.sampler.solver));
const gridOf = ({ model, sampler }: LoadedModel, steps: number) =>
  usage(() => samplingGrid(model.form, sampler.grid, steps, model.prediction));
const samplerOf = (one: LoadedModel, guidance: number, o: EvaluateCommandOptions, { runtime }: Context) => {
  if (guidance !== 1 && !canBeGuided(one.model.conditions) && !one.model.conditions.guidance)
    throw new UsageError(`--guidance ${guidance} needs a model with classes; ${one.name} has none.`);
  return sampler(one.model, fromConstants(one.params), runtime, Math.min(o.n, o.batch), { guidance });
};

/** Along a fine grid and, for two and more steps, along the sampler's. What cannot be read becomes a note. */
async function pathsOf(
  one: LoadedModel,
  guidance: number,
  steps: readonly number[],
  notes: string[],
  o: EvaluateCommandOptions,
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

async function truth(
  teacher: LoadedModel,
  guidance: number,
  o: EvaluateCommandOptions,
  context: Context,
): Promise<Float32Array> {
  const ready = await samplerOf(teacher, guidance, o, context);
  const line = context.report.progress(`${teacher.name}, ${o.teacherSteps} steps`);
  try {
    return await endsOf(ready, {
      n: o.n,
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
