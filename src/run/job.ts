// A training run from beginning to end: its stages, their pairs, checkpoints, log, cards and pictures, going on where it
// stopped. It knows no file system: a `Store` keeps things, on a disk or in a browser.

import { alone, anyOf, type Comm } from "../comm.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Precision } from "../graph/index.ts";
import type { RateSchedule } from "../optim/schedule.ts";
import { passes } from "../recipes/parts.ts";
import { type PairSource, STUDENT, type Stage } from "../recipes/recipe.ts";
import type { Runtime } from "../runtime/index.ts";
import { checkStages } from "./check.ts";
import { endOfStage, outline, type Stages, stepsOf } from "./outline.ts";
import type { Pairs } from "./pairs.ts";
import { checkRanks } from "./ranks.ts";
import { batchesOf } from "./source.ts";
import { freshState, keptOf, type TrainEvent, type TrainState, train } from "./train.ts";
import { watcher } from "./watch.ts";

export interface Schedule {
  readonly batch: number;
  /** Budget of all stages. */
  readonly images: number;
  readonly rate: RateSchedule;
  readonly ema: number;
  readonly clip: number;
  readonly dropLabels: number;
  readonly precision: Precision;
  readonly gradientCheckpointing: boolean;
  /** Images between checkpoints, and between pictures; 0: no pictures. */
  readonly saveEvery: number;
  readonly previewEvery: number;
  /** Samples that a process computes at a time; default: its share of the batch. */
  readonly microBatch?: number;
}

/** Where a run stands. */
export interface Progress {
  /** Index of the stage. */
  readonly stage: number;
  readonly state: TrainState;
  /** Images seen in each stage that has ended: a later budget does not change what was. */
  readonly seen: readonly number[];
}

/** Keeps what a run makes. What is saved appears complete or not at all. */
export interface Store {
  load(): Promise<Progress | undefined>;
  save(progress: Progress): Promise<void>;
  /** The kept weights of a stage that has ended. */
  loadResult(stage: number, spec: Stage["players"][0]["spec"]): Promise<Float32Array>;
  saveResult(stage: number, spec: Stage["players"][0]["spec"], theta: Float32Array): Promise<void>;
  /** The model as it stands, for sampling. */
  saveModel(stage: Stage, theta: Float32Array, done: Done): Promise<void>;
  /** Pairs of a stage's teacher: read where they are there, else made. */
  pairs(source: PairSource, stage: number): Promise<Pairs>;
  log(event: object): Promise<void>;
  /** Takes out of the log what a run that goes on will write again. */
  rewind(progress: Progress): Promise<void>;
}

/** How far a run has come. */
export interface Done {
  readonly images: number;
  /** Images seen in each stage so far, and the network evaluations that its pairs took. */
  readonly stages: readonly { readonly name: string; readonly images: number; readonly pairNfe: number }[];
}

export interface Job {
  readonly stages: Stages;
  readonly data?: Dataset;
  readonly schedule: Schedule;
  readonly seed: number;
  readonly runtime: Runtime;
  readonly store: Store;
  /**
   * The processes that train together, each with this job: all get the same from their stores, and only those of the first
   * need to keep anything. Default: this one alone.
   */
  readonly comm?: Comm;
  /** Compares the ranks' states after every step. */
  readonly checkRanks?: boolean;
  /** A picture of the student with these weights; a sentence or path that says where it is. */
  readonly preview?: (stage: Stage, theta: Float32Array, images: number) => Promise<string | undefined>;
  /** The run saves its current step and ends. */
  readonly signal?: AbortSignal;
  /** performance.now() at which the run saves and ends as if it had come to its end. */
  readonly deadline?: number;
  /** Seconds after which a checkpoint is due whatever was seen. Default 180. */
  readonly saveSeconds?: number;
}

export type JobEvent =
  | { readonly kind: "stage"; readonly name: string; readonly index: number; readonly count: number }
  | ({ readonly kind: "step"; readonly stage: string; readonly total: number } & Logged)
  | { readonly kind: "checkpoint"; readonly step: number; readonly images: number }
  | { readonly kind: "preview"; readonly step: number; readonly path: string }
  | { readonly kind: "warning"; readonly message: string }
  | { readonly kind: "resumed"; readonly stage: string; readonly step: number; readonly steps: number }
  | { readonly kind: "interrupted"; readonly step: number }
  | { readonly kind: "done"; readonly images: number; readonly early: boolean };

interface Logged {
  readonly step: number;
  /** Seen in all stages so far. */
  readonly images: number;
  /** The student's last; null until it moves for the first time. */
  readonly loss: number | null;
  readonly norm: number | null;
  readonly rate: number;
}

