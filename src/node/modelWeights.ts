// The weights of whatever a user names: a model of fewstep, a run, a diffusers folder, one part of it, a single file; read
// from headers, and written again with other values.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import type { LazyTensor } from "../data/safetensors.ts";
import { indexFile, type TensorIndex } from "../data/tensorIndex.ts";
import { type Change, rewritten } from "../diffusers/rewrite.ts";
import { isSingleFile, type Part, splitSingleFile } from "../diffusers/singleFile.ts";
import { modernIndex, openWeights, weightsAmong } from "../diffusers/weights.ts";
import { makeFolder, writeAtomic } from "./atomic.ts";
import { isDiffusers } from "./diffusersFolder.ts";
import { folderSource } from "./folderSource.ts";
import { locate } from "./models.ts";

export interface ModelWeights {
  /** own: card.json and model.safetensors. folder: a diffusers folder. part: one of its parts. file: a .safetensors file. */
  readonly kind: "own" | "folder" | "part" | "file";
  /** The folder with the weights, or the file. */
  readonly path: string;
  readonly name: string;
  /** Under present names. A model of one part has it as "unet". */
  readonly parts: ReadonlyMap<Part, TensorIndex>;
}

const partFolders: readonly Part[] = ["unet", "vae", "text_encoder", "text_encoder_2"];

/** Opens headers only. Throws an Error that says what is there and what was expected. */
export async function openModelWeights(path: string, variant?: string): Promise<ModelWeights> {
  const name = basename(resolve(path));
  const info = await stat(path).catch(() => undefined);
  if (!info) throw new Error(`${path} does not exist, expected a model, a diffusers folder or a .safetensors file.`);
  if (info.isFile()) {
    if (!path.endsWith(".safetensors"))
      throw new Error(`${path} is no .safetensors file. Convert it first, or give the folder of a model.`);
    const index = { ...(await indexFile(folderSource(dirname(path)), basename(path))), name: path };
    const parts = isSingleFile(index) ? splitSingleFile(index).parts : new Map([["unet" as const, plain(index)]]);
    return { kind: "file", path, name, parts };
  }
  if (weightsAmong(await readdir(path)).length > 0 && !(await has(join(path, "card.json"))))
    return {
      kind: "part",
      path,
      name,
      parts: new Map([["unet", plain(await openWeights(folderSource(path), "", variant))]]),
    };
  if (await isDiffusers(path)) {
    const parts = new Map<Part, TensorIndex>();
    for (const part of partFolders) {
      const names = await readdir(join(path, part)).catch(() => []);
      if (part === "unet" || weightsAmong(names).length > 0)
        parts.set(part, plain(await openWeights(folderSource(path), part, variant)));
    }
    return { kind: "folder", path, name, parts };
  }
  const found = await locate(path);
  const index = await openWeights(folderSource(found.path), "");
  return { kind: "own", path: found.path, name: found.name, parts: new Map([["unet", plain(index)]]) };
}

/** Present names, without the prefix that some files put before all of them. */
function plain(index: TensorIndex): TensorIndex {
  const modern = modernIndex(index);
  const all = [...modern.tensors];
  return all.length > 0 && all.every(([name]) => name.startsWith("unet."))
    ? { ...modern, tensors: new Map(all.map(([name, place]) => [name.slice(5), place])) }
    : modern;
}

/** The part that deltas are of. */
export function unetOf({ parts, path }: ModelWeights): TensorIndex {
  const unet = parts.get("unet");
  if (!unet) throw new Error(`${path} has no U-Net.`);
  return unet;
}

const has = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

export interface WriteOptions {
  /** Called with each file of weights that is made. */
  progress?(file: string): void;
  /** Other files of a folder: the name in it, and what it becomes a copy of, or its bytes. */
  readonly replaced?: ReadonlyMap<string, string | Uint8Array>;
  /** Tensors that the U-Net did not have. */
  readonly added?: readonly LazyTensor[];
}

/**
 * Writes the model to `out` with these changes: a file to a file, a folder to a folder that does not exist yet. Everything
 * else in it is copied; names, shapes and types stay. Where all of a folder's U-Net is new, other files with its old weights
 * (a variant, a checkpoint beside the folders) are left out. A folder appears complete or not at all.
 */
