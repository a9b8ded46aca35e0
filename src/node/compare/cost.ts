// What a comparison would cost: network evaluations, and a guess at the time from a few steps.
import { imagesIn } from "../../run/job.ts";
import { outline } from "../../run/outline.ts";
import { nothingGiven, sampler } from "../../run/sample.ts";
import { textTable } from "../textTable.ts";
import { optionsOf } from "./asked.ts";
import type { Checked } from "./check.ts";
import { type Bench, plannedRun } from "./runs.ts";

export interface Cost {
  readonly name: string;
  /** Runs that are still to be done, and all. */
  readonly missing: number;
  readonly runs: number;
  /** Of one run; null where minutes are the budget. */
  readonly images: number | null;
  readonly teacherEvaluations: number | null;
  readonly seconds: number;
}

/** Of every entry, with a few steps of training timed for those that are not finished. */
export async function costsOf(bench: Bench, checked: readonly Checked[]): Promise<readonly Cost[]> {
  const { plan, data, context } = bench;
  const costs: Cost[] = [];
  for (const one of checked) {
    const runs = await Promise.all(plan.seeds.map((seed) => plannedRun(bench, one.entry, seed)));
    const missing = runs.filter(({ finished }) => !finished).length;
    const { images = null, pairs, perImage, perPair } = one;
    const teacherEvaluations = images === null ? null : images * perImage + pairs * perPair;
    const seconds = plan.budget.minutes !== undefined ? 60 * plan.budget.minutes : missing > 0 ? await timed(one) : 0;
    costs.push({ name: one.entry.name, missing, runs: runs.length, images, teacherEvaluations, seconds });
  }
  return costs;

  async function timed({ entry, stages, images, pairs, perPair }: Checked): Promise<number> {
    const { options } = optionsOf(plan, entry, "teacher").resolved;
    const rate = { kind: options.decay, peak: options.lr, warmup: options.warmup, final: 0.1 } as const;
    const schedule = { ...options, rate };
    const { perSecond } = await imagesIn(1, { stages, data, schedule, seed: context.seed, runtime: context.runtime });
    const [{ source }] = outline(stages);
    const training = (images ?? 0) / perSecond;
    if (!source.pairs) return training;
    const ready = await sampler(source.pairs.teacher.model, source.pairs.teacher.params, context.runtime, 64);
    const x = new Float32Array(64 * ready.model.sampleShape.reduce((a, b) => a * b, 1));
    await ready.predict(x, 0.5, nothingGiven(ready));
    const begun = performance.now();
    await ready.predict(x, 0.5, nothingGiven(ready));
    const each = (performance.now() - begun) / 1000 / 64;
    await ready.dispose();
    return training + pairs * perPair * each;
  }
}

export function costTable(costs: readonly Cost[]): string {
  const number = (n: number | null) => (n === null ? "–" : Math.round(n).toLocaleString("en-US"));
  const lines = costs.map((c) => [
    c.name,
    `${c.runs - c.missing} of ${c.runs}`,
    number(c.images),
    number(c.teacherEvaluations),
    `${duration(c.seconds)}`,
    `${duration(c.seconds * c.missing)}`,
  ]);
  const total = costs.reduce((sum, c) => sum + c.seconds * c.missing, 0);
  const evaluations = costs.reduce((sum, c) => sum + (c.teacherEvaluations ?? 0) * c.missing, 0);
  return [
    textTable(["method", "done", "images", "teacher NFE", "a run", "to do"], lines),
    `In all ${number(evaluations)} evaluations of the teacher and about ${duration(total)} of training are to do; measuring comes on top.`,
  ].join("\n");
}

const duration = (seconds: number): string => {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  return seconds < 6000 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
};