/** A run has gone further already than its budget is now. */
export class BudgetSpent extends Error {
  override readonly name = "BudgetSpent";
}

/** Runs to the end, from where the store says it stopped. */
export async function* runJob(job: Job): AsyncGenerator<JobEvent> {
  const { schedule, store } = job;
  const names = outline(job.stages);
  const steps = stepsOf(names, schedule.images, schedule.batch);
  const found = await store.load();
  // Everything that is known to go wrong is said before anything is changed.
  checkStages(names, { batch: schedule.batch, ...(found ? { from: found } : {}) });
  if (found && found.state.step > steps[found.stage])
    throw new BudgetSpent(
      `${names[found.stage].name} has seen ${found.state.step * schedule.batch} images already, more than the budget's ${steps[found.stage] * schedule.batch}.`,
    );
  if (found) await store.rewind(found);
  const finished: { name: string; images: number; pairNfe: number }[] = [];
  const generator = job.stages();
  let next = generator.next();
  let images = 0;
  for (let index = 0; !next.done; index++) {
    const stage: Stage = next.value;
    const { spec } = stage.players[0];
    let theta: Float32Array;
    if (found && index < found.stage) {
      theta = await store.loadResult(index, spec);
    } else {
      const resumed = found?.stage === index ? found.state : undefined;
      yield { kind: "stage", name: stage.name, index, count: names.length };
      if (resumed) yield { kind: "resumed", stage: stage.name, step: resumed.step, steps: steps[index] };
      const end = yield* runStage(job, stage, index, steps, resumed ?? freshState(stage), images, finished);
      if (end.stopped === "interrupted") return yield { kind: "interrupted", step: end.state.step };
      if (end.stopped === "deadline")
        return yield { kind: "done", images: images + end.state.step * schedule.batch, early: true };
      theta = keptOf(end.state);
    }
    const seen = (found && index < found.stage ? found.seen[index] : undefined) ?? steps[index] * schedule.batch;
    finished.push({ name: stage.name, images: seen, pairNfe: pairNfe(stage) });
    images += seen;
    next = generator.next(endOfStage(stage, theta));
    // The result is there before a state says that it is.
    if (!next.done && !(found && index < found.stage)) await store.saveResult(index, spec, theta);
  }
  yield { kind: "done", images, early: false };
}

/** A guided evaluation is two passes of the network. */
function pairNfe({ source: { pairs } }: Stage): number {
  return pairs ? pairs.pairs * pairs.steps * passes(pairs.guidance) : 0;
}

interface Ended {
  readonly state: TrainState;
  readonly stopped?: "interrupted" | "deadline";
}

async function* runStage(
  job: Job,
  stage: Stage,
  index: number,
  steps: readonly number[],
  start: TrainState,
  before: number,
  finished: Done["stages"],
): AsyncGenerator<JobEvent, Ended> {
  const { schedule, store, runtime, signal, seed } = job;
  const { batch } = schedule;
  const pairs = stage.source.pairs ? await store.pairs(stage.source.pairs, index) : undefined;
  const data = batchesOf(stage, { data: job.data, pairs }, { seed, stage: index, batch });
  const done = (step: number): Done => ({
    images: before + step * batch,
    stages: [...finished, { name: stage.name, images: step * batch, pairNfe: pairNfe(stage) }],
  });
  let last = start;
  let saved = performance.now();
  const save = async (state: TrainState): Promise<JobEvent> => {
    await store.save({ stage: index, state, seen: finished.map(({ images }) => images) });
    await store.saveModel(stage, keptOf(state), done(state.step));
    last = state;
    saved = performance.now();
    return { kind: "checkpoint", step: state.step, images: before + state.step * batch };
  };
  const draw = async (state: TrainState): Promise<JobEvent | undefined> => {
    const path = await job.preview?.(stage, keptOf(state), before + state.step * batch);
    return path === undefined ? undefined : { kind: "preview", step: state.step, path };
  };
  yield await save(start);
  const count = steps[index];
  const every = Math.max(1, Math.round(schedule.saveEvery / batch));
  const pictures = Math.max(1, Math.round(schedule.previewEvery / batch));
  const log = logger(store, index, before, Math.max(1, Math.floor(count / 500)));
  const watch = watcher(stage, start.step);
  const comm = job.comm ?? alone;
  const options = { ...schedule, steps: count, seed, stage: index, comm };
  for await (const event of train(stage, data, runtime, start, options)) {
    if (event.kind !== "step") continue;
    // Clocks and signals are each rank's own, and what follows from them is done by all.
    const { interrupted, late, old } = await anyOf(comm, {
      interrupted: signal?.aborted === true,
      late: job.deadline !== undefined && performance.now() >= job.deadline,
      old: performance.now() - saved > 1000 * (job.saveSeconds ?? 180),
    });
    const stops = interrupted || late || event.step === count;
    const due = event.step % every === 0 || stops || old;
    if (comm.size > 1 && (due || job.checkRanks)) await checkRanks(comm, event.step, await event.snapshot());
    const logged = await log(event, due);
    // NaN: the student, which moves in some steps only, has not moved yet.
    const loss = Number.isNaN(event.loss) ? null : event.loss;
    const shown = { step: event.step, images: before + event.images, loss, rate: event.rate };
    yield { kind: "step", stage: stage.name, total: batch * count + before, norm: logged.norm, ...shown };
    const wrong = watch(event.notes);
    if (wrong) {
      await store.log({ kind: "warning", ...(index > 0 ? { stage: index } : {}), step: event.step, message: wrong });
      yield { kind: "warning", message: wrong };
    }
    if (!due) continue;
    const state = await event.snapshot();
    yield await save(state);
    const picture = event.step % pictures < every && event.step % every === 0;
    if (schedule.previewEvery > 0 && !interrupted && (picture || stops)) {
      const drawn = await draw(state);
      if (drawn) yield drawn;
    }
    if (event.step === count) break;
    if (interrupted) return { state, stopped: "interrupted" };
    if (late) return { state, stopped: "deadline" };
  }
  return { state: last };
}

