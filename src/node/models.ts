// Models on disk: a folder with card.json and model.safetensors, a run folder, or a folder of diffusers.
import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { type ClassFacts, withLabels, writtenLabel } from "../diffusers/classes.ts";
import { describeFolder, type FolderParts, readOnnxFolder } from "../diffusers/folder.ts";
import { checkWeights, modernIndex, openWeights, readParams } from "../diffusers/weights.ts";
import { sha256With } from "../hash.ts";
import { collect, type Network } from "../nn/network.ts";
import { WEIGHTS_FILE } from "../nn/onnxNetwork.ts";
import { flatten, fromConstants, type ParamMap, type ParamSpec, unflatten } from "../nn/params.ts";
import { toParams } from "../nn/weights.ts";
import type { Teacher } from "../recipes/recipe.ts";
import { type BuiltModel, type Card, modelOf, parseCard, type SamplerSpec } from "../run/card.ts";
import { modelReadme } from "../run/modelCard.ts";
import { progressIn, progressOf } from "../run/modelFile.ts";
import { nodeHasher } from "../runtime/node.ts";
import { makeFolder, writeAtomic } from "./atomic.ts";
import { isDiffusers, networkFile, readSchedulerOf } from "./diffusersFolder.ts";
import { isExact, loadExact } from "./exact.ts";
import { UsageError } from "./failure.ts";
import { openSafetensors, readJson, readSafetensors, writeJson, writeSafetensors } from "./files.ts";
import { folderSource } from "./folderSource.ts";
import { ONNX_FILE, readOnnx, writeOnnx } from "./onnxFiles.ts";

export interface LoadedModel extends BuiltModel {
  /** The folder with the weights. */
  readonly path: string;
  /** What tables call it. */
  readonly name: string;
  readonly kind: "fewstep" | "diffusers" | "exact";
  readonly spec: readonly ParamSpec[];
  readonly params: ParamMap;
  readonly theta: Float32Array;
  /** SHA-256 of the weights in the network's order. */
  readonly hash: string;
  readonly sampler: SamplerSpec;
  readonly card?: Card;
  readonly notes: readonly string[];
  /** What a diffusers folder's configuration writes of its null label. */
  readonly written?: unknown;
}

const cardFile = "card.json";
export const CARD_FILE = cardFile;

const weightsFile = WEIGHTS_FILE;

/** How a model is sampled that does not say. */
export const plainSampler: SamplerSpec = { solver: "ddim", grid: { kind: "uniform" }, steps: [50] };

export const asTeacher = ({ model, params }: LoadedModel): Teacher => ({ model, params: fromConstants(params) });

/** Also of "exact:<data>". Throws an Error, one sentence, for anything that is not a model or is damaged. */
export async function loadModel(path: string, facts: ClassFacts = {}): Promise<LoadedModel> {
  if (isExact(path)) return loadExact(path);
  const found = await locate(path);
  return found.kind === "diffusers" ? loadDiffusers(found.path, facts) : loadOwn(found.path, found.name);
}

export interface Located {
  readonly kind: "fewstep" | "diffusers";
  readonly path: string;
  readonly name: string;
}

/** A model's folder from what a user names: itself, its run, or a folder of runs (of which the newest is taken). */
export async function locate(path: string): Promise<Located> {
  const info = await stat(path).catch(() => undefined);
  if (!info) throw new Error(`${path} does not exist, expected a folder with a model.`);
  if (!info.isDirectory()) throw new Error(`${path} is a file, expected the folder of a model.`);
  const name = basename(resolve(path));
  if (await exists(join(path, cardFile))) return { kind: "fewstep", path, name };
  if (await exists(join(path, "model", cardFile))) return { kind: "fewstep", path: join(path, "model"), name };
  if (await isDiffusers(path)) return { kind: "diffusers", path, name };
  const newest = await newestRun(path, DEPTH);
  if (newest) return newest;
  throw new Error(
    `${path} holds no model: expected card.json with model.safetensors, a run folder, or a diffusers folder with unet/config.json or unet/model.onnx.`,
  );
}

/** Throws UsageError for a model that is told texts: what works on samples and classes alone has none to tell. */
export function checkUntold({ model, name, card }: Pick<LoadedModel, "model" | "name" | "card">): void {
  const told = Object.entries(model.conditions).find(([key, c]) => c.given === "data" && key !== "labels");
  if (told)
    throw new UsageError(
      card
        ? `${name} is a text-to-image student: make it a folder with fewstep export <run> --to diffusers, and draw pictures with fewstep generate.`
        : `${name} is told "${told[0]}" with every sample, which is not given here.`,
    );
}

/** Levels of folders in which runs are looked for: runs/demo/00000-perflow. */
const DEPTH = 2;

/** The run with the highest number that has a model; in the folders below, the newest of all, only where there is none here. */
async function newestRun(path: string, depth: number): Promise<(Located & { readonly time: number }) | undefined> {
  const entries = (await readdir(path, { withFileTypes: true })).filter((entry) => !entry.isFile());
  const runs = entries.map(({ name }) => name).filter((name) => /^\d{5,}-/.test(name));
  for (const name of runs.sort((a, b) => number(b) - number(a))) {
    const model = join(path, name, "model");
    const info = await stat(join(model, cardFile)).catch(() => undefined);
    if (info) return { kind: "fewstep", path: model, name, time: info.mtimeMs };
  }
  if (depth === 0 || runs.length > 0) return undefined;
  const below = await Promise.all(
    entries.map(({ name }) => newestRun(join(path, name), depth - 1).catch(() => undefined)),
  );
  return below.filter((run) => run !== undefined).sort((a, b) => b.time - a.time)[0];
}

