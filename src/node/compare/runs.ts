// The runs of a comparison on disk. A run's folder is named by a hash of all that its result depends on, so a finished one
// is not run again, and plans that ask for the same run share it.
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Dataset } from "../../data/dataset.ts";
import { sha256 } from "../../hash.ts";
import { contentHash } from "../../run/contentHash.ts";
import { outline } from "../../run/outline.ts";
import { version } from "../../version.ts";
import { prepare } from "../accelerate.ts";
import { makeFolder } from "../atomic.ts";
import { type Context, checkInterrupt } from "../context.ts";
import { writeJson } from "../files.ts";
import { waitForLock } from "../lock.ts";
import { type LoadedModel, loadModel, saveModel } from "../models.ts";
import { toConfig } from "../options.ts";
import { storedPairs } from "../pairsFolder.ts";
import { trainTeacher } from "../train.ts";
import { launch } from "../training.ts";
import { type Asked, optionsOf, trainingOf } from "./asked.ts";
import type { Entry, Plan } from "./planSchema.ts";
import { finishedSchema, readStored, secondsSchema } from "./stored.ts";

/** What a comparison works with. */
export interface Bench {
  readonly plan: Plan;
  /** The plan's file, for messages. */
  readonly file: string;
  /** Where runs are kept. */
  readonly folder: string;
  readonly data: Dataset;
  readonly dataHash: string;
  readonly context: Context;
}

export const benchOf = async (of: Omit<Bench, "dataHash">): Promise<Bench> => ({
  ...of,
  dataHash: await contentHash(of.data),
});

export interface FinishedRun {
  readonly path: string;
  readonly model: LoadedModel;
  readonly images: number;
  readonly teacherEvaluations: number;
  /** Of training, pairs made beforehand included. */
  readonly seconds: number;
  /** Whether it was stopped and went on: then seconds are those that were counted, none before a kill. */
  readonly resumed?: boolean;
  /** Models on the way, by images seen. */
  readonly snapshots: readonly { readonly images: number; readonly path: string }[];
}

/** Options that change nothing of what a run computes, or that are known by content. */
const places = [
  ...["teacher", "student", "data", "out", "run", "resume", "saveEvery", "saveMinutes", "previewEvery", "dryRun"],
  ...["ignoreMemory", "pairsDir", "log"],
];

/** The same text for the same value, whatever the order of its keys. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return `{${entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`)
    .join()}}`;
}

export const keyOf = async (what: object): Promise<string> =>
  (await sha256(new TextEncoder().encode(canonical({ version, ...what })))).slice(0, 20);

const without = (options: object, names: readonly string[]) =>
  Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name)));

/** The teacher's run of a seed, where the plan trains it. */
async function teacherKey({ plan, dataHash, context }: Bench, seed: number): Promise<string> {
  const { device } = context.runtime;
  return keyOf({ kind: "teacher", options: without(trainingOf(plan), places), data: dataHash, seed, device });
}

/** Where the teacher of a seed is, or will be. */
export async function teacherPath(bench: Bench, seed: number): Promise<string> {
  const { teacher } = bench.plan;
  return typeof teacher === "string" ? teacher : join(bench.folder, await teacherKey(bench, seed), "run");
}

/** Trains the teacher of a seed, unless the plan names one or it is there. */
export async function readyTeacher(bench: Bench, seed: number): Promise<string> {
  const path = await teacherPath(bench, seed);
  const { plan, context } = bench;
  if (typeof plan.teacher === "string") return path;
  const folder = join(path, "..");
  const finished = () => exists(join(folder, "finished.json"));
  if (await finished()) return path;
  await makeFolder(folder);
  // Parts of a comparison that other processes do need the same teacher.
  let told = false;
  const lock = await waitForLock(folder, Number.POSITIVE_INFINITY, () => {
    checkInterrupt(context, "Finished runs are kept, and not run again.");
    if (!told) context.report.note(`Another process trains the teacher of seed ${seed} in ${folder}: waiting for it.`);
    told = true;
  });
  try {
    if (!(await finished())) await trainOne(bench, seed, path);
  } finally {
    await lock.release();
  }
  return path;
}

async function trainOne({ plan, context }: Bench, seed: number, path: string): Promise<void> {
  const folder = join(path, "..");
  await writeJson(join(folder, "about.json"), { kind: "teacher", seed, options: toConfig(trainingOf(plan)) });
  const options = { ...trainingOf(plan), run: path, previewEvery: 0, ...(await continuing(path)) };
  await trainTeacher(options, { ...context, seed });
  await writeJson(join(folder, "finished.json"), {});
}

/** A run that was begun goes on. */
const continuing = async (run: string) => ((await exists(join(run, "options.json"))) ? { resume: run } : {});

export interface PlannedRun {
  readonly key: string;
  readonly folder: string;
  readonly entry: Entry;
  readonly seed: number;
  readonly asked: Asked;
  readonly teacher: string;
  readonly finished: boolean;
}

