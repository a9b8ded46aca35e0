// fewstep from code: load, train, accelerate, sample, evaluate, compare. The command line calls the same functions with the same
// options under the same names.
import * as z from "zod";
import type { Recipe, recipes } from "../recipes/index.ts";
import type { Runtime } from "../runtime/index.ts";
import { accelerateWith } from "./accelerate.ts";
import { type AccelerateOptions, type lowRankOptions, optionsOf, type own } from "./accelerateOptions.ts";
import { type CallOptions, contextOf } from "./call.ts";
import type { PlanInput } from "./compare/planSchema.ts";
import { type Compared, compareOptions, comparePlan } from "./compare.ts";
import type { Context } from "./context.ts";
import { evaluateModels, evaluateOptions } from "./evaluate.ts";
import type { Report } from "./evaluationReport.ts";
import { UsageError } from "./failure.ts";
import { readJson } from "./files.ts";
import { type AnyRecipe, methodNamed } from "./methods.ts";
import { type LoadedModel, loadModel } from "./models.ts";
import { parseOptions } from "./options.ts";
import { withRun } from "./resume.ts";
import { claimSamples, type Drawn, draw, type SaveOptions, sampleOptions, saveSamples } from "./sample.ts";
import { trainOptions, trainTeacher } from "./train.ts";
import type { RunResult } from "./training.ts";
import { mayChange, type trainingOptions } from "./trainingOptions.ts";

/** A model on disk with its weights in memory, ready to be sampled, measured, or accelerated. */
export interface ReadyModel extends LoadedModel {
  /** What calls run it on that bring nothing else. */
  readonly runtime: Runtime;
  /** Draws samples; see `sample`. */
  sample(options?: SampleRequest): Sampling;
}

/** A model that a training run made. */
export interface TrainedModel extends ReadyModel {
  /** The run's folder: options, log, pictures, checkpoints. */
  readonly run: string;
}

/** The options of drawing, without those that say where samples are written. */
const drawOptions = sampleOptions.pick({
  steps: true,
  n: true,
  class: true,
  guidance: true,
  solver: true,
  batch: true,
});

type Input<S extends z.ZodRawShape> = z.input<z.ZodObject<S>>;

/** Options of `load`. */
export interface LoadOptions extends Pick<CallOptions, "device" | "threads" | "runtime"> {
  /** Whether the last class of a diffusers folder means "no class", where its configuration does not say so. */
  readonly nullClass?: boolean;
}

/** Options of training that `train` and `accelerate` share: see `fewstep train --help`. */
export type TrainingRequest = Partial<Omit<Input<typeof trainingOptions>, "dryRun">>;

/** Options of `train`: see `fewstep train --help`. Only `data` has to be given. */
export type TrainRequest = Omit<z.input<typeof trainOptions>, "dryRun"> & CallOptions;

type Known = (typeof recipes)[number];

/** The names of fewstep's methods. */
export type MethodName = Known["name"];

/** The options of a method of that name: see docs/methods.md. */
export type MethodOptions<N extends MethodName> = z.input<Extract<Known, { readonly name: N }>["options"]>;

/** What `accelerate` takes besides the method's own options. */
export type AccelerateRequest = Omit<Input<typeof own>, "teacher" | "method"> &
  Input<typeof lowRankOptions> &
  TrainingRequest &
  CallOptions;

/** Options of `sample`: see `fewstep sample --help`. */
export type SampleRequest = z.input<typeof drawOptions> & CallOptions;

/** Options of `evaluate`: see `fewstep evaluate --help`. */
export type EvaluateRequest = Omit<z.input<typeof evaluateOptions>, "models" | "teacher" | "part" | "join"> & {
  /** A model or its path; where it ends from the same noise is the truth. */
  readonly teacher?: string | LoadedModel;
} & CallOptions;

/** The options of comparing, without the plan itself. */
const comparing = compareOptions.omit({ plan: true, dryRun: true, part: true });

/** Options of `compare`: see `fewstep compare --help`. The seeds are the plan's. */
export type CompareRequest = z.input<typeof comparing> & Omit<CallOptions, "seed">;

/** Samples that can be saved. */
export interface SampleSet extends Drawn {
  /**
   * Writes a picture (.png), or the numbers with the noise they came from (.safetensors). Throws UsageError for another
   * name, an Error for a file that fewstep did not write.
   */
  save(path: string, options?: SaveOptions): Promise<SampleSet>;
}

/** Samples that are being drawn. `save` may be chained before they are there; the path is checked at once. */
export interface Sampling extends Promise<SampleSet> {
  save(path: string, options?: SaveOptions): Promise<SampleSet>;
}

/**
 * Opens what the command line takes for a model: a folder of fewstep, a run, a folder of runs (the newest), or a diffusers
 * folder with safetensors or ONNX weights. Throws an Error, one sentence, for anything else and for damaged files.
 */
export async function load(path: string, { nullClass, ...call }: LoadOptions = {}): Promise<ReadyModel> {
  const { context } = contextOf(call);
  return ready(await loadModel(path, { nullClass }), context);
}

function ready(loaded: LoadedModel, { runtime }: Pick<Context, "runtime">): ReadyModel {
  const model: ReadyModel = { ...loaded, runtime, sample: (options) => sample(model, options) };
  return model;
}

const isReady = (model: LoadedModel): model is ReadyModel => "runtime" in model;
const runtimeOf = (model: string | LoadedModel) =>
  typeof model !== "string" && isReady(model) ? { runtime: model.runtime } : {};

/**
 * Draws samples of a model; the same seed gives the same samples, whatever `batch` and device. Throws UsageError for steps,
 * solver, class or guidance that the model cannot take.
 */
