// The options that `train` and `accelerate` share, and what of them is written down or may change when a run goes on.
import { isAbsolute, resolve } from "node:path";
import * as z from "zod";
import { toyNames } from "../data/toy2d.ts";
import type { Context } from "./context.ts";
import { EXACT } from "./exact.ts";
import { UsageError } from "./failure.ts";
import { toConfig } from "./options.ts";
import { logKinds } from "./watching.ts";

const count = z.int().positive();

export const dataText = `Folder of IDX files or class folders, .tar files, or toy:<name>, of ${toyNames.join(", ")}.`;

/** Options that `train` and `accelerate` share. Budgets and intervals are in images seen. */
export const trainingOptions = {
  out: z.string().default("runs").describe("Where run folders are made.").meta({ value: "dir" }),
  run: z
    .string()
    .optional()
    .describe("This very run folder: made, or gone on with if it is there.")
    .meta({ value: "dir" }),
  images: count.optional().describe("Budget: images seen in training."),
  minutes: z
    .number()
    .positive()
    .optional()
    .describe("Budget as time: the first steps are measured to turn it into images, and it ends then at the latest."),
  batch: count.default(64).describe("Images per step, of all processes together."),
  microBatch: count
    .optional()
    .describe("Images that a process computes at a time, adding up their gradients: less memory; default all it has."),
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
  saveMinutes: z.number().positive().default(3).describe("Minutes after which a checkpoint is due in any case."),
  previewEvery: z.int().nonnegative().optional().describe("Images between pictures; 0: none; default at checkpoints."),
  log: z
    .array(z.enum(logKinds))
    .min(1)
    .default(["tensorboard"])
    .describe("Beside log.jsonl, which is always there: TensorBoard's event files, log.csv; jsonl: nothing else."),
  resume: z.string().optional().describe("Goes on with this run folder.").meta({ value: "run" }),
  rankTimeout: z
    .number()
    .positive()
    .optional()
    .describe("Seconds that several processes (mpirun, srun) wait for one of them; default 600."),
  checkRanks: z
    .boolean()
    .default(false)
    .describe("Compares what several processes hold after every step, and not at checkpoints alone."),
  ignoreMemory: z.boolean().default(false).describe("Starts even if the memory that is needed is not there."),
  dryRun: z
    .boolean()
    .default(false)
    .describe("Opens teacher and data, says options, network, steps, memory and time, and trains nothing."),
};
export type TrainingOptions = z.output<z.ZodObject<typeof trainingOptions>>;

/** Of these options a resumed run may have others than before; teacher and data are compared by what they hold. */
export const mayChange = [
  "out",
  "run",
  "teacher",
  "data",
  "cacheDir",
  "previewPrompts",
  "images",
  "saveEvery",
  "saveMinutes",
  "previewEvery",
  "log",
  "gradientCheckpointing",
  "microBatch",
  "rankTimeout",
  "checkRanks",
  "ignoreMemory",
  "dryRun",
];

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
    run: undefined,
    dryRun: undefined,
    ignoreMemory: undefined,
    rankTimeout: undefined,
    checkRanks: undefined,
    minutes: options.images ? undefined : options.minutes,
  }),
  seed,
});

/** Throws UsageError for two budgets at once, and for two ways to say which run. */
export function checkBudget({ images, minutes }: { readonly images?: number; readonly minutes?: number }): void {
  if (images !== undefined && minutes !== undefined)
    throw new UsageError(`--images ${images} and --minutes ${minutes} are two budgets for one run. Give one of them.`);
}

/** Paths in options.json work from every folder. */
export function absolute(path: string): string {
  if (path.startsWith(EXACT)) return EXACT + absolute(path.slice(EXACT.length));
  return path.startsWith("toy:") || isAbsolute(path) ? path : resolve(path);
}
