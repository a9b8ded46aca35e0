// A comparison from a checked plan to numbers: teachers, runs, measurements, seed by seed.
import { join } from "node:path";
import type { Dataset } from "../../data/dataset.ts";
import { contentHash } from "../../run/contentHash.ts";
import { type Context, checkInterrupt } from "../context.ts";
import { windowsOf } from "../evaluation.ts";
import { type Measuring, measuring } from "../features.ts";
import { type LoadedModel, loadModel } from "../models.ts";
import type { Part } from "../parts.ts";
import type { Checked } from "./check.ts";
import { identityOf, keptEnds, type Numbers, numbersOf, type Scale, shownCount, shownSamples } from "./measure.ts";
import { metricNames } from "./planSchema.ts";
import type { Comparison, ShownRow } from "./report.ts";
import type { EntryResult, SeedResult } from "./results.ts";
import { type Bench, finish, plannedRun, readyTeacher } from "./runs.ts";

const KEPT = "Finished runs are kept, and not run again.";

/**
 * Does what is missing, and gathers all numbers. With `part`: does the runs of that part, one of every so many, measures
 * them and gathers nothing.
 */
export async function compareAll(
  bench: Bench,
  checked: readonly Checked[],
  reference: Dataset,
  part?: Part,
): Promise<Comparison> {
  const ours = (seed: number, entry: number) =>
    part === undefined || (seed * checked.length + entry) % part.count === part.index;
  const { plan, context, folder } = bench;
  const referenceHash = await contentHash(reference);
  const students = new Map(checked.map(({ entry }) => [entry.name, [] as SeedResult[]]));
  const teachers: SeedResult[] = [];
  const shown: ShownRow[] = [];
  const notes: string[] = checked.flatMap((one) => one.notes);
  const note = (numbers: Numbers) => {
    for (const text of numbers.notes) if (!notes.includes(text)) notes.push(text);
  };
  let protocol: object | undefined;
  let metrics: string[] = [];
  let sampleShape: readonly number[] = bench.data.shape;
  for (const [index, seed] of plan.seeds.entries()) {
    if (!checked.some((_, i) => ours(index, i))) continue;
    const own: Context = { ...context, seed };
    const path = await readyTeacher(bench, seed);
    const teacher = await loadModel(path);
    sampleShape = teacher.model.sampleShape;
    const measured = await chosen(bench, reference, own);
    try {
      protocol = measured?.protocol;
      const guidance = teacherGuidance(bench);
      const cacheOf = (model: LoadedModel, place: string) =>
        model.kind === "exact" || typeof plan.teacher === "string"
          ? join(folder, `measured-${model.hash.slice(0, 20)}`)
          : place;
      const scaleOf = async (by: LoadedModel): Promise<Scale> => ({
        measured,
        identity: identityOf(measured, referenceHash, `${by.hash} ${guidance} ${plan.teacherSteps}`),
        ends: await keptEnds(by, cacheOf(by, join(path, "..", "measured")), guidance, plan, own),
      });
      const scale = await scaleOf(teacher);
      const teacherCache = cacheOf(teacher, join(path, "..", "measured"));
      const steps = [...new Set([...plan.steps, plan.teacherSteps])]
        .sort((a, b) => a - b)
        .filter((n) => n >= windowsOf(teacher));
      const wanted = { steps, guidance, role: "teacher", paths: true } as const;
      const numbers = await numbersOf(teacher, teacherCache, wanted, scale, plan, own);
      note(numbers);
      teachers.push({ seed, numbers, images: 0, teacherEvaluations: 0, seconds: 0, curve: [], path });
      if (index === 0)
        shown.push(...(await pictures(teacher, teacherCache, "teacher", picked(steps, 4), guidance, own)));
      for (const [place, { entry, steps }] of checked.entries()) {
        if (!ours(index, place)) continue;
        const run = await finish(await plannedRun(bench, entry, seed), bench);
        const cache = join(run.path, "..", "measured");
        const by = entry.teacher === undefined ? scale : await scaleOf(await loadModel(entry.teacher));
        const how = { steps, guidance: entry.guidance, role: "student" } as const;
        const measure = (model: LoadedModel, paths: boolean) =>
          numbersOf(model, cache, { ...how, paths }, by, plan, own);
        const numbers = await measure(run.model, true);
        note(numbers);
        const curve = [];
        for (const { images, path } of run.snapshots) {
          checkInterrupt(context, KEPT);
          curve.push({ images, numbers: await measure({ ...(await loadModel(path)), name: entry.name }, false) });
        }
        const { images, teacherEvaluations, seconds } = run;
        if (run.resumed)
          notes.push(`${entry.name} of seed ${seed} was stopped and went on: its seconds lack those before a kill.`);
        students.get(entry.name)?.push({ seed, numbers, images, teacherEvaluations, seconds, curve, path: run.path });
        if (index === 0)
          shown.push(...(await pictures(run.model, cache, entry.name, picked(steps, 2), entry.guidance, own)));
      }
      metrics = namesOf(measured, bench);
    } finally {
      await measured?.dispose();
    }
  }
  const results: EntryResult[] = [
    { name: "teacher", role: "teacher", method: "teacher", guidance: teacherGuidance(bench), seeds: teachers },
    ...checked.map(
      ({ entry }): EntryResult => ({
        name: entry.name,
        role: "student",
        method: entry.method,
        guidance: entry.guidance,
        seeds: students.get(entry.name) ?? [],
      }),
    ),
  ];
  const plane = reference.shape.join() === "2,1,1";
  const data = plane
    ? reference.batch(Uint32Array.from({ length: Math.min(1500, reference.size) }, (_, i) => i)).x
    : undefined;
  return { plan, results, metrics, shown, sampleShape, data, protocol, notes: [...new Set(notes)] };
}

/** What is baked into the students is the truth that they are compared to. */
function teacherGuidance({ plan }: Bench): number {
  const given = plan.options.guidance;
  return typeof given === "number" ? given : 1;
}

/** The metrics that a plan wants, of those that fit. */
async function chosen(bench: Bench, reference: Dataset, context: Context): Promise<Measuring | undefined> {
  const { plan } = bench;
  const all = await measuring(plan.features, reference, { ...context, n: plan.n });
  const wanted = plan.metrics;
  return all && wanted ? { ...all, metrics: all.metrics.filter(({ name }) => wanted.some((w) => w === name)) } : all;
}

function namesOf(measured: Measuring | undefined, { plan }: Bench): string[] {
  const have = new Set([...(measured?.metrics.map(({ name }) => name) ?? []), "endpoint"]);
  const order = plan.metrics ?? metricNames;
  return order.filter((name) => have.has(name));
}

/** At most so many of them: the first ones and the last. */
const picked = (steps: readonly number[], most: number): readonly number[] =>
  steps.length <= most ? steps : [...steps.slice(0, most - 1), steps[steps.length - 1]];

async function pictures(
  model: LoadedModel,
  cache: string,
  name: string,
  steps: readonly number[],
  guidance: number,
  context: Context,
): Promise<ShownRow[]> {
  const rows: ShownRow[] = [];
  for (const count of steps) {
    const x = await shownSamples(model, cache, { steps: count, guidance, n: shownCount(model) }, context);
    rows.push({ label: `${name}, ${count} step${count === 1 ? "" : "s"}`, x });
  }
  return rows;
}
