// Pictures from a text-to-image model of diffusers: opened, sampled, and written with what they were made with.
import { basename, resolve } from "node:path";
import { type GenerateOptions, pipeline } from "../diffusers/pipeline.ts";
import type { PipelineOutline } from "../diffusers/pipelineOutline.ts";
import type { PipelineParts } from "../diffusers/pipelineParts.ts";
import type { Image } from "../diffusers/tiles.ts";
import { writeAtomic } from "./atomic.ts";
import type { Context } from "./context.ts";
import { Interrupted } from "./failure.ts";
import { writeSafetensors } from "./files.ts";
import { formatSeconds } from "./format.ts";
import { openControlNet, openIpAdapter, openT2IAdapter } from "./generate/adapters.ts";
import { checkGeneratorMemory } from "./generate/cost.ts";
import { follower } from "./generate/follower.ts";
import { type Inputs, readInputs } from "./generate/inputs.ts";
import { openGenerator, outlineGenerator, samplerOfStudent } from "./generate/model.ts";
import { noiseOf, readNoise } from "./generate/noise.ts";
import type { GenerateOptionsGiven } from "./generate/options.ts";
import { fileOf, gridPng, picturePng, type Recipe } from "./generate/output.ts";
import { signed, unit } from "./generate/pictures.ts";
import { type ChosenSampler, chooseSampler } from "./generate/sampler.ts";
import { claimFile, samplesMark } from "./outputs.ts";

export interface GeneratedPicture {
  readonly file: string;
  readonly seed: number;
  readonly png: Uint8Array;
  /** The safety checker called it unsafe: it is black. */
  readonly unsafe: boolean;
}

/** The pictures of a request, written. Throws UsageError, Error or Interrupted, each one sentence. */
export async function generatePictures(o: GenerateOptionsGiven, context: Context): Promise<GeneratedPicture[]> {
  const seeds = Array.from({ length: o.n }, (_, i) => context.seed + i);
  const files = seeds.map((seed) => (o.n === 1 ? o.out : fileOf(o.out, seed)));
  const claims = await claimAll(o, files);
  const outline = await outlineGenerator(o);
  const chosen = await chooseSampler((await samplerOfStudent(o)) ?? outline.scheduler, o);
  const inputs = await readInputs(o, outline);
  const start = o.noise === undefined ? undefined : await readNoise(o.noise, outline, inputs, o.n);
  checkGeneratorMemory(outline, { ...o, ...inputs.size, guidance: chosen.guidance }, context);
  const { parts, extra } = await opened(o, outline, inputs, chosen.name, context);
  const running = pipeline(parts, context.runtime, o.precision);
  const line = context.report.progress(basename(resolve(o.model)));
  const made: GeneratedPicture[] = [];
  const kept: Kept = { pictures: [], latents: [], noise: [] };
  const began = performance.now();
  try {
    const follow = follower(o, running, line, seeds.length, context);
    for (let at = 0; at < o.n; at += o.batch) {
      const count = Math.min(o.batch, o.n - at);
      const noise = noiseOf(seeds[at], count, start, at, kept.noise);
      const result = await running.generate({
        ...settings(o, chosen, inputs),
        ...extra,
        ...{ pictures: count, noise, signal: context.signal, release: o.n <= o.batch },
        onProgress: (event) => follow.told(event, at, count),
      });
      await follow.settled();
      if (at === 0) sayDropped(result.dropped, o, context);
      kept.pictures.push(result.pictures);
      kept.latents.push(result.latents);
      for (let i = 0; i < count; i++) {
        const recipe = recipeOf(o, chosen, inputs, seeds[at + i], result.evaluations);
        const png = picturePng(pieceOf(result.pictures, i), { ...recipe, unsafe: result.unsafe[i] || undefined });
        await writeAtomic(claims.files[at + i], png);
        made.push({ file: files[at + i], seed: seeds[at + i], png, unsafe: result.unsafe[i] });
      }
    }
  } catch (error) {
    throw context.signal.aborted ? interrupted(made) : error;
  } finally {
    line.end();
    await running.dispose();
  }
  const recipe = recipeOf(o, chosen, inputs, context.seed, undefined);
  if (o.n > 1 && claims.grid) await writeAtomic(claims.grid, await gridPng(made, recipe));
  if (claims.save) await saveNumbers(claims.save, kept);
  sayMade(o, made, recipe, (performance.now() - began) / 1000, context);
  return made;
}

