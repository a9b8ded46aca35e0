// Samples of a model, as a picture and as numbers.
import * as z from "zod";
import { canBeGuided, nullLabel } from "../condition.ts";
import { gridPng } from "../data/png.ts";
import { scatter2d } from "../figures/plane.ts";
import { fromConstants } from "../nn/params.ts";
import { type Samples, sampleAll, sampler, samplingGrid } from "../run/sample.ts";
import { solverByName, solvers } from "../solvers/index.ts";
import { writeAtomic } from "./atomic.ts";
import { type Context, checkInterrupt } from "./context.ts";
import { isPicture } from "./evaluationReport.ts";
import { UsageError, usage } from "./failure.ts";
import { figureContext, svgToPng } from "./figures.ts";
import { writeSafetensors } from "./files.ts";
import { checkUntold, type LoadedModel, loadModel } from "./models.ts";
import { claimFile, type Output, samplesMark } from "./outputs.ts";
import { type Part, partFile, partOf, partText, rangeOf } from "./parts.ts";

const count = z.int().positive();

/** Of a diffusers folder, whose configuration does not say it. */
export const nullClass = z
  .boolean()
  .optional()
  .describe('The last class of a diffusers folder means "no class" (--no-null-class: it is one like the others).');

export const samplingOptions = {
  guidance: z.number().default(1).describe("null + g(conditional - null); 1: none."),
  solver: z
    .string()
    .optional()
    .describe(`Default: the one the model was made for. One of ${solvers.map(({ name }) => name).join(", ")}.`),
  batch: count.default(64).describe("Samples at a time; changes nothing but speed and memory."),
  nullClass,
};

export const force = z.boolean().default(false).describe("Writes over what fewstep did not write.");

export const sampleOptions = z.object({
  model: z.string().describe("A model, run or diffusers folder."),
  steps: count.optional().describe("Default: the fewest the model was made for."),
  n: count.default(16).describe("Samples."),
  part: z.string().optional().describe(partText).meta({ value: "i/n" }),
  class: z.int().nonnegative().optional().describe("The class of all samples; default: one class after the other."),
  ...samplingOptions,
  columns: count.optional().describe("Samples in a row of the picture."),
  out: z.string().default("grid.png").describe("The picture.").meta({ value: "file" }),
  save: z.string().optional().describe("The samples and their noise as safetensors.").meta({ value: "file" }),
  force,
});
export type SampleCommandOptions = z.output<typeof sampleOptions>;

export interface Request {
  readonly n: number;
  readonly steps: number;
  readonly class?: number;
  readonly guidance: number;
  readonly solver?: string;
  readonly batch: number;
  readonly stream?: string;
  readonly keepStates?: boolean;
  /** The first sample, and how many there are in all, where these are a part of them. */
  readonly from?: number;
  readonly whole?: number;
}

export interface Timed extends Samples {
  /** Of sampling alone: without loading and compiling. */
  readonly seconds: number;
  readonly times: readonly number[];
}

/** Samples of a loaded model. Throws UsageError for steps, solver, class or guidance that it cannot take. */
export async function samplesOf(loaded: LoadedModel, o: Request, context: Context): Promise<Timed> {
  const { model, name } = loaded;
  checkUntold(loaded);
  const solver = usage(() => solverByName(o.solver ?? loaded.sampler.solver));
  const times = usage(() => samplingGrid(model.form, loaded.sampler.grid, o.steps, model.prediction));
  if (o.guidance !== 1 && !canBeGuided(model.conditions) && !model.conditions.guidance)
    throw new UsageError(`--guidance ${o.guidance} needs a model with classes; ${name} has none.`);
  const rows = model.conditions.labels?.rows ?? 0;
  if (o.class !== undefined && o.class >= rows) {
    const last = nullLabel(model.conditions) === rows - 1 ? '; the last means "no class"' : "";
    throw new UsageError(
      rows === 0
        ? `--class ${o.class} needs a model with classes; ${name} has none.`
        : `--class is ${o.class}, expected 0 to ${rows - 1}${last}.`,
    );
  }
  const ready = await sampler(model, fromConstants(loaded.params), context.runtime, Math.min(o.whole ?? o.n, o.batch), {
    guidance: o.guidance,
  });
  const line = context.report.progress(name);
  try {
    const begin = performance.now();
    const samples = await sampleAll(ready, {
      n: o.n,
      from: o.from,
      seed: context.seed,
      solver,
      times,
      label: o.class,
      stream: o.stream,
      keepStates: o.keepStates,
      onStep({ done }) {
        checkInterrupt(context, "Nothing was written.");
        line.update({ done: Math.floor(done / o.steps), total: o.n, unit: "samples" });
      },
    });
    return { ...samples, seconds: (performance.now() - begin) / 1000, times };
  } finally {
    line.end();
    await ready.dispose();
  }
}

/** Samples with what is needed to write them down. */
export interface Drawn extends Timed {
  /** The model's name, as pictures are titled. */
  readonly name: string;
  readonly steps: number;
  readonly solver: string;
  /** Of one sample, [C, H, W] of pictures. */
  readonly shape: readonly number[];
  /** Of one sample's conditions. */
  readonly condShapes: Readonly<Record<string, readonly number[]>>;
}

export interface SaveOptions {
  /** Samples in a row of the picture. Default: about as many as rows. */
  readonly columns?: number;
  /** Writes over what fewstep did not write. Default false. */
  readonly force?: boolean;
}

