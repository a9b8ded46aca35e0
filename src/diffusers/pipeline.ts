// Text to image and image to image (Rombach et al. 2022): text encoders, U-Net, scheduler and autoencoder in a row.
import { fold, key, normal } from "../random.ts";
import type { Runtime } from "../runtime/index.ts";
import type { Solver } from "../solvers/index.ts";
import { type ControlInput, type Denoiser, denoiser, repeated } from "./denoiser.ts";
import { type LatentOptions, toLatents, toPictures } from "./latents.ts";
import { factorOf, type PipelineParts } from "./pipelineParts.ts";
import { latentPreview, type PreviewMap, previewMap } from "./preview.ts";
import type { PromptOptions } from "./prompt.ts";
import { blackedOut, unsafePictures } from "./safety.ts";
import { type SamplingPlan, samplingPlan } from "./samplingPlan.ts";
import type { SamplingOptions, SchedulerConfig } from "./schedulers/index.ts";
import { type Sessions, sessions } from "./sessions.ts";
import { textConditions, type Values } from "./textConditions.ts";
import type { Image } from "./tiles.ts";

/** Original and target size (height, width) and crop (top, left), as SDXL was told them in training. */
export interface SizeConditions {
  readonly original: readonly [number, number];
  readonly crop: readonly [number, number];
  readonly target: readonly [number, number];
}

/** Standard normal numbers. `what`: "start", "posterior", "image", or "step" with the index of the call. */
export type Noise = (what: "start" | "posterior" | "image" | "step", k: number, count: number) => Float32Array;

export interface GenerateOptions extends PromptOptions, LatentOptions {
  readonly prompt: string;
  /** Left out or null: the empty prompt, or zeros with SDXL. */
  readonly negative?: string | null;
  /** SDXL: what the second text encoder reads; default the same. */
  readonly prompt2?: string;
  readonly negative2?: string;
  /** Layers of the text encoders left out at the end. Default 0. */
  readonly clipSkip?: number;
  /** Pixels; default the U-Net's sample_size. Without effect on an image to image run, which keeps its picture's size. */
  readonly height?: number;
  readonly width?: number;
  /** Pictures, each with its own seed. Default 1. */
  readonly pictures?: number;
  readonly steps: number;
  /** uncond + guidance (cond − uncond); 1 evaluates once per step. Default 1. */
  readonly guidance?: number;
  /** Another sampler than the parts': its configuration. */
  readonly scheduler?: SchedulerConfig;
  readonly sampling?: SamplingOptions;
  /** A solver of the toolkit on the noise schedule of the configuration, in place of a scheduler of diffusers. */
  readonly solver?: Solver;
  /** Picture i has the noise of the seed + i. */
  readonly seed?: number;
  /** Instead of numbers from the seed. */
  readonly noise?: Noise;
  /** Image to image: [1 or pictures, 3, H, W] in −1 to 1, and how much of the way is done again, above 0 to 1. */
  readonly image?: { readonly picture: Image; readonly strength: number };
  /** One for every ControlNet. */
  readonly controls?: readonly ControlInput[];
  readonly adapter?: ControlInput;
  /** Tokens of IP-Adapters [1, N, D], and those of no picture. */
  readonly images?: readonly { readonly tokens: Values; readonly without: Values; readonly scale: number }[];
  /** Further input channels of the U-Net [1 or pictures, C, h, w]. */
  readonly channels?: Image;
  /** SDXL; default the picture's own size, not cropped. */
  readonly sizes?: SizeConditions;
  readonly negativeSizes?: SizeConditions;
  /** Gives the memory of each network back when its stage is over; the next run compiles it again. Default false. */
  readonly release?: boolean;
  /** Checked before every evaluation, and before every tile of an autoencoder. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: GenerateEvent) => void;
}

export type GenerateEvent =
  | { readonly stage: "text"; readonly dropped: readonly number[] }
  | {
      readonly stage: "step";
      /** Evaluations done, and all. */
      readonly done: number;
      readonly of: number;
      readonly timestep: number;
      /** The state in the scaled space, and the data that the evaluation behind this step stood for. */
      readonly latents: Image;
      readonly estimate: Image;
    }
  | { readonly stage: "decode" };

