// A training that keeps everything in memory: any method, or a teacher from scratch, with what it made as the files of a run
// folder.

import { canBeGuided, classCount } from "../condition.ts";
import { cosine, type Form, type Prediction, vPrediction } from "../core/index.ts";
import { show } from "../core/show.ts";
import type { Dataset } from "../data/dataset.ts";
import { sha256 } from "../hash.ts";
import { networkModel } from "../model.ts";
import { middleFeatures } from "../nn/features.ts";
import { buildNetwork, collect, type NetworkSpec } from "../nn/network.ts";
import { fold, key } from "../random.ts";
import type { Recipe, SampleKind, Stage, Start } from "../recipes/recipe.ts";
import { startOf } from "../recipes/start.ts";
import { CARD_FORMAT, type Card, describeModel } from "../run/card.ts";
import { toConfig } from "../run/config.ts";
import type { Done, Job, Schedule } from "../run/job.ts";
import { modelReadme } from "../run/modelCard.ts";
import { stagesOf } from "../run/outline.ts";
import { randomWeights } from "../run/train.ts";
import type { Runtime } from "../runtime/index.ts";
import { version } from "../version.ts";
import { type KeptModel, makePairs, memoryStore } from "./memoryStore.ts";

export interface MemoryRunOptions {
  readonly runtime: Runtime;
  /** A method, or `diffusion` or `flowMatching` for a teacher. */
  readonly recipe: Recipe;
  /** The teacher; or the fresh network that is to become one. */
  readonly start: Start;
  /** Of the teacher, for the cards: its name, and the SHA-256 of its weights (as `openModel` has it) unless that is to be computed. */
  readonly teacher?: { readonly name: string; readonly hash?: string };
  readonly data?: Dataset;
  /** The method's own options; default: `preset`, then the recipe's defaults. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** The options of training. Default: `preset`, then those of the command line; checkpoints every tenth of the budget. */
  readonly training?: Partial<MemoryTraining>;
  /** "small": what the recipe gives for small data. Default "small". */
  readonly preset?: "small" | "paper";
  /** Default 0. */
  readonly seed?: number;
  /** The run keeps its current step and ends; run again it goes on from there. */
  readonly signal?: AbortSignal;
  /** Told while a teacher makes pairs. */
  readonly onPairs?: (progress: { readonly done: number; readonly total: number }) => void;
  /** Seconds after which a checkpoint is due whatever was seen. Default 180. */
  readonly saveSeconds?: number;
}

export interface MemoryTraining extends Omit<Schedule, "rate" | "previewEvery" | "microBatch"> {
  readonly lr: number;
  readonly warmup: number;
  readonly decay: "cosine" | "constant";
}

export interface MemoryRun {
  /** For `runJob`. */
  readonly job: Job;
  /** The method's own options and those of training, as they hold. */
  readonly options: Readonly<Record<string, unknown>>;
  /** The model of the last checkpoint; undefined before the first. */
  model(): KeptModel | undefined;
  /** The lines of log.jsonl. */
  readonly log: readonly object[];
  /**
   * The files of a run folder by their names: options.json, log.jsonl, model/ with card.json, model.safetensors and README.md. Those of the
   * model only after the first checkpoint.
   */
  files(): Readonly<Record<string, Uint8Array>>;
}

const standard = {
  batch: 64,
  warmup: 20,
  decay: "cosine",
  clip: 1,
  dropLabels: 0.1,
  precision: "float32",
  gradientCheckpointing: false,
} as const;

/**
 * Throws a RangeError, one sentence, for options that the recipe does not have or that are out of their range, for a budget
 * that is none, and where data or classes are missing that the method needs.
 */
export async function memoryRun(o: MemoryRunOptions): Promise<MemoryRun> {
  const { recipe, start, runtime, seed = 0, teacher } = o;
  const preset = o.preset === "paper" ? {} : (recipe.small?.[kindOf(start)] ?? {});
  const parsed = parsedOptions(recipe, { ...preset, ...o.options }, o.options ?? {});
  const own = recipe.resolve?.(start, parsed) ?? parsed;
  const training = trainingOf(recipe, preset, o.training ?? {});
  checkNeeds(recipe, own, o);
  const { lr, warmup, decay, ...rest } = training;
  const schedule: Schedule = { ...rest, rate: { kind: decay, peak: lr, warmup, final: 0.1 }, previewEvery: 0 };
  const { data } = o;
  const shown = { ...own, ...training, data: data?.name, ...(teacher ? { teacher: teacher.name } : {}) };
  const base = teacher ? (teacher.hash ?? (await hashOf(start.theta))) : null;
  const cardOf = (stage: Stage, done: Done): Card => ({
    format: CARD_FORMAT,
    library: version,
    ...describeModel(stage),
    sampler: stage.sampler,
    guidance: { convention: "null + g*(cond - null)", baked: typeof own.guidance === "number" ? own.guidance : 1 },
    recipe: { method: recipe.name, options: toConfig(shown) },
    base,
    imagesSeen: done.images,
    teacherNfe: Math.round(
      done.images * recipe.teacherNfe(own).perImage + done.stages.reduce((sum, s) => sum + s.pairNfe, 0),
    ),
    seed,
  });
  const store = memoryStore(cardOf, (source) =>
    makePairs(source, { runtime, seed, onPairs: o.onPairs, signal: o.signal }),
  );
  const stages = stagesOf(recipe, start, own, fold(key(seed), "recipe"));
  const { signal, saveSeconds } = o;
  return {
    job: { stages, data, schedule, seed, runtime, store, signal, saveSeconds },
    options: shown,
    log: store.lines,
    model: () => store.kept()?.model,
    files() {
      const text = (value: string) => new TextEncoder().encode(value);
      const json = (value: unknown) => text(`${JSON.stringify(value, null, 2)}\n`);
      const command = teacher ? { command: "accelerate", method: recipe.name } : { command: "train" };
      const kept = store.kept();
      return {
        "options.json": json({ ...command, ...toConfig({ ...shown, seed }) }),
        "log.jsonl": text(store.lines.map((line) => `${JSON.stringify(line)}\n`).join("")),
        ...(kept
          ? {
              "model/card.json": json(kept.model.card),
              "model/model.safetensors": kept.weights(),
              "model/README.md": text(modelReadme(kept.model.card)),
            }
          : {}),
      };
    },
  };
}

