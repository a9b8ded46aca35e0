// A training run on disk, for `train` and `accelerate`: the run folder, and what is told on the way.
import { hostname } from "node:os";
import { agree, alone, fromRoot, gather } from "../comm.ts";
import type { Dataset } from "../data/dataset.ts";
import { lossCurve } from "../figures/lossCurve.ts";
import { adamwDefaults } from "../optim/adamw.ts";
import type { Stage } from "../recipes/recipe.ts";
import type { Card } from "../run/card.ts";
import { contentHash } from "../run/contentHash.ts";
import { BudgetSpent, type Done, imagesIn, type Job, runJob, type Schedule } from "../run/job.ts";
import { outline, type Stages } from "../run/outline.ts";
import { sharedStore } from "../run/sharedStore.ts";
import { sharesOf } from "../run/shares.ts";
import { NotFinite } from "../run/train.ts";
import { sweepTemporary } from "./atomic.ts";
import type { StateIdentity } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { type DiskStoreOptions, diskStore } from "./diskStore.ts";
import { sayDryRun } from "./dryRun.ts";
import { Interrupted, UsageError, usage } from "./failure.ts";
import { figureContext, saveFigure } from "./figures.ts";
import { writeJson } from "./files.ts";
import { formatSpeed } from "./format.ts";
import { acquireLock, type Lock } from "./lock.ts";
import { availableMemory, checkMemory, shared } from "./memory.ts";
import type { Preview } from "./previews.ts";
import { createRun, makeRun, type RunDir, type RunName, readLog, runAt } from "./runDir.ts";
import { recorded, type TrainingOptions } from "./trainingOptions.ts";
import { type Watcher, watchers } from "./watching.ts";

export interface Launch {
  readonly command: "train" | "accelerate";
  readonly method: string;
  readonly stages: Stages;
  readonly data?: Dataset;
  /** Options as resolved so far, lr and ema included; the budget may still be in minutes. */
  readonly options: TrainingOptions & { readonly lr: number; readonly ema: number };
  /** Further options, for options.json and the card. */
  readonly stored: Readonly<Record<string, unknown>>;
  readonly name: RunName;
  /** Hash of the teacher's weights, if there is one. */
  readonly teacher?: string;
  readonly card: (stage: Stage, done: Done, options: Readonly<Record<string, unknown>>) => Card;
  readonly preview: (run: RunDir) => Preview;
  /** What is said when the run has its folder. */
  readonly about: (run: RunDir, images: number) => string;
  /** As in DiskStoreOptions. */
  readonly pairsDir?: string;
  readonly base?: DiskStoreOptions["base"];
  readonly cond?: DiskStoreOptions["cond"];
  /** What to do with the result. */
  readonly next?: (run: RunDir) => string;
}

export interface RunResult {
  readonly run: RunDir;
  /** Of the final EMA weights. */
  readonly model: string;
}

/**
 * Trains to the end, from the run's last checkpoint if it has one; undefined after --dry-run, which says what it would be. Throws Interrupted after Ctrl-C, with the current step
 * saved; an Error with the last good checkpoint where training went wrong.
 */
export async function launch(l: Launch, context: Context): Promise<RunResult | undefined> {
  const { options: o, data } = l;
  const { report, runtime, seed } = context;
  const begun = performance.now();
  const rate = { kind: o.decay, peak: o.lr, warmup: o.warmup, final: 0.1 } as const;
  const all = outline(l.stages);
  const [first] = all;
  const comm = context.comm ?? alone;
  const { rows, share } = usage(() => sharesOf(o.batch, comm, o.microBatch));
  const hosts = await gather(comm, hostname());
  const available = shared(availableMemory(), hosts.filter((host) => host === hostname()).length);
  const asked = { ...o, batch: rows[0].count, pieces: share !== 1, adamw: adamwDefaults };
  checkMemory(first, asked, context, available);
  const identity: StateIdentity = {
    ...(l.teacher === undefined ? {} : { teacher: l.teacher }),
    ...(data ? { data: await contentHash(data) } : {}),
  };
  await agree(comm, identity);
  const schedule = { ...o, rate };
  if (o.dryRun) {
    report.result(JSON.stringify(recorded(l.command, { ...l.stored, ...o }, context), null, 2));
    const job = { stages: l.stages, data, schedule, seed, runtime, comm };
    const { images, perSecond } = await imagesIn(o.minutes ?? 1, job);
    sayDryRun(
      { stages: all, images: o.images ?? images, batch: o.batch, perSecond, question: asked, available },
      context,
    );
    return undefined;
  }
  const images = o.images ?? (await measured(l, schedule, context));
  const saveEvery = o.saveEvery ?? Math.ceil(images / 10);
  const resolved = { ...l.stored, ...o, minutes: undefined, images, saveEvery };
  const {
    resume,
    dryRun,
    ignoreMemory,
    rankTimeout,
    checkRanks,
    run: _,
    log,
    ...stored
  } = { ...resolved, previewEvery: o.previewEvery ?? saveEvery };
  const written = recorded(l.command, { ...stored, log }, context);
  let lock: Lock | undefined;
  const { path } = await fromRoot(comm, async () => {
    const opened = await openRun(o, l.name, written);
    lock = await acquireLock(opened.path);
    return { path: opened.path };
  });
  const run = runAt(path);
  const keeps = comm.rank === 0;
  try {
    if (keeps) await sweepTemporary([run.path, run.samples, run.model, run.state]);
    report.event({ kind: "run", path: run.path });
    report.note(l.about(run, images));
    const card = (stage: Stage, done: Done) => l.card(stage, done, stored);
    const { pairsDir, base, cond } = l;
    const watcher = watchers(run, log);
    const disk = diskStore({ run, identity, card, pairsDir, base, cond, watcher }, context);
    const store = sharedStore(disk, comm);
    const job: Job = {
      stages: l.stages,
      data,
      schedule: { ...schedule, images, saveEvery, previewEvery: stored.previewEvery },
      seed,
      runtime,
      store,
      comm,
      checkRanks,
      ...(keeps ? { preview: withCurve(run, l.preview(run), watcher) } : {}),
      signal: context.signal,
      saveSeconds: 60 * o.saveMinutes,
      ...(o.minutes === undefined ? {} : { deadline: begun + 60_000 * o.minutes }),
    };
    const writeOptions = async () => {
      if (keeps) await writeJson(run.optionsFile, written);
    };
    await drive(job, l, run, writeOptions, context);
  } finally {
    await lock?.release();
  }
  report.event({ kind: "done", path: run.path, model: run.model });
  report.note(`Done: ${run.model}. ${l.next?.(run) ?? `See it with: fewstep sample ${run.path} --out grid.png`}`);
  return { run, model: run.model };
}

