// A Stable Diffusion folder as a teacher: its U-Net on latents, told texts; data, pairs and pictures through its other parts.
import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import type { Dataset } from "../data/dataset.ts";
import type { TensorIndex } from "../data/tensorIndex.ts";
import { toPictures } from "../diffusers/latents.ts";
import { loadPipeline, type PipelineOutline } from "../diffusers/pipelineOutline.ts";
import { factorOf, type PipelineParts } from "../diffusers/pipelineParts.ts";
import { readScheduler } from "../diffusers/scheduler.ts";
import { type Sessions, sessions } from "../diffusers/sessions.ts";
import { textConditions } from "../diffusers/textConditions.ts";
import { sha256 } from "../hash.ts";
import { networkModel } from "../model.ts";
import { buildNetwork, collect, type Network, withNone } from "../nn/network.ts";
import { flatten, type ParamArray, type ParamSpec } from "../nn/params.ts";
import type { Key } from "../random.ts";
import { type LowRankOptions, lowRankStart } from "../recipes/lowRankStart.ts";
import type { Start } from "../recipes/recipe.ts";
import type { CondValues } from "../run/sample.ts";
import { type BaseWeights, floats, weightsHash } from "./baseWeights.ts";
import type { Context } from "./context.ts";
import { hashOf } from "./delta/open.ts";
import { type EncodeOptions, type Encoders, encodedData, resolutionOf } from "./encodedData.ts";
import { UsageError, usage } from "./failure.ts";
import { readJson } from "./files.ts";
import { loader, nothingMerged, outlineGenerator } from "./generate/model.ts";
import { type LoadedModel, plainSampler } from "./models.ts";
import type { ShownLatents } from "./previews.ts";

export interface TextTeacher {
  readonly loaded: LoadedModel;
  readonly start: Start;
  readonly base: BaseWeights;
  /** Pictures with captions, encoded. Throws as `encodedData`. */
  openData(path: string): Promise<Dataset>;
  /** How pictures of these prompts are drawn. */
  shown(prompts: readonly string[]): Promise<ShownLatents>;
  dispose(): Promise<void>;
}

export interface TextTeacherOptions {
  readonly path: string;
  readonly variant?: string;
  /** Pixels of the pictures' sides; default what the U-Net was made for. */
  readonly resolution?: number;
  readonly cache: string;
  /** Only a change of this rank is trained. */
  readonly lowRank?: LowRankOptions;
  readonly seed: Key;
}

/** Whether a folder holds a U-Net that is told texts: from its configuration alone. */
export async function isTextFolder(path: string): Promise<boolean> {
  const config = join(path, "unet", "config.json");
  if (!(await stat(config).catch(() => undefined))?.isFile()) return false;
  const parsed: unknown = await readJson(config).catch(() => undefined);
  return Object(parsed)._class_name === "UNet2DConditionModel";
}

/** Throws an Error, one sentence, for a folder whose parts are missing or do not fit each other, before weights are read. */
export async function openTextTeacher(o: TextTeacherOptions, context: Context): Promise<TextTeacher> {
  const outline = await outlineGenerator({
    model: o.path,
    variant: o.variant,
    base: undefined,
    safety: false,
    vae: undefined,
  });
  const { form, prediction, steps, notes } = readScheduler(
    outline.scheduler,
    `${o.path}/scheduler/scheduler_config.json`,
  );
  const parts = await loadPipeline(outline, loader(nothingMerged, context));
  const open = sessions(context.runtime);
  const network = await networkOf(parts, open, o.resolution);
  const { sampleShape } = network;
  const resolution = o.resolution ?? resolutionOf(parts, sampleShape);
  const timeInput = { scale: steps, offset: -1 };
  const model = networkModel(network, form, prediction, timeInput);
  const spec = collect(network);
  const { weights } = outline.unet;
  const base: BaseWeights = { spec, read: (name) => floats(weights, name) };
  const plain = { model, network, timeInput, sampler: plainSampler };
  const start: Start = o.lowRank
    ? usage(() => lowRankStart(plain, spec, parts.unet.params, o.lowRank!, o.seed))
    : { ...plain, spec, theta: flatten(spec, await arrays(weights, spec)), params: parts.unet.params };
  const loaded: LoadedModel = {
    ...{ network: start.network, model: start.model, timeInput, spec: start.spec, theta: start.theta, notes },
    ...{ path: o.path, name: basename(resolve(o.path)), kind: "diffusers", params: new Map(), sampler: plainSampler },
    hash: await weightsHash(base),
  };
  const encoders: Encoders = { parts, sessions: open, identity: await encoderIdentity(outline), sampleShape };
  const encode: Omit<EncodeOptions, "path"> = { resolution, cache: o.cache };
  return {
    loaded,
    start,
    base,
    openData: (path) => encodedData(encoders, { ...encode, path }, context),
    shown: (prompts) => shownLatents(encoders, prompts, resolution),
    dispose: () => open.end(""),
  };
}