/** The run that an entry asks for. `teacher` has to be there, unless its hash is not needed: then a stand-in names it. */
export async function plannedRun(bench: Bench, entry: Entry, seed: number): Promise<PlannedRun> {
  const { plan, dataHash, context, folder: root } = bench;
  const teacher = entry.teacher ?? (await teacherPath(bench, seed));
  const asked = optionsOf(plan, entry, teacher);
  const trained = entry.teacher === undefined && typeof plan.teacher !== "string";
  const student = asked.resolved.options.student;
  const key = await keyOf({
    kind: "run",
    options: without(asked.resolved.options, places),
    // Of a teacher that is still to be trained, what it will be.
    teacher: trained ? await teacherKey(bench, seed) : (await loadModel(teacher)).hash,
    student: student === undefined || student.startsWith("fresh") ? student : (await loadModel(student)).hash,
    pairs: asked.resolved.options.pairsDir,
    data: dataHash,
    seed,
    device: context.runtime.device,
  });
  const folder = join(root, key);
  return { key, folder, entry, seed, asked, teacher, finished: await exists(join(folder, "finished.json")) };
}

/** Runs to the end what is not finished. Throws Interrupted with what is kept. */
export async function finish(run: PlannedRun, bench: Bench): Promise<FinishedRun> {
  const { folder, seed, asked, entry } = run;
  const { plan, context } = bench;
  const path = join(folder, "run");
  if (!run.finished) {
    checkInterrupt(context, "Finished runs are kept, and not run again.");
    await makeFolder(folder);
    const about = { method: entry.method, seed, teacher: run.teacher, options: toConfig(asked.resolved.options) };
    await writeJson(join(folder, "about.json"), about);
    await train(run, path, bench);
  }
  const done = await readStored(join(folder, "finished.json"), finishedSchema);
  const names = plan.curve > 0 ? await readdir(join(folder, "snapshots")).catch(() => []) : [];
  const snapshots = names
    .map((name) => ({ images: Number(name), path: join(folder, "snapshots", name) }))
    .filter(({ images }) => images > 0 && images < done.images)
    .sort((a, b) => a.images - b.images);
  return { ...done, path, model: { ...(await loadModel(path)), name: entry.name }, snapshots };
}

async function train({ folder, seed, asked }: PlannedRun, path: string, bench: Bench): Promise<void> {
  const { plan, folder: root } = bench;
  const context = { ...bench.context, seed };
  const minutes = plan.budget.minutes !== undefined;
  const { resolved } = asked;
  const going = await continuing(path);
  const every = plan.curve > 0 && asked.images ? Math.ceil(asked.images / plan.curve) : undefined;
  const { launch: job, loaded } = await prepare(
    {
      ...resolved,
      options: {
        ...resolved.options,
        run: path,
        ...going,
        ...(every === undefined ? {} : { saveEvery: every, previewEvery: every }),
        ...(plan.curve === 0 ? { previewEvery: 0 } : {}),
      },
    },
    context,
  );
  // Seconds that earlier attempts took, as far as they were told.
  const spent = join(folder, "spent.json");
  const before = (await exists(spent)) ? (await readStored(spent, secondsSchema)).seconds : 0;
  const [first] = outline(job.stages);
  const source = first.source.pairs;
  // Where minutes count, each run makes its own; elsewhere pairs are made once and charged to each.
  let pairSeconds = 0;
  let pairsDir = resolved.options.pairsDir;
  if (source && !minutes && pairsDir === undefined) {
    const { guidance, solver, steps, pairs } = source;
    const key = await keyOf({ kind: "pairs", teacher: loaded.hash, guidance, solver, steps, pairs, seed });
    pairsDir = join(root, `pairs-${key}`);
    pairSeconds = await timedPairs(source, pairsDir, context);
  }
  const begun = performance.now();
  const seconds = () => before + (performance.now() - begun) / 1000;
  const card = (images: number, stage: Parameters<typeof job.card>[0]) =>
    job.card(stage, { images, stages: [{ name: stage.name, images, pairNfe: asked.pairs * asked.perPair }] }, {});
  try {
    await launch(
      {
        ...job,
        pairsDir,
        preview: () => async (stage, theta, images) => {
          const place = join(folder, "snapshots", String(images));
          await saveModel(place, card(images, stage), stage.players[0].spec, theta, stage.network);
          return place;
        },
      },
      context,
    );
  } catch (error) {
    await writeJson(spent, { seconds: seconds() });
    throw error;
  }
  const made = await loadModel(path);
  await writeJson(join(folder, "finished.json"), {
    images: made.card?.imagesSeen ?? 0,
    teacherEvaluations: made.card?.teacherNfe ?? 0,
    seconds: Math.round(100 * (seconds() + pairSeconds)) / 100,
    ...(Object.keys(going).length > 0 ? { resumed: true } : {}),
  });
  await rm(spent, { force: true });
}

/** Makes the pairs that are not there, and returns the seconds that all of them took. */
async function timedPairs(
  source: Parameters<typeof storedPairs>[0],
  folder: string,
  context: Context,
): Promise<number> {
  const file = join(folder, "seconds.json");
  if (await exists(file)) return (await readStored(file, secondsSchema)).seconds;
  const begun = performance.now();
  await storedPairs(source, folder, context);
  const seconds = (performance.now() - begun) / 1000;
  await writeJson(file, { seconds });
  return seconds;
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