const number = (run: string) => Number.parseInt(run, 10);
const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

/** What a model is, without its weights. */
export type OutlinedModel = Omit<LoadedModel, "params" | "theta" | "hash">;

/** As `loadModel`, but of a model of fewstep only headers are read. Throws an Error where a tensor is missing or of another shape. */
export async function outlineModel(path: string): Promise<OutlinedModel> {
  if (isExact(path)) return loadExact(path);
  const found = await locate(path);
  if (found.kind === "diffusers") return loadDiffusers(found.path);
  const weights = join(found.path, weightsFile);
  const { entries, metadata, close } = await openSafetensors(weights);
  await close();
  const { built, ...rest } = await described(found.path, found.name, metadata);
  const spec = collect(built.network);
  for (const { name, shape } of spec) {
    const stored = entries.get(name)?.shape;
    if (stored?.join() !== shape.join())
      throw new Error(
        `${weights} has ${stored ? `"${name}" of [${stored.join(", ")}]` : `no tensor "${name}"`}, expected [${shape.join(", ")}].`,
      );
  }
  return { ...built, spec, ...rest };
}

async function loadOwn(path: string, name: string): Promise<LoadedModel> {
  const { tensors, metadata } = await readSafetensors(join(path, weightsFile));
  const { built, ...rest } = await described(path, name, metadata);
  return { ...built, ...(await weighed(built, toParams(tensors), join(path, weightsFile))), ...rest };
}

/** By its card, and what the weights' metadata say. */
async function described(path: string, name: string, metadata: Readonly<Record<string, string>>) {
  const file = join(path, cardFile);
  const stored = parseCard(await readJson(file), file);
  const card = { ...stored, ...progressIn(metadata) };
  const onnx = card.network.family === "onnx" ? await readOnnx(join(path, ONNX_FILE), [weightsFile]) : undefined;
  const built = inFile(file, () => modelOf(card, onnx?.file));
  return {
    built,
    path,
    name,
    kind: "fewstep" as const,
    sampler: card.sampler,
    card,
    notes: untrained(name, card),
  };
}

const untrained = (name: string, { imagesSeen }: Card): string[] =>
  imagesSeen > 0 ? [] : [`${name} has seen no images yet: its weights are those that training begins with.`];

async function loadDiffusers(path: string, facts: ClassFacts = {}): Promise<LoadedModel> {
  const found = await networkFile(path);
  const scheduler = await readSchedulerOf(path);
  const config = join(path, found.part, "config.json");
  const { params, notes, ...built } =
    found.kind === "onnx"
      ? readOnnxFolder({
          ...(await readOnnx(found.file)),
          name: path,
          part: found.part,
          config: (await exists(config)) ? await readJson(config) : {},
          scheduler,
          facts,
        })
      : await readUNet({ name: path, unet: await readJson(config), scheduler, facts });
  const rest = await weighed(built, params, found.file);
  const written = writtenLabel((await exists(config)) ? await readJson(config) : {});
  const name = basename(resolve(path));
  const loaded = { ...built, ...rest, path, name, kind: "diffusers", sampler: plainSampler, notes, written } as const;
  return withClasses(loaded, facts);
}

/**
 * The same model with its classes as these facts tell; models of fewstep know theirs. Throws an Error where they contradict
 * each other.
 */
export const withClasses = <M extends LoadedModel>(loaded: M, facts: ClassFacts): M =>
  loaded.kind === "diffusers" ? withLabels(loaded, { ...facts, written: loaded.written }, loaded.name) : loaded;

/** What the configurations refuse is refused before the weights are read; those then one tensor after the other. */
async function readUNet(parts: Omit<FolderParts, "tensors">) {
  const described = describeFolder(parts);
  const index = modernIndex(await openWeights(folderSource(parts.name), "unet"));
  checkWeights(collect(described.network), index);
  return { ...described, params: await readParams(index) };
}

async function weighed({ network }: BuiltModel, params: ParamMap, file: string) {
  const spec = collect(network);
  const theta = inFile(file, () => flatten(spec, params));
  const broken = theta.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) throw new Error(`${file} holds ${theta[broken]} among its weights, so it is damaged. Get it again.`);
  const hash = await sha256With(nodeHasher, new Uint8Array(theta.buffer, theta.byteOffset, theta.byteLength));
  return { spec, params, theta, hash };
}

function inFile<T>(file: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new Error(`${file}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/**
 * Writes weights, then (for an imported network) its model.onnx, then card. Between the two a crash leaves new weights with the card of the last save, which differ only
 * in how far training had come: the weights carry those two numbers themselves, and they win.
 */
export async function saveModel(
  folder: string,
  card: Card,
  spec: readonly ParamSpec[],
  theta: Float32Array,
  network: Network,
): Promise<void> {
  await makeFolder(folder);
  await writeSafetensors(join(folder, weightsFile), unflatten(spec, theta), progressOf(card));
  if (network.family === "onnx") await writeOnnx(join(folder, ONNX_FILE), join(folder, weightsFile), network.file);
  await writeJson(join(folder, cardFile), card);
  await writeAtomic(join(folder, "README.md"), modelReadme(card));
}
