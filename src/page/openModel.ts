// From a folder's files to a model: one of fewstep (also inside a run), a diffusers folder with a UNet2DModel, or one with an
// ONNX network.

import { listed } from "../core/show.ts";
import { parseJson } from "../data/json.ts";
import { readSafetensors } from "../data/safetensors.ts";
import { type FileSource, isVisible } from "../data/source.ts";
import { readFolder, readOnnxFolder } from "../diffusers/folder.ts";
import { sha256 } from "../hash.ts";
import { collect } from "../nn/network.ts";
import { WEIGHTS_FILE } from "../nn/onnxNetwork.ts";
import { flatten, type ParamMap } from "../nn/params.ts";
import { toParams } from "../nn/weights.ts";
import { externalFiles } from "../onnx/index.ts";
import type { Start } from "../recipes/recipe.ts";
import { startOf } from "../recipes/start.ts";
import { type BuiltModel, type Card, modelOf, parseCard, type SamplerSpec } from "../run/card.ts";
import { progressIn } from "../run/modelFile.ts";

export interface OpenedModel {
  /** What messages and cards call it. */
  readonly name: string;
  /** The model with its weights: to sample, to accelerate. */
  readonly start: Start;
  /** What it says of itself; models of diffusers have none. */
  readonly card?: Card;
  /** SHA-256 of the weights, as cards of its students name it. */
  readonly hash: string;
  /** What a user should know. */
  readonly notes: readonly string[];
}

/** Throws an Error, one sentence, for files that are no model, are damaged, or do not fit each other. */
export async function openModel(source: FileSource): Promise<OpenedModel> {
  const names = (await source.list()).filter(isVisible);
  const folderOf = (file: string) =>
    names
      .filter((name) => name === file || name.endsWith(`/${file}`))
      .map((name) => name.slice(0, name.length - file.length))
      .sort((a, b) => a.length - b.length)[0];
  const own = folderOf("card.json");
  if (own !== undefined) return openOwn(source, own, names);
  const scheduler = folderOf("scheduler/scheduler_config.json");
  if (scheduler !== undefined) return openDiffusers(source, scheduler, names);
  throw new Error(
    `${source.name} holds no model: expected card.json with ${WEIGHTS_FILE}, or a diffusers folder with scheduler/scheduler_config.json and unet/. It holds ${listed([...names].sort()) || "nothing"}.`,
  );
}

async function openOwn(source: FileSource, folder: string, names: readonly string[]): Promise<OpenedModel> {
  const at = (file: string) => `${source.name}/${folder}${file}`;
  const stored = parseCard(parseJson(await source.read(`${folder}card.json`), at("card.json")), at("card.json"));
  const { tensors, metadata } = readSafetensors(await source.read(folder + WEIGHTS_FILE), at(WEIGHTS_FILE));
  const card = { ...stored, ...progressIn(metadata) };
  const file = names.includes(`${folder}model.onnx`) ? await source.read(`${folder}model.onnx`) : undefined;
  const built = named(at("card.json"), () => modelOf(card, file));
  const opened = await weighed(built, toParams(tensors), card.sampler, at(WEIGHTS_FILE));
  // Inside a run it lies in model/.
  const name =
    folder
      .replace(/(^|\/)model\/$/, "$1")
      .split("/")
      .at(-2) ?? source.name;
  const notes =
    card.imagesSeen > 0 ? [] : [`${name} has seen no images yet: its weights are those that training begins with.`];
  return { ...opened, name, card, notes };
}

async function openDiffusers(source: FileSource, folder: string, names: readonly string[]): Promise<OpenedModel> {
  const name = `${source.name}/${folder}`.replace(/\/$/, "");
  const json = async (file: string) => parseJson(await source.read(folder + file), `${name}/${file}`);
  const has = (file: string) => names.includes(folder + file);
  if (names.some((file) => file.startsWith(`${folder}text_encoder`)))
    throw new Error(
      `${name} is a text-to-image model, whose weights are more than a page can hold. Use: fewstep generate ${name} --prompt "…"`,
    );
  const scheduler = await json("scheduler/scheduler_config.json");
  const part = ["unet", "transformer"].find((inside) => has(`${inside}/model.onnx`));
  if (part !== undefined) {
    const file = await source.read(`${folder}${part}/model.onnx`);
    const externalData = new Map<string, Uint8Array>();
    for (const location of named(`${name}/${part}/model.onnx`, () => [...externalFiles(file).keys()]))
      if (has(`${part}/${location}`)) externalData.set(location, await source.read(`${folder}${part}/${location}`));
    const config = has(`${part}/config.json`) ? await json(`${part}/config.json`) : {};
    const { params, notes, ...built } = readOnnxFolder({ name, part, file, externalData, config, scheduler });
    return { ...(await weighed(built, params, undefined, `${name}/${part}/model.onnx`)), name: source.name, notes };
  }
  const weights = "unet/diffusion_pytorch_model.safetensors";
  const missing = ["unet/config.json", weights].find((file) => !has(file));
  if (missing !== undefined)
    throw new Error(`${name} has no ${missing}: other kinds of networks and weights are not read in a page.`);
  const { tensors } = readSafetensors(await source.read(folder + weights), `${name}/${weights}`);
  const { params, notes, ...built } = readFolder({ name, unet: await json("unet/config.json"), scheduler, tensors });
  return { ...(await weighed(built, params, undefined, `${name}/${weights}`)), name: source.name, notes };
}

async function weighed(built: BuiltModel, params: ParamMap, sampler: SamplerSpec | undefined, file: string) {
  const spec = collect(built.network);
  const theta = named(file, () => flatten(spec, params));
  const broken = theta.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) throw new Error(`${file} holds ${theta[broken]} among its weights, so it is damaged. Get it again.`);
  const hash = await sha256(new Uint8Array(theta.buffer, theta.byteOffset, theta.byteLength));
  return { start: startOf({ ...built, spec, theta, ...(sampler ? { sampler } : {}) }), hash };
}

function named<T>(file: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new Error(`${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