async function openRun(o: TrainingOptions, name: RunName, written: object): Promise<RunDir> {
  if (o.resume !== undefined) return runAt(o.resume);
  return o.run === undefined ? createRun(o.out, name, written) : makeRun(o.run, written);
}

async function measured(
  l: Launch,
  schedule: Omit<Schedule, "images" | "saveEvery" | "previewEvery">,
  { report, runtime, seed, comm = alone }: Context,
): Promise<number> {
  const minutes = l.options.minutes ?? 1;
  const job = { stages: l.stages, data: l.data, schedule, seed, runtime, comm };
  const own = await imagesIn(minutes, job);
  const { images, perSecond } = await fromRoot(comm, () => own);
  report.note(
    `${minutes} minutes are about ${images.toLocaleString("en-US")} images at ${formatSpeed(perSecond)} images/s.`,
  );
  return images;
}

/** Tells what happens, and writes down the options once the run is known to go on. */
async function drive(
  job: Job,
  l: Launch,
  run: RunDir,
  writeOptions: () => Promise<void>,
  { report }: Context,
): Promise<void> {
  let line = report.progress(l.method);
  let good = 0;
  try {
    for await (const event of runJob(job)) {
      switch (event.kind) {
        case "stage":
          if (event.index === 0) await writeOptions();
          if (event.count > 1) {
            line.end();
            report.note(`Stage ${event.index + 1} of ${event.count}: ${event.name}.`);
            line = report.progress(event.name);
          }
          report.event(event);
          break;
        case "resumed":
          await writeOptions();
          report.event(event);
          report.note(`Going on at step ${event.step} of ${event.steps} in ${run.path}.`);
          break;
        case "step":
          report.event({ ...event });
          line.update({ done: event.images, total: event.total, loss: event.loss ?? undefined });
          break;
        case "checkpoint":
          good = event.step;
          report.event({ ...event, path: run.state });
          break;
        case "warning":
          report.event(event);
          report.note(event.message);
          break;
        case "interrupted":
          throw new Interrupted(
            `Interrupted. Step ${event.step} is kept in ${run.path}. Go on with: fewstep ${l.command} --resume ${run.path}`,
          );
        case "done":
          if (event.early)
            report.note(
              `The time is over after ${event.images.toLocaleString("en-US")} images: the model is complete.`,
            );
          break;
        case "preview":
          report.event(event);
          break;
      }
    }
  } catch (error) {
    if (error instanceof BudgetSpent)
      throw new UsageError(`${run.path} cannot go on: ${error.message} Give more --images.`, { cause: error });
    if (!(error instanceof NotFinite)) throw error;
    throw new Error(`${error.message} The last good checkpoint is of step ${good}, in ${run.path}.`, { cause: error });
  } finally {
    line.end();
  }
}

/** With every picture the curve of the losses so far. */
const withCurve =
  (run: RunDir, preview: Preview, watcher: Watcher): Preview =>
  async (stage, theta, images) => {
    const events = ((await readLog(run.logFile)) ?? []).filter(isLoss);
    if (events.length > 1) {
      const series = { name: stage.name, images: events.map((e) => e.images), loss: events.map((e) => e.loss) };
      await saveFigure(`${run.path}/loss`, lossCurve({ series: [series] }, figureContext()));
    }
    const path = await preview(stage, theta, images);
    if (path?.endsWith(".png")) await watcher.drawn(path, images);
    return path;
  };

const isLoss = (event: unknown): event is { images: number; loss: number } =>
  typeof event === "object" && event !== null && "images" in event && "loss" in event && typeof event.loss === "number";