export async function writeChanged(
  model: ModelWeights,
  out: string,
  changes: ReadonlyMap<Part, ReadonlyMap<string, Change>>,
  { progress, replaced = new Map(), added = [] }: WriteOptions = {},
): Promise<void> {
  const written = new Map<string, [views: TensorIndex, changes: ReadonlyMap<string, Change>][]>();
  for (const [part, index] of model.parts) {
    const ofPart = changes.get(part);
    for (const file of ofPart
      ? new Set([...index.tensors].flatMap(([name, p]) => (ofPart.has(name) ? [p.file] : [])))
      : [])
      written.set(file, [...(written.get(file) ?? []), [index, ofPart!]]);
  }
  const unet = unetOf(model);
  const { source } = unet;
  const first = [...unet.tensors.values()].find(({ file }) => written.has(file))?.file;
  const write = async (file: string, to: string) => {
    progress?.(file);
    const views = written.get(file)!;
    // Parts of a single file have no names in common with each other once the part is put before them.
    const tensors = new Map(
      views.flatMap(([v], i) => [...v.tensors].map(([name, place]) => [`${i} ${name}`, place] as const)),
    );
    const all = new Map(views.flatMap(([, c], i) => [...c].map(([name, change]) => [`${i} ${name}`, change] as const)));
    const more = file === first ? added : [];
    await writeAtomic(to, rewritten(await indexFile(source, file), { ...views[0][0], tensors }, all, more));
  };
  if (model.kind === "file") {
    if (await has(out)) throw new Error(`${out} exists. Give --out another name.`);
    return write(basename(model.path), out);
  }
  if (await has(out)) throw new Error(`${out} exists, and nothing in it is overwritten. Give --out another folder.`);
  await makeFolder(dirname(resolve(out)));
  const temporary = join(dirname(resolve(out)), `.${basename(out)}.${process.pid}.tmp`);
  try {
    const names = (await source.list()).filter((file) => !file.split("/").some((piece) => piece.startsWith(".")));
    const stale = changes.get("unet")?.size === unet.tensors.size ? staleWeights(names, new Set(written.keys())) : [];
    for (const file of new Set([...names, ...replaced.keys()])) {
      if (stale.includes(file)) continue;
      const instead = replaced.get(file);
      const to = join(temporary, file);
      await mkdir(dirname(to), { recursive: true });
      if (written.has(file)) await write(file, to);
      else if (instead instanceof Uint8Array) await writeFile(to, instead);
      else if (added.length > 0 && isIndex(file))
        await writeFile(to, await withAdded(join(model.path, file), added, first));
      else await pipeline(createReadStream(instead ?? join(model.path, file)), createWriteStream(to));
    }
    await rename(temporary, out);
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true });
    throw cause;
  }
}

const isIndex = (file: string): boolean => /^unet\/[^/]+\.index(\.\w+)?\.json$/.test(file);

/** Of a folder's files those with weights of the U-Net, or a whole checkpoint, that are none of these. */
function staleWeights(names: readonly string[], written: ReadonlySet<string>): readonly string[] {
  const kept = (index: string) => {
    const [, stem, variant = ""] = /^(.+)\.(?:safetensors|bin)\.index(\.\w+)?\.json$/.exec(index) ?? [];
    return [...written].some((file) => file.startsWith(`${stem}${variant}-`));
  };
  return names.filter((file) =>
    isIndex(file)
      ? !kept(file)
      : /^(unet\/)?[^/]+\.(safetensors|bin|ckpt|pt|pth|msgpack|onnx|onnx_data)$/.test(file) && !written.has(file),
  );
}

/** An index that names these too. */
async function withAdded(path: string, added: readonly LazyTensor[], file: string | undefined): Promise<string> {
  const index = Object(JSON.parse(await readFile(path, "utf8"))) as { weight_map?: Record<string, string> };
  const own = Object.fromEntries(added.map(({ key }) => [key, basename(file ?? "")]));
  return JSON.stringify({ ...index, weight_map: { ...index.weight_map, ...own } }, null, 2);
}
