// A training run on disk: steps, checkpoints, log, pictures, resuming. `train` and `accelerate` differ in what they pass in.
import { isAbsolute, resolve } from "node:path";
import { z } from "zod";
import type { Dataset } from "../data/dataset.ts";
import { lossCurve } from "../figures/lossCurve.ts";
import type { Precision } from "../graph/index.ts";
import type { Network } from "../nn/network.ts";
import { countParams, type ParamSpec } from "../nn/params.ts";
import type { RateSchedule } from "../optim/schedule.ts";
import type { Plan } from "../recipes/plan.ts";
import type { Card } from "../run/card.ts";
import { NotFinite, type TrainBatch, type TrainState, train } from "../run/train.ts";
import { loadState, type StateIdentity, saveState, stateFile } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { Interrupted, UsageError } from "./failure.ts";
import { figureContext, saveFigure } from "./figures.ts";
import { writeJson } from "./files.ts";
import { saveModel } from "./models.ts";
import { toConfig } from "./options.ts";
import type { Preview } from "./previews.ts";
import { formatSpeed } from "./progress.ts";
import { createRun, lastPart, type RunDir, type RunName, readLog, rewindLog, runAt } from "./runDir.ts";

const count = z.int().positive();

/** Options that `train` and `accelerate` share. Budgets and intervals are in images seen. */
export const trainingOptions = {
  out: z.string().default("runs").describe("Where run folders are made.").meta({ value: "dir" }),
  images: count.optional().describe("Budget: images seen in training."),
  minutes: z
    .number()
    .positive()
    .optional()
    .describe("Budget as time; the first steps are measured to turn it into images."),
  batch: count.default(64).describe("Images per step."),
  lr: z.number().positive().optional().describe("Learning rate (AdamW)."),
  warmup: z.int().nonnegative().default(20).describe("Steps in which the learning rate rises."),
  decay: z.enum(["cosine", "constant"]).default("cosine").describe("What the learning rate does after that."),
  ema: z.number().min(0).lt(1).optional().describe("Decay of the weights' moving average, which is what is kept."),
  clip: z.number().positive().default(1).describe("Largest norm of the gradient."),
  precision: z
    .enum(["float32", "float16"])
    .default("float32")
    .describe("float16: products in half precision, weights in float32."),
  dropLabels: z.number().min(0).max(1).default(0.1).describe("Share of labels dropped, for guidance."),
  gradientCheckpointing: z
    .boolean()
    .default(false)
    .describe("Computes blocks of the network again instead of keeping their inside: less memory, more time."),
  saveEvery: count.optional().describe("Images between checkpoints; default a tenth of the budget."),
  previewEvery: z.int().nonnegative().optional().describe("Images between pictures; 0: none; default at checkpoints."),
  resume: z.string().optional().describe("Goes on with this run folder.").meta({ value: "run" }),
  ignoreMemory: z.boolean().default(false).describe("Starts even if the memory that is needed is not there."),
  dryRun: z.boolean().default(false).describe("Prints the resolved options and stops."),
};

/** Of these options a resumed run may have others than before. */
export const mayChange = [
  "out",
  "images",
  "saveEvery",
  "previewEvery",
  "gradientCheckpointing",
  "ignoreMemory",
  "dryRun",
];

export interface Schedule {
  readonly batch: number;
  readonly images: number;
  readonly rate: RateSchedule;
  readonly ema: number;
  readonly clip: number;
  readonly dropLabels: number;
  readonly precision: Precision;
  readonly gradientCheckpointing: boolean;
  readonly saveEvery: number;
  readonly previewEvery: number;
}

export interface TrainingRun {
  readonly run: RunDir;
  readonly plan: Plan;
  readonly network: Network;
  readonly spec: readonly ParamSpec[];
  /** The state of a new run. */
  readonly start: TrainState;
  readonly data: (step: number) => TrainBatch;
  readonly schedule: Schedule;
  /** The card after so many images. */
  readonly card: (imagesSeen: number) => Card;
  readonly identity: StateIdentity;
  /** For options.json. */
  readonly options: object;
  /** The command that goes on, for messages. */
  readonly command: string;
  readonly preview?: Preview;
}

