// Folders and tars on disk as sources for the readers of src/data.
import type { Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { brief } from "../core/show.ts";
import { type FileSource, isVisible, type RangeSource } from "../data/source.ts";
import { globMatcher, isGlob } from "./glob.ts";
import { inWords, readRange, readRegular, sizeOfRegular, streamRegular } from "./regular.ts";

/** Folders inside each other. */
const deepest = 64;

/**
 * All files under a folder, by their path inside it, through links. Throws an Error if there is no such folder, and for a
 * visible link that leads nowhere or back.
 */
export function folderSource(folder: string): RangeSource {
  return {
    name: folder,
    list: () => filesIn(folder),
    read: (name, most) => readRegular(join(folder, name), most),
    size: (name) => sizeOfRegular(join(folder, name)),
    range: (name, from, length) => readRange(join(folder, name), from, length),
    stream: (name) => streamRegular(join(folder, name)),
  };
}

async function filesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  /** `above`: the real folders on the way, to find links that lead back. */
  async function visit(path: string, inside: string, above: readonly string[]): Promise<void> {
    if (above.length > deepest) throw new Error(`${brief(path)} lies more than ${deepest} folders deep.`);
    const real = await realpath(path).catch(inWords(path));
    if (above.includes(real)) throw new Error(`${brief(path)} is a link that leads back to a folder it lies in.`);
    const entries = await readdir(path, { withFileTypes: true }).catch(inWords(path));
    if (entries.length === 0 && inside !== "") found.push(inside);
    for (const entry of entries) {
      const name = `${inside}${entry.name}`;
      if (await isFolder(join(path, entry.name), entry))
        await visit(join(path, entry.name), `${name}/`, [...above, real]);
      else found.push(name);
    }
  }
  await visit(folder, "", []);
  return found;
}

async function isFolder(path: string, entry: Dirent): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  const info = await stat(path).catch((error: unknown) => {
    if (!isVisible(entry.name)) return undefined;
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new Error(`${brief(path)} is a link to a file or folder that does not exist.`, { cause: error });
    return inWords(path)(error);
  });
  return info?.isDirectory() ?? false;
}

/** One tar, or the tars of a pattern such as "data/train-{000..007}.tar". */
export function tarSource(path: string, exact: boolean): FileSource {
  const folder = dirname(path);
  const fits = exact ? (name: string) => name === basename(path) : globMatcher(basename(path));
  if (!exact && isGlob(folder)) {
    throw new Error(`${brief(path)} has a pattern in its folder, expected patterns in the file name only.`);
  }
  return {
    ...folderSource(folder),
    name: path,
    async list() {
      const names = (await readdir(folder).catch(inWords(folder))).filter(fits);
      if (names.length === 0) throw new Error(`${brief(path)} fits no file in ${brief(folder)}.`);
      return names;
    },
  };
}
