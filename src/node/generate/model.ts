// What `fewstep generate` opens: a folder or a single file, with deltas, LoRAs and new words merged when it is loaded.
import { stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { indexFile, someOf, type TensorIndex } from "../../data/tensorIndex.ts";
import { type Changes, deltaChanges, joinChanges, loraChanges } from "../../diffusers/changes.ts";
import { fitText } from "../../diffusers/delta.ts";
import { readLora } from "../../diffusers/lora.ts";
import { readPipelineFiles } from "../../diffusers/pipelineFolder.ts";
import {
  type LoadParams,
  loadPipeline,
  outlinePipeline,
  type PartOutline,
  type PipelineOutline,
  replaceVae,
  tokenizerOf,
} from "../../diffusers/pipelineOutline.ts";
import type { PipelineParts, TextPart } from "../../diffusers/pipelineParts.ts";
import type { Change } from "../../diffusers/rewrite.ts";
import type { SchedulerConfig } from "../../diffusers/schedulers/index.ts";
import { isSingleFile, type Part, splitSingleFile } from "../../diffusers/singleFile.ts";
import { readTextualInversions, type TextualInversion, withInversions } from "../../diffusers/textualInversion.ts";
import { modernIndex, openWeights, readParams } from "../../diffusers/weights.ts";
import { fromConstants, type ParamArray } from "../../nn/params.ts";
import { type Card, parseCard } from "../../run/card.ts";
import type { Context } from "../context.ts";
import { hashOf, notesOf, openLora } from "../delta/open.ts";
import { isDiffusers } from "../diffusersFolder.ts";
import { externalParams } from "../externalWeights.ts";
import { UsageError } from "../failure.ts";
import { readJson } from "../files.ts";
import { folderSource } from "../folderSource.ts";
import { CARD_FILE, locate } from "../models.ts";
import { openModelWeights, unetOf } from "../modelWeights.ts";
import { readRegular } from "../regular.ts";
import { isTextCard, labelChanges, studentOf } from "../textStudent.ts";
import type { GenerateOptionsGiven } from "./options.ts";

type Asked = Pick<GenerateOptionsGiven, "model" | "variant" | "base" | "safety" | "vae">;

/** From headers alone. Throws an Error, one sentence, for everything that does not fit, UsageError for a missing --base. */
export async function outlineGenerator(o: Asked): Promise<PipelineOutline> {
  const info = await stat(o.model).catch(() => undefined);
  if (!info) throw new Error(`${o.model} does not exist, expected a diffusers folder or a .safetensors checkpoint.`);
  const outline = outlinePipeline(info.isDirectory() ? await folderFiles(o) : await singleFiles(o));
  return o.vae === undefined ? outline : withVae(outline, o.vae);
}

async function folderFiles({ model, variant, safety }: Asked) {
  const own = (await isDiffusers(model)) ? undefined : await locate(model).catch(() => undefined);
  if (own?.kind === "fewstep") {
    const file = join(own.path, CARD_FILE);
    throw new Error(
      isTextCard(parseCard(await readJson(file), file))
        ? `${model} is a student without text encoder and VAE. Make it a whole folder with: fewstep export ${model} --to diffusers --out student.`
        : `${model} is a model of fewstep without prompts. Draw its samples with: fewstep sample.`,
    );
  }
  return readPipelineFiles(folderSource(model), { variant, safety });
}

async function singleFiles({ model, base, variant, safety }: Asked) {
  if (!model.endsWith(".safetensors"))
    throw new Error(`${model} is no .safetensors file. Convert it first, or give the folder of a model.`);
  const index = { ...(await indexFile(folderSource(dirname(model)), basename(model))), name: model };
  if (!isSingleFile(index))
    throw new Error(
      `${model} is no whole checkpoint: it has no tensor "model.diffusion_model.…". A delta goes to --delta, a LoRA to --lora.`,
    );
  if (base === undefined)
    throw new UsageError(
      `${model} is a single file, which has no tokenizer and no configurations: give a diffusers folder of that kind with --base.`,
    );
  return readPipelineFiles(folderSource(base), { variant, safety, weights: splitSingleFile(index).parts });
}

async function withVae(outline: PipelineOutline, folder: string): Promise<PipelineOutline> {
  const part = {
    name: folder,
    config: await readJson(join(folder, "config.json")),
    weights: modernIndex(await openWeights(folderSource(folder), "")),
  };
  return replaceVae(outline, part);
}

/** "file:0.7" as a path and a scale. */
export function scaled(text: string, option: string): { readonly path: string; readonly scale: number } {
  const found = /^(.+):([+-]?[\d.]+(?:e[+-]?\d+)?)$/i.exec(text);
  if (!found) return { path: text, scale: 1 };
  const scale = Number(found[2]);
  if (!(Math.abs(scale) <= 100))
    throw new UsageError(`${option} ${text} has the scale ${found[2]}: expected a number from -100 to 100.`);
  return { path: found[1], scale };
}

/** Changes of weights, and what says that they are the same as those of another run. */
interface Merged {
  readonly changes: Changes;
  readonly key: string;
}

async function mergesOf(
  outline: PipelineOutline,
  { delta, lora, merge, variant }: Pick<GenerateOptionsGiven, "delta" | "lora" | "merge" | "variant">,
  perflow: boolean,
  { report }: Context,
): Promise<Merged> {
  const lists: Changes[] = [];
  const keys: unknown[] = [];
  const cards: Card[] = [];
  if (delta !== undefined) {
    const { path, scale } = scaled(delta, "--delta");
    const opened = await openModelWeights(path).catch((error: unknown) => {
      if (variant === undefined) throw error;
      return openModelWeights(path, variant);
    });
    const index = { ...unetOf(opened), name: path };
    const base = { ...outline.unet.weights, name: outline.name };
    const { changes, fit } = deltaChanges(base, index, { scale, rule: merge });
    for (const line of fitText(fit)) report.note(`${path}: ${line}.`);
    const { base: from, card } = notesOf(index);
    if (from !== undefined && from !== (await hashOf(outline.unet.weights)))
      report.note(`${path} was extracted from another base: the result is like its student, and is not it.`);
    lists.push(changes);
    keys.push(["delta", scale, merge, await stateOf(index)]);
    if (card) cards.push(card);
  }
  const parts = new Map<Part, TensorIndex>([["unet", outline.unet.weights]]);
  outline.text.forEach(({ weights }, k) => {
    parts.set(k === 0 ? "text_encoder" : "text_encoder_2", weights);
  });
  for (const text of lora) {
    const { path, scale } = scaled(text, "--lora");
    const index = await openLora(path);
    const modules = await readLora(index);
    const { changes, unmatched } = loraChanges(parts, modules, scale, path);
    if (unmatched.length > 0)
      report.note(
        `${path}: ${unmatched.length} of ${modules.length} modules fit no weight and are left out: ${someOf(unmatched)}.`,
      );
    lists.push(changes);
    keys.push(["lora", scale, await stateOf(index)]);
    const { card } = notesOf(index);
    if (card) cards.push(card);
  }
  const student = cards.find(isTextCard);
  if (student) {
    // PeRFlow's scheduler tells other times than those that our students learn with.
    const by = perflow ? student.timeInput.offset : 0;
    lists.push(labelChanges(student, by));
    keys.push(["labels", by]);
  }
  return { changes: joinChanges(lists), key: JSON.stringify(keys) };
}

/** Files, their sizes and times. */
async function stateOf({ source, tensors }: TensorIndex): Promise<unknown> {
  const files = [...new Set([...tensors.values()].map(({ file }) => file))].sort();
  return Promise.all(
    files.map(async (file) => {
      const path = resolve(source.name, file);
      const { size, mtimeMs } = await stat(path);
      return [path, size, mtimeMs];
    }),
  );
}

/** Weights under this are read; larger ones stay in their file, or go to one of the cache. */
const SMALL = 2 ** 26;

const bytesOf = ({ tensors }: TensorIndex): number =>
  [...tensors.values()].reduce((sum, { start, end }) => sum + end - start, 0);

/** Only what the network asks for: old files carry more. */
const wantedOf = ({ spec, weights }: PartOutline<unknown>): TensorIndex => {
  const names = new Set(spec.map(({ name }) => name));
  return { ...weights, tensors: new Map([...weights.tensors].filter(([name]) => names.has(name))) };
};

async function changedParams(index: TensorIndex, changes: ReadonlyMap<string, Change>) {
  const params = await readParams(index);
  for (const [name, change] of changes) {
    const array = params.get(name);
    if (array) params.set(name, { ...array, data: await change(array.data) });
  }
  return params;
}

/** How the parts of a model are loaded: small ones into memory, large ones as they lie in their files. */
export function loader({ changes, key }: Merged, { report }: Pick<Context, "report">): LoadParams {
  return async (part, name) => {
    const index = wantedOf(part);
    const own = (name === "vae" || name === "safety_checker" ? undefined : changes.get(name)) ?? new Map();
    if (bytesOf(index) <= SMALL) return fromConstants(await changedParams(index, own));
    const plain = [...index.tensors.values()].every(({ dtype }) => dtype === "F32") && own.size === 0;
    if (!plain) report.note(`${part.name}: as float32 in the cache, which takes a while the first time.`);
    const { params } = await externalParams(index, undefined, { changes: own, key: own.size > 0 ? key : "" });
    return params;
  };
}

export const nothingMerged: Merged = { changes: new Map(), key: "" };

/** How a student is sampled whose delta or LoRA is added, where that says so. */
export async function samplerOfStudent({
  delta,
  lora,
}: Pick<GenerateOptionsGiven, "delta" | "lora">): Promise<SchedulerConfig | undefined> {
  const files = [
    ...(delta === undefined ? [] : [scaled(delta, "--delta").path]),
    ...lora.map((text) => scaled(text, "--lora").path),
  ];
  for (const path of files) {
    if (!(await stat(path).catch(() => undefined))?.isFile()) continue;
    const { card } = notesOf(await openLora(path));
    if (card && isTextCard(card)) return studentOf(card, path).scheduler;
  }
  return undefined;
}

/** The parts of a pipeline with everything merged. Throws an Error for what does not fit, before weights are read. */
export async function openGenerator(
  outline: PipelineOutline,
  o: Pick<GenerateOptionsGiven, "delta" | "lora" | "merge" | "variant" | "embedding">,
  sampler: string,
  context: Context,
): Promise<PipelineParts> {
  const merged = await mergesOf(outline, o, sampler === "perflow", context);
  const text = o.embedding.length === 0 ? undefined : await textWithWords(outline, o.embedding, merged);
  return loadPipeline(outline, loader(merged, context), text);
}

async function textWithWords(
  outline: PipelineOutline,
  embedding: readonly string[],
  { changes }: Merged,
): Promise<PipelineParts["text"]> {
  const words: TextualInversion[][] = outline.text.map(() => []);
  for (const text of embedding) {
    const [, token, path] = /^(?:([^=/\\]+)=)?(.+)$/.exec(text) ?? ["", undefined, text];
    const bytes = await readRegular(path, LARGEST_INVERSION);
    readTextualInversions(bytes, path, outline.text.length === 2 ? 2 : 1, token).forEach((one, k) => {
      words[k].push(one);
    });
  }
  const parts: TextPart[] = [];
  for (const [k, one] of outline.text.entries()) {
    const params: ReadonlyMap<string, ParamArray> = await changedParams(
      wantedOf(one),
      changes.get(k === 0 ? "text_encoder" : "text_encoder_2") ?? new Map(),
    );
    const grown = withInversions(tokenizerOf(one), { config: one.config, params }, words[k]);
    parts.push({ config: grown.config, params: fromConstants(grown.params), tokenizer: grown.tokenizer });
  }
  return parts.length === 2 ? [parts[0], parts[1]] : [parts[0]];
}

const LARGEST_INVERSION = 2 ** 26;
