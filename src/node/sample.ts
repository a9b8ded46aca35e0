// Samples of a model, as a picture and as numbers.
import { z } from "zod";
import { canBeGuided, nullLabel } from "../condition.ts";
import { gridPng } from "../data/png.ts";
import { scatter2d } from "../figures/plane.ts";
import { fromConstants } from "../nn/params.ts";
import { type Samples, sampleAll, sampler, samplingGrid } from "../run/sample.ts";
import { solverByName } from "../solvers/index.ts";
import { writeAtomic } from "./atomic.ts";
import { type Context, checkInterrupt } from "./context.ts";
import { isPicture } from "./evaluationReport.ts";
import { UsageError, usage } from "./failure.ts";
import { figureContext, svgToPng } from "./figures.ts";
import { writeSafetensors } from "./files.ts";
import { type LoadedModel, loadModel } from "./models.ts";
import { claimFile, type Output, samplesMark } from "./outputs.ts";

const count = z.int().positive();

/** Of a diffusers folder, whose configuration does not say it. */
export const nullClass = z
  .boolean()
  .optional()
  .describe('The last class of a diffusers folder means "no class" (--no-null-class: it is one like the others).');

export const samplingOptions = {
  guidance: z.number().default(1).describe("null + g(conditional - null); 1: none."),
  solver: z.string().optional().describe("Default: the one the model was made for."),
  batch: count.default(64).describe("Samples at a time; changes nothing but speed and memory."),
  nullClass,
};

export const force = z.boolean().default(false).describe("Writes over what fewstep did not write.");

export const sampleOptions = z.object({
  model: z.string().describe("A model, run or diffusers folder."),
  steps: count.optional().describe("Default: the fewest the model was made for."),
  n: count.default(16).describe("Samples."),
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
}

export interface Timed extends Samples {
  /** Of sampling alone: without loading and compiling. */
  readonly seconds: number;
  readonly times: readonly number[];
}

/** Samples of a loaded model. Throws UsageError for steps, solver, class or guidance that it cannot take. */
export async function samplesOf(loaded: LoadedModel, o: Request, context: Context): Promise<Timed> {
  const { model, name } = loaded;
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
  const ready = await sampler(model, fromConstants(loaded.params), context.runtime, Math.min(o.n, o.batch), {
    guidance: o.guidance,
  });
  const line = context.report.progress(name);
  try {
    const begin = performance.now();
    const samples = await sampleAll(ready, {
      n: o.n,
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

/** Draws samples, writes the picture and, where asked for, the numbers. */
export async function sampleModel(o: SampleCommandOptions, context: Context): Promise<Timed> {
  const loaded = await loadModel(o.model, { nullClass: o.nullClass });
  for (const note of loaded.notes) context.report.note(note);
  for (const note of loaded.notes) context.report.note(note);
  const shape = loaded.model.sampleShape;
  const shown = isPicture(shape) || (shape[0] === 2 && shape.slice(1).every((size) => size === 1));
  const what = `Samples of the shape ${shape.join(" x ")} are no pictures and no points of a plane`;
  if (!shown && o.save === undefined) throw new Error(`${what}: give --save to have their numbers.`);
  const claim = async () => {
    const to = (option: string, kind: Output["kind"]) => ({ option, kind, force: o.force });
    return {
      out: shown ? await claimFile(o.out, to("--out", "png")) : undefined,
      save: o.save === undefined ? undefined : await claimFile(o.save, to("--save", "safetensors")),
    };
  };
  await claim();
  const steps = o.steps ?? Math.min(...loaded.sampler.steps);
  const samples = await samplesOf(loaded, { ...o, steps }, context);
  const { x, start, cond, nfe, seconds } = samples;
  const image = shown ? await picture(x, shape, `${loaded.name}, ${steps} steps`, o.columns) : undefined;
  // Once more: sampling may have taken hours.
  const { out, save } = await claim();
  if (out && image) await writeAtomic(out, image);
  if (!shown) context.report.note(`${what}: there is no ${o.out}.`);
  if (save) {
    const tensors = {
      x: { shape: [o.n, ...shape], data: x },
      noise: { shape: [o.n, ...shape], data: start },
      ...Object.fromEntries(
        Object.entries(cond).map(([name, data]) => [
          name,
          { shape: [o.n, ...loaded.model.conditions[name].shape], data },
        ]),
      ),
    };
    await writeSafetensors(save, tensors, samplesMark);
  }
  const solver = o.solver ?? loaded.sampler.solver;
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
  return samples;
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