/** What --dry-run prints, and options.json holds: options that are a config file again. */
export const recorded = (
  command: string,
  options: Readonly<Record<string, unknown>>,
  { seed, runtime: { device } }: Context,
): object => ({
  command,
  ...(device === "cpu" ? {} : { device }),
  ...toConfig({
    ...options,
    resume: undefined,
    dryRun: undefined,
    ignoreMemory: undefined,
    minutes: options.images ? undefined : options.minutes,
  }),
  seed,
});

/** Throws UsageError for two budgets at once. */
export function checkBudget({ images, minutes }: { readonly images?: number; readonly minutes?: number }): void {
  if (images !== undefined && minutes !== undefined)
    throw new UsageError(`--images ${images} and --minutes ${minutes} are two budgets for one run. Give one of them.`);
}

/** Paths in options.json work from every folder. */
export const absolute = (path: string): string => (path.startsWith("toy:") || isAbsolute(path) ? path : resolve(path));

/** What data a run learns from, wherever it lies. */
export const dataIdentity = ({ size, shape, classes }: Dataset, path: string): string =>
  `${lastPart(path)}, ${size} samples of ${shape.join("x")} in ${classes} classes`;

/** A new run, or the one to go on with. */
export async function openRun(
  resume: string | undefined,
  out: string,
  name: RunName,
  options: object,
): Promise<RunDir> {
  if (resume === undefined) return createRun(out, name, options);
  return runAt(resume);
}

export const stepsOf = ({ images, batch }: Pick<Schedule, "images" | "batch">): number => Math.ceil(images / batch);

/**
 * Trains to the end, from the run's last checkpoint if it has one. Returns the final state.
 * Throws Interrupted after Ctrl-C, an Error with the last good checkpoint where training went wrong.
 */
export async function runTraining(r: TrainingRun, context: Context): Promise<TrainState> {
  const { run, schedule, spec } = r;
  const steps = stepsOf(schedule);
  const resumed = await lastState(r);
  if (resumed && resumed.step > steps)
    throw new UsageError(
      `${run.path} has seen ${resumed.step * schedule.batch} images already, more than the budget of ${schedule.images}.`,
    );
  // What a run goes on with is written down in its options once it is known to go on.
  await writeJson(run.optionsFile, r.options);
  let last = resumed ?? r.start;
  const save = async (state: TrainState) => {
    await saveState(run, state, r.identity);
    await saveModel(run.model, r.card(state.step * schedule.batch), spec, state.ema, r.network);
    last = state;
    context.report.event({
      kind: "checkpoint",
      step: state.step,
      images: state.step * schedule.batch,
      path: stateFile(run),
    });
  };
  if (resumed) {
    await rewindLog(run, (event) => stepOf(event) <= resumed.step);
    context.report.note(`Going on at step ${resumed.step} of ${steps} in ${run.path}.`);
  }
  await save(last);
  const line = context.report.progress(r.plan.method);
  const log = logger(run, context, last.step, Math.max(1, Math.floor(steps / 500)));
  const every = Math.max(1, Math.round(schedule.saveEvery / schedule.batch));
  const pictures = Math.max(1, Math.round(schedule.previewEvery / schedule.batch));
  try {
    for await (const event of train(r.plan, spec, r.data, context.runtime, last, {
      batch: schedule.batch,
      steps,
      rate: schedule.rate,
      ema: schedule.ema,
      clip: schedule.clip,
      precision: schedule.precision,
      dropLabels: r.plan.model.labelCount === null ? 0 : schedule.dropLabels,
      gradientCheckpointing: schedule.gradientCheckpointing,
      seed: context.seed,
      saveEvery: every,
    })) {
      const saves = event.step % every === 0 || event.step === steps;
      if (event.kind === "step") {
        await log(event, saves);
        line.update({ done: event.images, total: steps * schedule.batch, loss: event.loss });
        if (context.signal.aborted && !saves) throw interrupted(r, last);
        continue;
      }
      if (event.state) await save(event.state);
      if (context.signal.aborted && event.step < steps) throw interrupted(r, last);
      const due =
        Math.floor(event.step / pictures) > Math.floor((event.step - every) / pictures) || event.step === steps;
      if (event.state && schedule.previewEvery > 0 && due) await draw(r, event.state, context);
    }
  } catch (error) {
    if (!(error instanceof NotFinite)) throw error;
    const good = `The last good checkpoint is of step ${last.step}, in ${run.path}.`;
    throw new Error(`${error.message} ${good}`, { cause: error });
  } finally {
    line.end();
  }
  return last;
}