/** A network that has learned nothing, for a teacher from scratch. */
export function freshStart(
  network: NetworkSpec,
  {
    form = cosine(),
    prediction = vPrediction,
    seed = 0,
  }: { readonly form?: Form; readonly prediction?: Prediction; readonly seed?: number } = {},
): Start {
  const built = buildNetwork(network);
  const timeInput = { scale: 1000, offset: 0 };
  const spec = collect(built);
  const model = networkModel(built, form, prediction, timeInput);
  return startOf({ model, network: built, timeInput, spec, theta: randomWeights(spec, seed) });
}

/** Points are samples without height and width. */
const kindOf = ({ model }: Start): SampleKind =>
  model.sampleShape.slice(1).every((size) => size === 1) ? "points" : "images";

function parsedOptions(
  recipe: Recipe,
  values: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const { shape } = recipe.options;
  const strange = Object.keys(given).find((name) => !(name in shape));
  if (strange !== undefined)
    throw new RangeError(
      `${recipe.name} has no option ${strange}; it has: ${Object.keys(shape).join(", ") || "none"}.`,
    );
  const read = recipe.options.safeParse(Object.fromEntries(Object.entries(values).filter(([name]) => name in shape)));
  if (read.success) return read.data;
  const { path, message } = read.error.issues[0];
  throw new RangeError(`${recipe.name}: ${path.join(".")} is ${show(values[String(path[0])])} (${message}).`);
}

function trainingOf(
  { training, name }: Recipe,
  preset: Readonly<Record<string, unknown>>,
  given: Partial<MemoryTraining>,
): MemoryTraining {
  const { lr, ema, images } = training;
  const usual = { ...standard, lr, ema, images };
  const chosen = Object.fromEntries(Object.entries(preset).filter(([option]) => option in usual));
  const made = { ...usual, ...chosen, ...given } as Omit<MemoryTraining, "saveEvery"> & { saveEvery?: number };
  const wrong = Object.entries(limits).find(([option, fits]) => !fits(made[option as keyof typeof limits]));
  if (wrong)
    throw new RangeError(
      `${name}: ${wrong[0]} is ${show(made[wrong[0] as keyof typeof limits])}, which is out of its range.`,
    );
  return { ...made, saveEvery: made.saveEvery ?? Math.ceil(made.images / 10) };
}

const whole = (x: unknown) => Number.isSafeInteger(x) && Number(x) >= 1;
const limits = {
  batch: whole,
  images: whole,
  lr: (x: unknown) => Number(x) > 0 && Number(x) < 1e3,
  warmup: (x: unknown) => x === 0 || whole(x),
  ema: (x: unknown) => Number(x) >= 0 && Number(x) < 1,
  clip: (x: unknown) => Number(x) > 0,
  dropLabels: (x: unknown) => Number(x) >= 0 && Number(x) <= 1,
};

function checkNeeds(recipe: Recipe, own: Readonly<Record<string, unknown>>, { data, start }: MemoryRunOptions): void {
  const needs = recipe.needs(own);
  const { model, network } = start;
  const classes = classCount(model.conditions);
  const lacking = [
    needs.includes("data") && !data && "data",
    needs.includes("classes") && classes === 0 && "a model with classes",
    needs.includes("guidance") && !canBeGuided(model.conditions) && 'a model with classes and one for "no class"',
    needs.includes("features") &&
      !middleFeatures(network) &&
      "a network that it can look into, which an ONNX file is not",
    needs.includes("network") && network.family === "onnx" && "a network that can be told more than an ONNX file takes",
  ].filter((what) => what !== false);
  if (lacking.length > 0) throw new RangeError(`${recipe.name} needs ${lacking.join(" and ")} with these options.`);
  if (!data) return;
  // Points are [2] to their networks, and [2, 1, 1] as data.
  const [want, got] = [model.sampleShape, data.shape].map((shape) => shape.join(" x ").replace(/( x 1)+$/, ""));
  if (want !== got) throw new RangeError(`The data ${data.name} are ${got}, the model's samples ${want}.`);
  if (classes > 0 && (data.classes === 0 || data.classes > classes))
    throw new RangeError(`The data ${data.name} have ${data.classes || "no"} classes, the model ${classes}.`);
}

const hashOf = ({ buffer, byteOffset, byteLength }: Float32Array): Promise<string> =>
  sha256(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength));