export interface Generated {
  /** [pictures, 3, H, W], about −1 to 1, not clamped: the picture is clamp(x/2 + 0.5, 0, 1). */
  readonly pictures: Image;
  readonly latents: Image;
  /** Evaluations of the U-Net, a guided one counted once. */
  readonly evaluations: number;
  /** Tokens cut off the prompt, and off the negative prompt. */
  readonly dropped: readonly number[];
  /** Pictures that the safety checker called unsafe, which are black; none where the parts have no checker. */
  readonly unsafe: readonly boolean[];
}

export interface Pipeline {
  /** Throws RangeError for options that do not fit the model, and the signal's reason when it is aborted. */
  generate(options: GenerateOptions): Promise<Generated>;
  /** Small pictures [B, 3, h, w] in -1 to 1 of latents on their way: one color per latent, in no time. */
  preview(latents: Image): Promise<Image>;
  /** The sessions of a run stay open for the next one, until this. */
  dispose(): Promise<void>;
}

/** Pictures from prompts with these parts. Sessions are opened when they are needed first. */
export function pipeline(parts: PipelineParts, runtime: Runtime, precision?: "float32" | "float16"): Pipeline {
  const open = sessions(runtime, precision ? { precision } : {});
  let map: Promise<PreviewMap> | undefined;
  return {
    generate: (options) => generate(open, parts, options),
    async preview(latents) {
      map ??= previewMap(open, parts.vae);
      return latentPreview(await map, latents);
    },
    dispose: () => open.end(""),
  };
}

async function generate(open: Sessions, parts: PipelineParts, options: GenerateOptions): Promise<Generated> {
  const { pictures: count = 1, guidance = 1, signal, onProgress } = options;
  if (!(Number.isInteger(count) && count >= 1))
    throw new RangeError(`${count} pictures were asked for, expected a whole number from 1.`);
  if (!Number.isFinite(guidance)) throw new RangeError(`The guidance is ${guidance}, expected a number.`);
  const shape = latentShape(parts, options, count);
  const config = options.scheduler ?? parts.scheduler;
  const plan = samplingPlan(config, options.solver, {
    steps: options.steps,
    sampling: { ...options.sampling, batch: count },
    strength: options.image?.strength,
  });
  signal?.throwIfAborted();

  const { run, dropped } = await conditioned(open, parts, options, shape, guidance);
  signal?.throwIfAborted();
  const noise = options.noise ?? seededNoise(options.seed ?? 0, count);
  const size = shape.reduce((n, d) => n * d, 1);
  let done = 0;
  let estimate: Float32Array = new Float32Array();
  const x = await plan.run({
    x: await start(open, parts, options, plan, size, noise),
    evaluate: async ({ x, timestep, clean }) => {
      signal?.throwIfAborted();
      const output = await run.evaluate(x, timestep);
      done++;
      if (onProgress) estimate = clean(output);
      return output;
    },
    noise: (k) => noise("step", k, size),
    onStep: (x, timestep) =>
      onProgress?.({
        stage: "step",
        done,
        of: Math.max(done, plan.evaluations),
        timestep,
        latents: { shape, data: x },
        estimate: { shape, data: estimate },
      }),
  });
  signal?.throwIfAborted();
  if (options.release) for (const stage of ["vae.encode", "adapter", "unet"]) await open.end(stage);
  onProgress?.({ stage: "decode" });
  const latents = { shape, data: x };
  const made = await toPictures(open, parts.vae, latents, options);
  const unsafe = parts.safety ? await unsafePictures(open, parts.safety, made) : new Array<boolean>(count).fill(false);
  if (options.release) await open.end("safety");
  const pictures = unsafe.includes(true) ? blackedOut(made, unsafe) : made;
  return { pictures, latents, evaluations: done, dropped, unsafe };
}

