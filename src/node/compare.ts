// Several methods under one budget, measured alike.
import * as z from "zod";
import type { Dataset } from "../data/dataset.ts";
import { type Checked, checkPlan } from "./compare/check.ts";
import { costsOf, costTable } from "./compare/cost.ts";
import { readPlan } from "./compare/plan.ts";
import { problemsOf } from "./compare/planSchema.ts";
import { type Comparison, writeComparison } from "./compare/report.ts";
import type { Row } from "./compare/results.ts";
import { type Bench, benchOf } from "./compare/runs.ts";
import { compareAll } from "./compare/work.ts";
import type { Context } from "./context.ts";
import { sentence } from "./failure.ts";
import { openData, readJson } from "./files.ts";
import { loadModel } from "./models.ts";
import { partOf, partText } from "./parts.ts";
import { claimReport } from "./reportFolder.ts";
import { force } from "./sample.ts";

export const compareOptions = z.object({
  plan: z.string().describe("A JSON file: methods, data, teacher, budget, seeds, steps."),
  out: z.string().default("comparison").describe("Where report, charts and grid go.").meta({ value: "dir" }),
  runs: z
    .string()
    .default("runs/compare")
    .describe("Where runs are kept: a finished one is not run again, whatever plan asks for it.")
    .meta({ value: "dir" }),
  part: z
    .string()
    .optional()
    .describe(`${partText} Its runs are trained and measured; the same command without parts then writes the report.`)
    .meta({ value: "i/n" }),
  dryRun: z.boolean().default(false).describe("Says what it would cost, and trains nothing."),
  force,
});
export type CompareCommandOptions = z.output<typeof compareOptions>;

export interface Compared extends Comparison {
  readonly rows: readonly Row[];
}

/** Runs a plan and writes its report; undefined after --dry-run and after a part. */
export async function compare(o: CompareCommandOptions, context: Context): Promise<Compared | undefined> {
  const json = await readJson(o.plan);
  const named = { ...o, file: o.plan };
  const part = partOf(o.part);
  if (!o.dryRun && !part) return comparePlan(json, named, context);
  const { bench, checked, reference } = await openPlan(json, named, context);
  if (part && !o.dryRun) {
    await compareAll(bench, checked, reference, part);
    const said = `Part ${part.index}/${part.count} of ${o.plan} is done: its runs are in ${o.runs}`;
    context.report.event({ kind: "done", path: o.runs, part });
    context.report.result(`${said}. When all parts are, the same command without --part writes the report.`);
    return undefined;
  }
  const costs = await costsOf(bench, checked);
  context.report.event({ kind: "cost", costs });
  context.report.result(costTable(costs));
  return undefined;
}

export interface ComparePlanOptions extends Pick<CompareCommandOptions, "out" | "runs" | "force"> {
  /** What messages call the plan. */
  readonly file: string;
}

/** As `compare`, of a plan that is in memory. */
export async function comparePlan(json: unknown, o: ComparePlanOptions, context: Context): Promise<Compared> {
  const { bench, checked, reference } = await openPlan(json, o, context);
  await claimReport(o.out, o.force);
  const comparison = await compareAll(bench, checked, reference);
  const rows = await writeComparison(comparison, o, context);
  return { ...comparison, rows };
}

/** Reads the data and checks the whole plan. Throws UsageError with all that is wrong. */
async function openPlan(
  json: unknown,
  { file, runs }: Pick<ComparePlanOptions, "file" | "runs">,
  context: Context,
): Promise<{ readonly bench: Bench; readonly checked: readonly Checked[]; readonly reference: Dataset }> {
  const read = readPlan(json, file);
  const { plan, problems } = read;
  if (!read.data) throw problemsOf(file, problems);
  const opened = await Promise.all(
    (["train", plan.reference] as const).map((split) => openData(plan.data, { split })),
  ).catch(async (error: unknown) => {
    const { teacher } = plan;
    const lost = typeof teacher === "string" && read.teacher ? await loadModel(teacher).catch(sentence) : undefined;
    const more = typeof lost === "string" ? [`teacher: ${lost}`] : [];
    throw problemsOf(file, [...problems, `data: ${sentence(error)}`, ...more]);
  });
  const [data, reference] = opened;
  const bench = await benchOf({ plan, file, folder: runs, data, context });
  return { bench, checked: await checkPlan(bench, read), reference };
}
