// Weights of large frozen networks from the user's own files. Those that are not float32 are widened once, into a file of
// the cache (FEWSTEP_CACHE, or where the system keeps caches), which is made again when the weights change.
import { realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, parse, sep } from "node:path";
import { indexFile, type TensorIndex } from "../data/tensorIndex.ts";
import {
  type ExternalFile,
  externalArrays,
  indexIdentity,
  liesReady,
  widenedChunks,
} from "../diffusers/externalWeights.ts";
import type { Change } from "../diffusers/rewrite.ts";
import { sha256 } from "../hash.ts";
import { fromExternal, type Params } from "../nn/params.ts";
import { writeAtomic } from "./atomic.ts";
import { folderSource } from "./folderSource.ts";

export function cacheFolder(): string {
  const { FEWSTEP_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (FEWSTEP_CACHE) return FEWSTEP_CACHE;
  if (process.platform === "win32")
    return join(LOCALAPPDATA ?? join(homedir(), "AppData", "Local"), "fewstep", "cache");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "fewstep");
  return join(XDG_CACHE_HOME || join(homedir(), ".cache"), "fewstep");
}

/** Where a file is for a program, by its real path: caches of downloads are folders of links. */
async function placeOf(path: string): Promise<ExternalFile> {
  const real = await realpath(path);
  const { root } = parse(real);
  const { size, mtimeMs } = await stat(real);
  return { folder: root, location: real.slice(root.length).split(sep).join("/"), version: `${size} ${mtimeMs}` };
}

/** `made`: the file of the cache that had to be written. */
export interface ExternalParams {
  readonly params: Params;
  readonly made?: string;
}

/** Weights that are merged when they are loaded. `key` says which: changes of one key are the same. */
export interface Merged {
  readonly changes: ReadonlyMap<string, Change>;
  readonly key: string;
}

/**
 * The parameters of an index over a folder, for Runtime.compile in Node. What `merged` changes goes to the cache like what is
 * widened. Throws an Error where the cache cannot be written.
 */
export async function externalParams(
  index: TensorIndex,
  cache = cacheFolder(),
  { changes, key }: Merged = { changes: new Map(), key: "" },
): Promise<ExternalParams> {
  const files = new Map<string, ExternalFile>();
  for (const { file } of index.tensors.values())
    if (!files.has(file)) files.set(file, await placeOf(join(index.source.name, file)));
  const fileOf = (name: string): ExternalFile => files.get(name)!;
  const ready = externalArrays(index, fileOf);
  if (changes.size === 0 && [...index.tensors.values()].every(liesReady)) return { params: fromExternal(ready) };
  const identity = indexIdentity(index, (file) => `${fileOf(file).location} ${fileOf(file).version}`);
  const name = `${(await sha256(new TextEncoder().encode(`${identity}${key}`))).slice(0, 32)}.safetensors`;
  const folder = join(cache, "float32");
  const known = await stat(join(folder, name)).then(
    () => true,
    () => false,
  );
  if (!known) await writeAtomic(join(folder, name), widenedChunks(index, changes));
  const widened = await indexFile(folderSource(folder), name);
  const place = await placeOf(join(folder, name));
  return {
    params: fromExternal(new Map([...ready, ...externalArrays(widened, () => place)])),
    ...(known ? {} : { made: join(folder, name) }),
  };
}