/** The U-Net under the conditions of a run, and the tokens that were cut off its prompts. */
async function conditioned(
  open: Sessions,
  parts: PipelineParts,
  options: GenerateOptions,
  shape: readonly number[],
  guidance: number,
): Promise<{ run: Denoiser; dropped: number[] }> {
  const { prompt, negative = null, prompt2, negative2, pictures: count = 1, onProgress } = options;
  const guided = guidance !== 1 && parts.unet.config.time_cond_proj_dim === null;
  const second =
    prompt2 === undefined && negative2 === undefined ? undefined : [negative2 ?? negative, prompt2 ?? prompt];
  const text = await textConditions(open, parts, guided ? [negative, prompt] : [prompt], {
    ...options,
    ...(second ? { second: guided ? second : second.slice(1) } : {}),
  });
  const dropped = [...text.dropped].reverse();
  if (options.release) await open.end("text");
  onProgress?.({ stage: "text", dropped });
  const rows = guided ? 2 * count : count;
  const each = (values: Values) => blocks(values, count);
  const run = await denoiser(open, parts, shape, guidance, {
    context: each(text.context),
    ...(text.pooled ? { pooled: each(text.pooled), sizes: each(sizeRows(parts, options, shape, guided)) } : {}),
    ...(options.channels ? { channels: repeated(options.channels, rows) } : {}),
    ...(options.controls ? { controls: options.controls } : {}),
    ...(options.adapter ? { features: options.adapter } : {}),
    ...(options.images
      ? {
          images: options.images.map(({ tokens, without, scale }) => ({
            tokens: each(guided ? stacked(without, tokens) : tokens),
            scale,
          })),
        }
      : {}),
  });
  return { run, dropped };
}

/** Noise, or a picture's latents with noise as of the first call. */
async function start(
  open: Sessions,
  { vae }: PipelineParts,
  { image, pictures: count = 1, ...options }: GenerateOptions,
  plan: SamplingPlan,
  size: number,
  noise: Noise,
): Promise<Float32Array> {
  if (!image) return noise("start", 0, size).map((value) => value * plan.startScale);
  const draws = (n: number) => noise("posterior", 0, n);
  const copies = image.picture.shape[0] === 1 ? count : 1;
  const clean = await toLatents(open, vae, image.picture, draws, options, copies);
  if (clean.shape[0] !== count)
    throw new RangeError(`${clean.shape[0]} pictures were given to start ${count} from, expected one or as many.`);
  const [alpha, sigma] = plan.row;
  const added = noise("image", 0, size);
  return clean.data.map((value, i) => alpha * value + sigma * added[i]);
}

function latentShape(parts: PipelineParts, options: GenerateOptions, count: number): number[] {
  const factor = factorOf(parts.vae);
  const { sample_size: side } = parts.unet.config;
  const [ownH, ownW] = typeof side === "number" ? [side, side] : (side ?? [64, 64]);
  const [, , height, width] = options.image
    ? options.image.picture.shape
    : [0, 0, options.height ?? ownH * factor, options.width ?? ownW * factor];
  for (const [name, value] of [
    ["height", height],
    ["width", width],
  ] as const)
    if (!(Number.isInteger(value) && value > 0 && value % factor === 0))
      throw new RangeError(`The picture's ${name} is ${value}, expected a multiple of ${factor}.`);
  return [count, parts.vae.config.latent_channels, height / factor, width / factor];
}

/** [1 or 2, 6]: those of the negative prompt first. */
function sizeRows(parts: PipelineParts, options: GenerateOptions, shape: readonly number[], guided: boolean): Values {
  const factor = factorOf(parts.vae);
  const own: readonly [number, number] = [shape[2] * factor, shape[3] * factor];
  const of = ({ original, crop, target }: SizeConditions) => [...original, ...crop, ...target];
  const positive = options.sizes ?? { original: own, crop: [0, 0], target: own };
  const all = guided ? [...of(options.negativeSizes ?? positive), ...of(positive)] : of(positive);
  return { shape: [all.length / 6, 6], data: Float32Array.from(all) };
}

/** Every row `count` times in a row: [2, …] to [2 count, …], the halves staying together. */
function blocks({ shape, data }: Values, count: number): Values {
  const size = data.length / shape[0];
  const out = new Float32Array(data.length * count);
  for (let row = 0; row < shape[0] * count; row++) {
    const from = Math.floor(row / count) * size;
    out.set(data.subarray(from, from + size), row * size);
  }
  return { shape: [shape[0] * count, ...shape.slice(1)], data: out };
}

function stacked(a: Values, b: Values): Values {
  const data = new Float32Array(a.data.length + b.data.length);
  data.set(a.data);
  data.set(b.data, a.data.length);
  return { shape: [a.shape[0] + b.shape[0], ...a.shape.slice(1)], data };
}

/** Every picture draws from a seed of its own, so that it does not matter how many are made together. */
export const seededNoise =
  (seed: number, count: number): Noise =>
  (what, k, n) => {
    const out = new Float32Array(n);
    for (let i = 0; i < count; i++)
      normal(fold(key(seed + i), what, k), n / count, out.subarray((i * n) / count, ((i + 1) * n) / count));
    return out;
  };