/** Whether there is a picture of samples of this shape: pictures themselves, and points of the plane. */
export const isShown = (shape: readonly number[]): boolean =>
  isPicture(shape) || (shape[0] === 2 && shape.slice(1).every((size) => size === 1));

const notShown = (shape: readonly number[]): string =>
  `Samples of the shape ${shape.join(" x ")} are no pictures and no points of a plane`;

/** Draws samples of a loaded model. Throws UsageError for what it cannot take, Interrupted after the signal. */
export async function draw(
  loaded: LoadedModel,
  o: Omit<Request, "steps"> & { readonly steps?: number },
  context: Context,
): Promise<Drawn> {
  const steps = o.steps ?? Math.min(...loaded.sampler.steps);
  const { sampleShape: shape, conditions } = loaded.model;
  const condShapes = Object.fromEntries(Object.entries(conditions).map(([name, c]) => [name, c.shape]));
  const solver = o.solver ?? loaded.sampler.solver;
  return {
    ...(await samplesOf(loaded, { ...o, steps }, context)),
    name: loaded.name,
    steps,
    solver,
    shape,
    condShapes,
  };
}

/** What a name ends with, as what is written there. Throws UsageError for another one. */
function kindOf(path: string): "png" | "safetensors" {
  const kind = (["png", "safetensors"] as const).find((one) => path.toLowerCase().endsWith(`.${one}`));
  if (kind) return kind;
  throw new UsageError(`${path}: expected a name that ends with .png or .safetensors.`);
}

/**
 * Whether samples (of this `shape`, where it is known) can be saved there. Throws UsageError for a name of another kind, and an Error for a file
 * that fewstep did not write.
 */
export async function claimSamples(
  path: string,
  { force = false, option = "The path", kind = kindOf(path) }: SaveOptions & Partial<Output> = {},
  shape?: readonly number[],
): Promise<string> {
  if (kind === "png" && shape && !isShown(shape))
    throw new UsageError(`${notShown(shape)}: save them as .safetensors.`);
  return claimFile(path, { option, kind, force });
}

/**
 * Writes a picture (.png), or the numbers with the noise they came from and their conditions (.safetensors). Throws as
 * `claimSamples`.
 */
export async function saveSamples(path: string, drawn: Drawn, options: SaveOptions = {}): Promise<void> {
  const { x, start, cond, count: n, shape, condShapes, name, steps } = drawn;
  const kind = kindOf(path);
  if (kind === "png") {
    const image = await picture(x, shape, `${name}, ${steps} steps`, options.columns);
    return writeAtomic(await claimSamples(path, options, shape), image);
  }
  const given = Object.entries(cond).map(([key, data]) => [key, { shape: [n, ...condShapes[key]], data }] as const);
  const tensors = {
    x: { shape: [n, ...shape], data: x },
    noise: { shape: [n, ...shape], data: start },
    ...Object.fromEntries(given),
  };
  await writeSafetensors(await claimSamples(path, options, shape), tensors, samplesMark);
}

/** Draws samples, writes the picture and, where asked for, the numbers. */
export async function sampleModel(given: SampleCommandOptions, context: Context): Promise<Timed> {
  const o = ofPart(given, partOf(given.part));
  const loaded = await loadModel(o.model, { nullClass: o.nullClass });
  for (const note of loaded.notes) context.report.note(note);
  const shape = loaded.model.sampleShape;
  const shown = isShown(shape);
  if (!shown && o.save === undefined) throw new Error(`${notShown(shape)}: give --save to have their numbers.`);
  // Before hours of sampling, and again when writing.
  if (shown) await claimSamples(o.out, { force: o.force, option: "--out", kind: "png" });
  if (o.save !== undefined) await claimSamples(o.save, { force: o.force, option: "--save", kind: "safetensors" });
  const drawn = await draw(loaded, o, context);
  const { steps, nfe, solver, seconds } = drawn;
  if (shown) await saveSamples(o.out, drawn, o);
  else context.report.note(`${notShown(shape)}: there is no ${o.out}.`);
  if (o.save !== undefined) await saveSamples(o.save, drawn, o);
  context.report.event({
    kind: "samples",
    model: loaded.path,
    n: o.n,
    steps,
    nfe,
    solver,
    seconds,
    out: shown ? o.out : undefined,
    save: o.save,
  });
  context.report.result(
    `${shown ? o.out : o.save}: ${o.n} samples of ${loaded.name} with ${solver}, ${nfe} network evaluations each, ${seconds.toFixed(2)} s.`,
  );
  return drawn;
}

/** The samples of a part, in files of their own; those of all parts are the samples of one process. */
function ofPart(
  o: SampleCommandOptions,
  part: Part | undefined,
): SampleCommandOptions & Pick<Request, "from" | "whole"> {
  if (!part) return o;
  const range = rangeOf(part, o.n);
  if (range.n === 0)
    throw new UsageError(`Part ${part.index}/${part.count} of ${o.n} samples is empty: take at most ${o.n} parts.`);
  const named = (path: string) => partFile(path, part);
  return { ...o, ...range, whole: o.n, out: named(o.out), ...(o.save === undefined ? {} : { save: named(o.save) }) };
}

async function picture(
  x: Float32Array,
  shape: readonly number[],
  title: string,
  columns: number | undefined,
): Promise<Uint8Array> {
  const [channels, height = 1, width = 1] = shape;
  if (isPicture(shape)) return gridPng(x, [channels, height, width], { columns });
  return svgToPng(scatter2d({ title, panels: [{ title: `${x.length / 2} samples`, points: x }] }, figureContext()));
}