/** What all batches have in common. */
const settings = (o: GenerateOptionsGiven, chosen: ChosenSampler, { image, strength, size, sizes }: Inputs) =>
  ({
    prompt: o.prompt,
    negative: o.negative ?? null,
    ...(o.prompt2 === undefined ? {} : { prompt2: o.prompt2 }),
    ...(o.negative2 === undefined ? {} : { negative2: o.negative2 }),
    clipSkip: o.clipSkip,
    chunks: o.chunks,
    emphasis: o.emphasis,
    steps: chosen.steps,
    guidance: chosen.guidance,
    scheduler: chosen.config,
    ...(chosen.solver ? { solver: chosen.solver } : {}),
    ...size,
    ...(image ? { image: { picture: signed(image), strength } } : {}),
    ...(sizes ? { sizes } : {}),
    tiling: o.tiling,
  }) satisfies Partial<GenerateOptions>;

interface Claims {
  readonly files: readonly string[];
  readonly grid?: string;
  readonly save?: string;
}

async function claimAll(o: GenerateOptionsGiven, files: readonly string[]): Promise<Claims> {
  const png = (path: string, option: string) => claimFile(path, { option, kind: "png", force: o.force });
  const grid = await png(o.out, "--out");
  const claimed: string[] = [];
  for (const file of files) claimed.push(await png(file, "--out"));
  if (o.preview !== undefined) await png(o.preview, "--preview");
  const save =
    o.save === undefined
      ? undefined
      : await claimFile(o.save, { option: "--save", kind: "safetensors", force: o.force });
  return { files: claimed, grid, ...(save ? { save } : {}) };
}

/** Everything that is read or mapped: the model and the networks beside it. */
async function opened(
  o: GenerateOptionsGiven,
  outline: PipelineOutline,
  { controls, t2iImage }: Inputs,
  sampler: string,
  context: Context,
): Promise<{ readonly parts: PipelineParts; readonly extra: Partial<GenerateOptions> }> {
  let parts = await openGenerator(outline, o, sampler, context);
  let extra: Partial<GenerateOptions> = {};
  if (o.controlnet.length > 0) {
    const controlNets = [];
    for (const folder of o.controlnet) controlNets.push(await openControlNet(folder, parts.unet, context));
    parts = { ...parts, controlNets };
    extra = {
      ...extra,
      controls: controls.map((picture, k) => ({
        picture: unit(picture),
        scale: o.controlScale[k] ?? 1,
        guess: o.guess,
      })),
    };
  }
  if (o.t2iAdapter !== undefined && t2iImage) {
    parts = { ...parts, adapter: await openT2IAdapter(o.t2iAdapter, context) };
    extra = { ...extra, adapter: { picture: unit(t2iImage), scale: o.t2iScale } };
  }
  if (o.ipAdapter !== undefined) {
    const { images, params } = await openIpAdapter(o, parts.unet, context);
    parts = { ...parts, unet: { ...parts.unet, params } };
    extra = { ...extra, images: [{ ...images, scale: o.ipScale }] };
  }
  return { parts, extra };
}

interface Kept {
  readonly pictures: Image[];
  readonly latents: Image[];
  readonly noise: Float32Array[];
}

function sayDropped(dropped: readonly number[], o: GenerateOptionsGiven, { report }: Context): void {
  dropped.forEach((count, k) => {
    if (count > 0)
      report.note(
        `${count} tokens at the end of ${k === 0 ? "--prompt" : "--negative"} were cut off: it has more than ${75 * o.chunks}. To read them too: --chunks ${o.chunks + Math.ceil(count / 75)}.`,
      );
  });
}

