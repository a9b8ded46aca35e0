// Several methods under one budget, measured alike.
import { z } from "zod";
import { checkPlan } from "./compare/check.ts";
import { costsOf, costTable } from "./compare/cost.ts";
import { readPlan } from "./compare/plan.ts";
import { problemsOf } from "./compare/planSchema.ts";
import { type Comparison, writeComparison } from "./compare/report.ts";
import type { Row } from "./compare/results.ts";
import { benchOf } from "./compare/runs.ts";
import { compareAll } from "./compare/work.ts";
import type { Context } from "./context.ts";
import { sentence } from "./failure.ts";
import { openData, readJson } from "./files.ts";
import { loadModel } from "./models.ts";
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
  dryRun: z.boolean().default(false).describe("Says what it would cost, and trains nothing."),
  force,
});
export type CompareCommandOptions = z.output<typeof compareOptions>;

export interface Compared extends Comparison {
  readonly rows: readonly Row[];
}

/** Runs a plan and writes its report; undefined after --dry-run. */
export async function compare(o: CompareCommandOptions, context: Context): Promise<Compared | undefined> {
  return comparePlan(await readJson(o.plan), { ...o, file: o.plan }, context);
}

/** As `compare`, of a plan that is in memory; `file` is what messages call it. */
export async function comparePlan(
  json: unknown,
  o: Omit<CompareCommandOptions, "plan"> & { readonly file: string },
  context: Context,
): Promise<Compared | undefined> {
  const read = readPlan(json, o.file);
  const { plan, problems } = read;
  if (!read.data) throw problemsOf(o.file, problems);
  const opened = await Promise.all(
    (["train", plan.reference] as const).map((split) => openData(plan.data, { split })),
  ).catch(async (error: unknown) => {
    const { teacher } = plan;
    const lost = typeof teacher === "string" && read.teacher ? await loadModel(teacher).catch(sentence) : undefined;
    const more = typeof lost === "string" ? [`teacher: ${lost}`] : [];
    throw problemsOf(o.file, [...problems, `data: ${sentence(error)}`, ...more]);
  });
  const [data, reference] = opened;
  const bench = await benchOf({ plan, file: o.file, folder: o.runs, data, context });
  const checked = await checkPlan(bench, read);
  if (o.dryRun) {
    const costs = await costsOf(bench, checked);
    context.report.event({ kind: "cost", costs });
    context.report.result(costTable(costs));
    return undefined;
  }
  await claimReport(o.out, o.force);
  const comparison = await compareAll(bench, checked, reference);
  const rows = await writeComparison(comparison, o, context);
  return { ...comparison, rows };
}