/** Writes a line every so many steps, with the mean loss since the last one. */
function logger(store: Store, stage: number, before: number, every: number) {
  const begin = performance.now();
  // Of the steps in which the student moved: what it had before a run was stopped is not known any more.
  let [sum, moved] = [0, 0];
  return async (event: TrainEvent, flush: boolean): Promise<{ norm: number | null }> => {
    const { step, rate, players, notes } = event;
    const student = players[STUDENT];
    const norm = event.skipped || !student ? null : student.norm;
    if (student) [sum, moved] = [sum + student.loss, moved + 1];
    if (step % every !== 0 && !flush) return { norm };
    const line = {
      kind: "step",
      ...(stage > 0 ? { stage } : {}),
      step,
      images: before + event.images,
      loss: moved > 0 ? sum / moved : null,
      norm,
      rate,
      seconds: Math.round(performance.now() - begin) / 1000,
      ...(Object.keys(players).length > 1 ? { players } : {}),
      ...(Object.keys(notes).length > 0 ? { notes } : {}),
    };
    [sum, moved] = [0, 0];
    await store.log(line);
    return { norm };
  };
}

/** Images that fit in so many minutes: the speed of a few steps of the first stage, the first of which also compiles. */
export async function imagesIn(
  minutes: number,
  {
    stages,
    data,
    schedule,
    seed,
    runtime,
    comm,
  }: Pick<Job, "stages" | "data" | "seed" | "runtime" | "comm"> & {
    readonly schedule: Omit<Schedule, "images" | "saveEvery" | "previewEvery">;
  },
): Promise<{ readonly images: number; readonly perSecond: number }> {
  const [stage] = outline(stages);
  const { batch } = schedule;
  const size = stage.model.sampleShape.reduce((a, b) => a * b, 1);
  // Noise stands in for pairs that are not made yet.
  const pairs = stage.source.pairs && standIn(stage, size);
  const feed = batchesOf(stage, { data, pairs }, { seed, stage: 0, batch });
  const marks: number[] = [];
  const options = { ...schedule, steps: 4, seed, comm };
  for await (const event of train(stage, feed, runtime, freshState(stage), options))
    if (event.kind === "step") marks.push(performance.now());
  const perStep = (marks[3] - marks[0]) / 3 / 60_000;
  return { images: Math.max(1, Math.floor(minutes / perStep)) * batch, perSecond: batch / (perStep * 60) };
}

function standIn({ model }: Stage, size: number): Pairs {
  const cond = Object.entries(model.conditions).flatMap(([name, c]) => {
    const values = c.shape.reduce((a, b) => a * b, 1);
    const zeros = c.dtype === "int64" ? new BigInt64Array(values) : new Float32Array(values);
    return c.given === "data" ? [[name, zeros] as const] : [];
  });
  return { x: new Float32Array(size), noise: new Float32Array(size), cond: Object.fromEntries(cond) };
}