const pieceOf = ({ shape, data }: Image, i: number): Image => {
  const size = data.length / shape[0];
  return { shape: [1, ...shape.slice(1)], data: data.subarray(i * size, (i + 1) * size) };
};

/** What the picture says of itself; unset options are left out by JSON. */
function recipeOf(
  o: GenerateOptionsGiven,
  chosen: ChosenSampler,
  { size, strength }: Inputs,
  seed: number,
  evaluations: number | undefined,
): Recipe {
  const some = <T>(list: readonly T[]) => (list.length > 0 ? list : undefined);
  return {
    ...{ prompt: o.prompt, negative: o.negative, prompt2: o.prompt2, negative2: o.negative2, seed },
    ...{ sampler: chosen.name, steps: chosen.steps, evaluations, guidance: chosen.guidance, ...size },
    model: basename(resolve(o.model)),
    scheduler: chosen.config,
    ...{ delta: o.delta, merge: o.delta === undefined ? undefined : o.merge, lora: some(o.lora) },
    embedding: some(o.embedding),
    ...(o.image === undefined ? {} : { image: o.image, strength, upscale: o.upscale }),
    ...{ controlnet: some(o.controlnet), control: some(o.control), controlScale: some(o.controlScale) },
    ...(o.t2iAdapter === undefined ? {} : { t2iAdapter: o.t2iAdapter, t2iImage: o.t2iImage, t2iScale: o.t2iScale }),
    ...(o.ipAdapter === undefined ? {} : { ipAdapter: o.ipAdapter, ipImage: o.ipImage, ipScale: o.ipScale }),
    ...{ clipSkip: o.clipSkip || undefined, emphasis: o.emphasis || undefined, noise: o.noise },
    chunks: o.chunks > 1 ? o.chunks : undefined,
  };
}

async function saveNumbers(file: string, { pictures, latents, noise }: Kept): Promise<void> {
  const joined = (list: readonly Float32Array[]): Float32Array => {
    const out = new Float32Array(list.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const one of list) {
      out.set(one, at);
      at += one.length;
    }
    return out;
  };
  const all = (images: readonly Image[]) => {
    const data = joined(images.map((image) => image.data));
    const [, ...shape] = images[0].shape;
    return { shape: [data.length / shape.reduce((a, b) => a * b, 1), ...shape], data };
  };
  const made = all(latents);
  const tensors = { pictures: all(pictures), latents: made, noise: { shape: made.shape, data: joined(noise) } };
  await writeSafetensors(file, tensors, samplesMark);
}

function interrupted(made: readonly GeneratedPicture[]): Interrupted {
  const kept = made.length === 0 ? "Nothing was written." : `${made.map(({ file }) => file).join(", ")} are there.`;
  return new Interrupted(`Interrupted. ${kept}`);
}

function sayMade(
  o: GenerateOptionsGiven,
  made: readonly GeneratedPicture[],
  recipe: Recipe,
  seconds: number,
  { report }: Context,
): void {
  const unsafe = made.filter((one) => one.unsafe);
  for (const { file } of unsafe)
    report.note(
      `${file} is black: the model's safety checker found what it was made to find. It errs; --no-safety leaves it out.`,
    );
  report.event({
    ...{ kind: "generated", out: o.out, files: made.map(({ file }) => file), seeds: made.map(({ seed }) => seed) },
    ...{ unsafe: unsafe.map(({ file }) => file), seconds, ...recipe },
  });
  const { width, height, sampler, steps, guidance, seed } = recipe;
  const several = made.length > 1 ? `${made.length} pictures (${made[0].file} … ${made.at(-1)?.file}), each ` : "";
  report.result(
    `${o.out}: ${several}${width} x ${height}, ${sampler}, ${steps} steps, guidance ${guidance}, seed ${seed}${made.length > 1 ? ` to ${seed + made.length - 1}` : ""}, ${formatSeconds(seconds)}.`,
  );
}
