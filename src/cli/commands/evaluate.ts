// fewstep evaluate: what models lose with few steps, as a table, a report, charts and a grid on the same noise.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { gridPng } from "../../data/png.ts";
import { metricVsNfe, type NfeSeries } from "../../figures/metricVsNfe.ts";
import type { Measured } from "../../metrics/index.ts";
import { fromConstants } from "../../nn/params.ts";
import { type Evaluation, endsOf, evaluate } from "../../run/evaluate.ts";
import { sampler, samplingGrid } from "../../run/sample.ts";
import { solverByName } from "../../solvers/index.ts";
import { writeAtomic } from "../atomic.ts";
import { command } from "../command.ts";
import { type Context, checkInterrupt } from "../context.ts";
import { UsageError, usage } from "../failure.ts";
import { measuring } from "../features.ts";
import { figureContext, saveFigure } from "../figures.ts";
import { openData, writeJson } from "../files.ts";
import { type LoadedModel, loadModel } from "../models.ts";
import { textTable } from "../textTable.ts";
import { samplingOptions } from "./sample.ts";

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
  features: z.string().default("auto").describe('What samples are compared by: "auto", "none" or an .onnx file.'),
  out: z.string().default("evaluation").describe("Where report, charts and grid go.").meta({ value: "dir" }),
});
export type EvaluateCommandOptions = z.output<typeof evaluateOptions>;

export interface ModelResult {
  readonly name: string;
  readonly path: string;
  readonly role: "teacher" | "student";
  readonly guidance: number;
  readonly evaluations: readonly Evaluation[];
}

export interface Report {
  readonly results: readonly ModelResult[];
  readonly protocol?: object;
  readonly notes: readonly string[];
}

/** Evaluates, writes report.json, charts and a grid, and returns the numbers. */
export async function evaluateModels(o: EvaluateCommandOptions, context: Context): Promise<Report> {
  const loaded = await Promise.all(o.models.map(loadModel));
  const [first] = loaded;
  const { sampleShape } = first.model;
  for (const { name, model } of loaded)
    if (model.sampleShape.join() !== sampleShape.join())
      throw new Error(
        `${name} makes samples of ${model.sampleShape.join(" x ")}, ${first.name} of ${sampleShape.join(" x ")}; expected the same.`,
      );
  const teacher = o.teacher === undefined ? undefined : await loadModel(o.teacher);
  const [c, h = 1, w = 1] = sampleShape;
  const data = await openData(o.data, { shape: [c, h, w] });
  const measured = await measuring(o.features, data, { ...context, n: o.n });
  const notes: string[] = measured
    ? []
    : ["There are no features for this data, so nothing compares samples to it; give --features."];
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
          metrics: measured?.metrics,
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
      results.push({ name: one.name, path: one.path, role, guidance, evaluations });
    }
    const report = { results, protocol: measured?.protocol, notes };
    await writeReport(report, sampleShape, o, context);
    return report;
  } finally {
    await measured?.dispose();
  }
}

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
  if (guidance !== 1 && one.model.labelCount === null)
    throw new UsageError(`--guidance ${guidance} needs a model with classes; ${one.name} has none.`);
  return sampler(one.model, fromConstants(one.params), runtime, Math.min(o.n, o.batch), { guidance });
};

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

async function writeReport(
  report: Report,
  shape: readonly number[],
  o: EvaluateCommandOptions,
  context: Context,
): Promise<void> {
  await mkdir(o.out, { recursive: true });
  const plain = report.results.map(({ evaluations, ...model }) => ({
    ...model,
    evaluations: evaluations.map(({ shown, kind, ...numbers }) => numbers),
  }));
  await writeJson(join(o.out, "report.json"), { options: o, seed: context.seed, ...report, results: plain });
  const names = metricNames(report);
  for (const name of names) {
    const series = report.results.map(
      (model): NfeSeries => ({
        name: model.name,
        role: model.role,
        points: model.evaluations.flatMap(({ nfe, values }) =>
          values[name] ? [{ nfe, value: values[name].value }] : [],
        ),
      }),
    );
    const drawn = series.filter(({ points }) => points.length > 0);
    const better = name === "precision" || name === "recall" ? "higher" : "lower";
    const subtitle = `${o.n.toLocaleString("en-US")} samples, seed ${context.seed}`;
    await saveFigure(
      join(o.out, name),
      metricVsNfe({ metric: title(name), better, subtitle, series: drawn }, figureContext()),
    );
  }
  const [channels, height = 1, width = 1] = shape;
  if (height > 1) {
    const columns = Math.min(16, o.n);
    const size = channels * height * width;
    const all = report.results.flatMap(({ evaluations }) =>
      evaluations.map(({ shown }) => shown.subarray(0, columns * size)),
    );
    const grid = new Float32Array(all.length * columns * size);
    all.forEach((row, i) => {
      grid.set(row, i * columns * size);
    });
    await writeAtomic(join(o.out, "samples.png"), gridPng(grid, [channels, height, width], { columns }));
  }
  context.report.event({ kind: "done", path: o.out });
  context.report.result(reportTable(report, names));
  for (const note of report.notes) context.report.result(note);
  context.report.note(
    `Report, charts${height > 1 ? " and samples (one row per line of the table)" : ""} are in ${o.out}.`,
  );
}

const metricNames = ({ results }: Report): string[] => [
  ...new Set(results.flatMap(({ evaluations }) => evaluations.flatMap(({ values }) => Object.keys(values)))),
];
const titles: Readonly<Record<string, string>> = {
  endpoint: "Distance to the teacher's end",
  frechet: "Fréchet distance",
  kid: "Kernel distance",
  "gaussian-mmd": "Kernel distance",
  "sliced-wasserstein": "Sliced Wasserstein distance",
  precision: "Precision",
  recall: "Recall",
};
const title = (name: string): string => titles[name] ?? name;

function reportTable({ results }: Report, names: readonly string[]): string {
  const lines = results.flatMap(({ name, evaluations }) =>
    evaluations.map(({ steps, nfe, values, seconds }) => [
      name,
      String(steps),
      String(nfe),
      ...names.map((metric) => cell(values[metric])),
      `${(1000 * seconds).toPrecision(3)} ms`,
    ]),
  );
  return textTable(["model", "steps", "NFE", ...names, "per sample"], lines);
}

function cell(measured: Measured | undefined): string {
  if (!measured) return "–";
  const { value, standardError, floor } = measured;
  const error = standardError === undefined ? "" : ` ± ${standardError.toPrecision(1)}`;
  return `${value.toPrecision(3)}${error}${floor === undefined ? "" : ` (floor ${floor.toPrecision(2)})`}`;
}

export const evaluateCommand = command({
  name: "evaluate",
  summary: "Measure models at several numbers of steps.",
  positional: ["models"],
  options: evaluateOptions,
  run: evaluateModels,
});
