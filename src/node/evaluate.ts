// What models lose with few steps, as a table, a report, charts and a grid on the same noise.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { writeAtomic } from "./atomic.ts";
import type { Context } from "./context.ts";
import { endsOfTeacher, measureModel } from "./evaluation.ts";
import { joinParts, makePart, type OpenedEvaluation } from "./evaluationParts.ts";
import { type ModelResult, type Report, writeReport } from "./evaluationReport.ts";
import { UsageError } from "./failure.ts";
import { type Measuring, measuring } from "./features.ts";
import { openData } from "./files.ts";
import { withMetrics } from "../run/modelCard.ts";
import { loadModel, withClasses } from "./models.ts";
import { partOf, partText } from "./parts.ts";
import { claimReport } from "./reportFolder.ts";
import { lastPart } from "./runDir.ts";
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
  part: z
    .string()
    .optional()
    .describe(`${partText} It leaves sums beside --out, from which --join makes the report.`)
    .meta({ value: "i/n" }),
  card: z.boolean().default(false).describe("Puts the numbers into the README.md of the models' folders, for hubs."),
  join: z.boolean().default(false).describe("Makes the report of all parts, without sampling again."),
  features: z
    .string()
    .default("auto")
    .describe('What samples are compared by: "auto", "none" or an .onnx file, with its conventions after a "?".'),
  out: z.string().default("evaluation").describe("Where report, charts and grid go.").meta({ value: "dir" }),
  force,
});
export type EvaluateCommandOptions = z.output<typeof evaluateOptions>;

/** Evaluates, or makes the part that the options or the cluster say. */
export async function evaluateInParts(o: EvaluateCommandOptions, context: Context): Promise<void> {
  if (o.join && o.part !== undefined)
    throw new UsageError("--part and --join are two steps: the parts first, then --join once.");
  const part = o.join ? undefined : partOf(o.part);
  if (part) await makePart(await openAll(o), o, part, context);
  else await evaluateModels(o, context);
}

/** Evaluates, writes report.json, charts and a grid, and returns the numbers; with `join` those of all parts. */
export async function evaluateModels(o: EvaluateCommandOptions, context: Context): Promise<Report> {
  const opened = await openAll(o);
  await claimReport(o.out, o.force);
  const { data, sampleShape } = opened;
  const measured = await measuring(o.features, data, { ...context, n: o.n });
  const notes: string[] = measured
    ? [...(data.notes ?? []), ...measured.notes]
    : [
        ...(data.notes ?? []),
        "There are no features for this data, so nothing compares samples to it; give --features.",
      ];
  try {
    const results = o.join
      ? await joinParts(opened, o, measured, notes, context)
      : await measureAll(opened, o, measured, notes, context);
    const report = { results, protocol: measured?.protocol, notes };
    await writeReport(report, sampleShape, o, context);
    if (o.card) await writeCards(report.results, data.name, context);
    return report;
  } finally {
    await measured?.dispose();
  }
}

/** Opens models and data. Throws an Error where they do not fit each other. */
async function openAll(o: EvaluateCommandOptions): Promise<OpenedEvaluation> {
  const found = await Promise.all(o.models.map((path) => loadModel(path)));
  const [first] = found;
  const { sampleShape } = first.model;
  const master = o.teacher === undefined ? undefined : await loadModel(o.teacher);
  for (const { name, model } of [...found, ...(master ? [master] : [])])
    if (model.sampleShape.join() !== sampleShape.join())
      throw new Error(
        `${name} makes samples of ${model.sampleShape.join(" x ")}, ${first.name} of ${sampleShape.join(" x ")}; expected the same.`,
      );
  const [c, h = 1, w = 1] = sampleShape;
  const data = await openData(o.data, { shape: [c, h, w] });
  const facts = { dataClasses: data.classes > 0 ? data.classes : undefined, nullClass: o.nullClass };
  const loaded = found.map((one) => withClasses(one, facts));
  const teacher = master && withClasses(master, facts);
  const teacherGuidance = o.teacherGuidance ?? first.card?.guidance.baked ?? o.guidance;
  const jobs = [
    ...(teacher ? [{ loaded: teacher, role: "teacher", guidance: teacherGuidance } as const] : []),
    ...loaded
      .filter(({ path }) => path !== teacher?.path)
      .map((one) => ({ loaded: one, role: "student", guidance: o.guidance }) as const),
  ];
  return { jobs, teacher, teacherGuidance, data, sampleShape };
}

async function measureAll(
  { jobs, teacher, teacherGuidance }: OpenedEvaluation,
  o: EvaluateCommandOptions,
  measured: Measuring | undefined,
  notes: string[],
  context: Context,
): Promise<readonly ModelResult[]> {
  const ends = teacher && (await endsOfTeacher(teacher, teacherGuidance, o, context));
  const results: ModelResult[] = [];
  for (const { loaded, role, guidance } of jobs)
    results.push(await measureModel(loaded, { role, guidance, measured, ends }, o, notes, context));
  return results;
}

/** Into the folders of fewstep's own models; what else was measured is named. */
async function writeCards(results: readonly ModelResult[], data: string, { seed, report }: Context): Promise<void> {
  for (const { name, path, guidance, evaluations } of results) {
    const file = join(path, "README.md");
    const readme = await readFile(file, "utf8").catch(() => "");
    const written = withMetrics(readme, { model: name, data: lastPart(data), seed, guidance, rows: evaluations });
    if (written === undefined) report.note(`${file} has no place for metrics, so it stays as it is.`);
    else await writeAtomic(file, written);
  }
}