/** The U-Net as a network, with the empty text (SDXL: zeros, if the folder says so) where nothing is given. */
async function networkOf(parts: PipelineParts, open: Sessions, resolution: number | undefined): Promise<Network> {
  const { config } = parts.unet;
  const factor = factorOf(parts.vae);
  const levels = 2 ** (config.block_out_channels.length - 1);
  if (resolution !== undefined && resolution % (factor * levels) !== 0)
    throw new UsageError(`--resolution is ${resolution}, expected a multiple of ${factor * levels} for this model.`);
  const sample_size = resolution === undefined ? config.sample_size : resolution / factor;
  const { context, pooled } = await textConditions(open, parts, [null], {});
  await open.end("text");
  const sized = { ...config, sample_size, text_tokens: context.shape[1] };
  const network = buildNetwork({ family: "unet2d-condition", config: sized });
  return withNone(network, { text: context.data, ...(pooled ? { pooled: pooled.data } : {}) });
}

async function arrays(index: TensorIndex, spec: readonly ParamSpec[]): Promise<Map<string, ParamArray>> {
  const found = new Map<string, ParamArray>();
  for (const { name, shape } of spec) {
    const data = await floats(index, name);
    const broken = data.findIndex((value) => !Number.isFinite(value));
    if (broken >= 0)
      throw new Error(`${index.name} holds ${data[broken]} in "${name}", so it is damaged. Get it again.`);
    found.set(name, { shape, data });
  }
  return found;
}

/** What encoded data depend on: weights and configurations, and how prompts are read. */
async function encoderIdentity({ vae, text, zerosForEmptyPrompt }: PipelineOutline): Promise<Encoders["identity"]> {
  const of = async (...values: unknown[]) => sha256(new TextEncoder().encode(JSON.stringify(values)));
  const texts: unknown[] = [zerosForEmptyPrompt];
  for (const { config, weights, tokenizer } of text) {
    const { name, ...words } = tokenizer;
    texts.push(config, await hashOf(weights), await of(words));
  }
  return { vae: await of(vae.config, await hashOf(vae.weights)), text: await of(texts) };
}

async function shownLatents(
  { parts, sessions: open, sampleShape }: Encoders,
  prompts: readonly string[],
  resolution: number,
): Promise<ShownLatents> {
  const { context, pooled } = await textConditions(open, parts, prompts, {});
  await open.end("text");
  const times = [resolution, resolution, 0, 0, resolution, resolution];
  const all: Record<string, Float32Array> = {
    text: context.data,
    ...(pooled ? { pooled: pooled.data, timeIds: Float32Array.from(prompts.flatMap(() => times)) } : {}),
  };
  return {
    n: prompts.length,
    cond: (from, count) => repeatedRows(all, prompts.length, from, count),
    async decode(x) {
      const latents = { shape: [prompts.length, ...sampleShape], data: x };
      const { data, shape } = await toPictures(open, parts.vae, latents, { slicing: true });
      await open.end("vae.decode");
      return { x: data, shape: shape.slice(1) };
    },
  };
}

/** Rows from … from + count − 1 of columns that are gone through again and again. */
export function repeatedRows(
  columns: Readonly<Record<string, Float32Array>>,
  n: number,
  from: number,
  count: number,
): CondValues {
  return Object.fromEntries(
    Object.entries(columns).map(([name, all]) => {
      const size = all.length / n;
      const out = new Float32Array(count * size);
      for (let i = 0; i < count; i++) {
        const row = (from + i) % n;
        out.set(all.subarray(row * size, (row + 1) * size), i * size);
      }
      return [name, out];
    }),
  );
}