export function sample(model: string | LoadedModel, options: SampleRequest = {}): Sampling {
  return withSave(async (signal) => {
    if (typeof model !== "string") return drawn(model, options, signal);
    const { device, threads, runtime, ...rest } = options;
    return drawn(await load(model, { device, threads, runtime }), rest, signal);
  });
}

async function drawn(model: LoadedModel, options: SampleRequest, stop: AbortSignal): Promise<Drawn> {
  const { context, rest } = contextOf(options, runtimeOf(model));
  const signal = AbortSignal.any([context.signal, stop]);
  return draw(model, parseOptions(drawOptions, given(rest)), { ...context, signal });
}

function withSave(make: (signal: AbortSignal) => Promise<Drawn>): Sampling {
  const stop = new AbortController();
  const set = make(stop.signal).then((one): SampleSet => {
    const whole: SampleSet = {
      ...one,
      async save(path, options = {}) {
        await saveSamples(path, one, options);
        return whole;
      },
    };
    return whole;
  });
  return Object.assign(set, {
    async save(path: string, options: SaveOptions = {}) {
      // What cannot be written need not be computed.
      const refused = claimSamples(path, options).catch((error: unknown) => {
        stop.abort();
        throw error;
      });
      const [one] = await Promise.all([set, refused]);
      return one.save(path, options);
    },
  });
}

/** Trains a model from scratch. Throws UsageError for wrong options, Interrupted after the signal. */
export async function train(options: TrainRequest): Promise<TrainedModel> {
  const { asked, context } = await resumable("train", trainOptions, options);
  return trained(await trainTeacher(parseOptions(trainOptions, asked), context), context);
}

/**
 * Makes a few-step student of a teacher, by a method's name or by a recipe of one's own; its options are typed by the method.
 * Runs as the command line does: with a folder under `out`, or the very folder `run`, which is gone on with if it is there.
 * Throws UsageError for options and teachers that do not fit the method, Interrupted after the signal.
 */
export async function accelerate<N extends MethodName>(
  teacher: string | LoadedModel,
  method: N,
  options: AccelerateRequest & MethodOptions<N>,
): Promise<TrainedModel>;
export async function accelerate<S extends z.ZodObject, N extends string>(
  teacher: string | LoadedModel,
  method: Recipe<S, N>,
  options: AccelerateRequest & z.input<S>,
): Promise<TrainedModel>;
export async function accelerate(
  teacher: string | LoadedModel,
  method: string | AnyRecipe,
  options: CallOptions,
): Promise<TrainedModel> {
  const recipe = typeof method === "string" ? methodNamed(method) : method;
  const schema = optionsOf(recipe);
  const wanted = { ...options, teacher: pathOf(teacher), method: recipe.name };
  const { asked, context } = await resumable("accelerate", schema, wanted, runtimeOf(teacher));
  const loaded = typeof teacher === "string" ? undefined : teacher;
  const all: unknown = parseOptions(schema, asked);
  return trained(await accelerateWith(recipe, all as AccelerateOptions, context, loaded), context);
}

const remembered = { seed: z.int().nonnegative(), device: z.enum(["cpu", "webgpu", "cuda"]) };

/** Options and context of a call that makes a run, or goes on with one: then seed and device are the run's. */
async function resumable(
  name: "train" | "accelerate",
  options: z.ZodObject,
  { signal, onEvent, runtime, threads, seed, device, ...rest }: CallOptions,
  standard: Pick<CallOptions, "runtime"> = {},
) {
  const schema = z.object({ ...options.shape, ...remembered });
  const all = await withRun({ name, schema, mayChange }, given({ ...rest, seed, device }));
  const { seed: root, device: where, ...asked } = all as Pick<CallOptions, "seed" | "device">;
  const own = runtime ?? (device === undefined ? standard.runtime : undefined);
  const call = { signal, onEvent, threads, seed: root };
  return { asked, context: contextOf(own ? { ...call, runtime: own } : { ...call, device: where }).context };
}

async function trained(result: RunResult | undefined, context: Context): Promise<TrainedModel> {
  if (!result) throw new UsageError("dryRun trains nothing: leave it out.");
  const { path } = result.run;
  return { ...ready(await loadModel(path), context), run: path };
}

/**
 * Measures models at several numbers of steps, and writes report, charts and a grid to the folder `out`. Throws UsageError for
 * steps and guidance that they cannot take, an Error for models or data that do not fit each other.
 */
export async function evaluate(
  models: string | LoadedModel | readonly (string | LoadedModel)[],
  { teacher, ...options }: EvaluateRequest,
): Promise<Report> {
  const all = [models].flat() as readonly (string | LoadedModel)[];
  const { context, rest } = contextOf(options, all[0] === undefined ? {} : runtimeOf(all[0]));
  const asked = {
    ...given(rest),
    models: all.map(pathOf),
    ...(teacher === undefined ? {} : { teacher: pathOf(teacher) }),
  };
  return evaluateModels(parseOptions(evaluateOptions, asked), context);
}

/**
 * Trains several methods under one budget, measures them alike, and writes report, charts and samples to the folder `out`.
 * `plan` is a plan or the path of its JSON file; runs that are finished are not run again, whichever plan asked for them.
 * Throws UsageError with all that is wrong with the plan, Interrupted after the signal: finished runs are kept.
 */
export async function compare(plan: string | PlanInput, options: CompareRequest = {}): Promise<Compared> {
  const { context, rest } = contextOf(options);
  const [json, file] = typeof plan === "string" ? [await readJson(plan), plan] : [plan, "The plan"];
  const o = parseOptions(comparing, given(rest));
  return comparePlan(json, { ...o, file }, context);
}

const pathOf = (model: string | LoadedModel): string => (typeof model === "string" ? model : model.path);

/** Without what is undefined, which stands for what is not given. */
const given = (options: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