const interrupted = ({ run, command }: TrainingRun, { step }: TrainState) =>
  new Interrupted(
    `Interrupted. The checkpoint of step ${step} is kept in ${run.path}. Go on with: fewstep ${command} --resume ${run.path}`,
  );

async function lastState({ run, identity, spec }: TrainingRun): Promise<TrainState | undefined> {
  try {
    return await loadState(run, identity, countParams(spec));
  } catch (error) {
    if (error instanceof Error && error.message.endsWith("does not exist.")) return undefined;
    throw error;
  }
}

interface StepEvent {
  readonly step: number;
  readonly images: number;
  readonly loss: number;
  readonly norm: number;
  readonly rate: number;
  readonly skipped?: boolean;
}

/** Writes a line every so many steps, with the mean loss since the last one. */
function logger({ log }: RunDir, { report }: Context, from: number, every: number) {
  const begin = performance.now();
  let [sum, since] = [0, from];
  return async ({ step, images, loss, norm, rate, skipped }: StepEvent, flush: boolean) => {
    sum += loss;
    if (step % every !== 0 && !flush) return;
    const seconds = Math.round(performance.now() - begin) / 1000;
    const event = {
      kind: "step",
      step,
      images,
      loss: sum / (step - since),
      norm: skipped ? null : norm,
      rate,
      seconds,
    };
    [sum, since] = [0, step];
    report.event(event);
    await log(event);
  };
}

const stepOf = (event: unknown): number => {
  const step = typeof event === "object" && event !== null && "step" in event ? event.step : undefined;
  return typeof step === "number" ? step : 0;
};

async function draw({ run, plan, preview }: TrainingRun, state: TrainState, context: Context): Promise<void> {
  const events = ((await readLog(run.logFile)) ?? []).filter(isLoss);
  if (events.length > 1) {
    const series = { name: plan.method, images: events.map((e) => e.images), loss: events.map((e) => e.loss) };
    await saveFigure(`${run.path}/loss`, lossCurve({ series: [series] }, figureContext()));
  }
  const path = await preview?.(state.ema, events.at(-1)?.images ?? 0);
  if (path) context.report.event({ kind: "preview", step: state.step, path });
}

const isLoss = (event: unknown): event is { images: number; loss: number } =>
  typeof event === "object" && event !== null && "images" in event && "loss" in event;

/** Images that fit in so many minutes: the speed of a few steps, the first of which also compiles. */
export async function imagesIn(
  minutes: number,
  r: Pick<TrainingRun, "plan" | "spec" | "start" | "data">,
  schedule: Omit<Schedule, "images" | "saveEvery" | "previewEvery">,
  context: Context,
): Promise<number> {
  const marks: number[] = [];
  const options = { ...schedule, steps: 4, saveEvery: 5, seed: context.seed };
  for await (const event of train(r.plan, r.spec, r.data, context.runtime, { ...r.start, step: 0 }, options)) {
    if (event.kind === "step") marks.push(performance.now());
  }
  const perStep = (marks[3] - marks[0]) / 3 / 60_000;
  const images = Math.max(1, Math.floor(minutes / perStep)) * schedule.batch;
  const speed = formatSpeed(schedule.batch / (perStep * 60));
  context.report.note(`${minutes} minutes are about ${images.toLocaleString("en-US")} images at ${speed} images/s.`);
  return images;
}
