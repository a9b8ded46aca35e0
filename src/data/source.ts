// What the readers of this folder need of a place where files lie: a folder, a list of tars, a browser's file picker.
import { brief, listed } from "../core/show.ts";

/**
 * A flat view of some files. Names are relative, with `/` between folders; `list` is in any order and names a folder that
 * holds nothing as "cat/".
 */
export interface FileSource {
  /** How messages call this place, for example the path of the folder. */
  readonly name: string;
  list(): Promise<readonly string[]>;
  /** A whole file. Throws an Error for one of more than `most` bytes. */
  read(name: string, most?: number): Promise<Uint8Array>;
  /** The bytes of a file in order, in pieces, for files too large to hold. */
  stream?(name: string): AsyncIterable<Uint8Array>;
}

/** A source whose files can be read in part. */
export interface RangeSource extends FileSource {
  /** In bytes. */
  size(name: string): Promise<number>;
  /** Exactly the bytes [from, from + length). Throws an Error where the file ends before. */
  range(name: string, from: number, length: number): Promise<Uint8Array>;
}

/** A source over files in memory. */
export function memorySource(files: Readonly<Record<string, Uint8Array>>, name = "memory"): RangeSource {
  const read = (file: string): Uint8Array => {
    const bytes = Object.hasOwn(files, file) ? files[file] : undefined;
    if (!bytes) throw new Error(`${name} has no file "${brief(file)}"; it has ${listed(Object.keys(files).sort())}.`);
    return bytes;
  };
  return {
    name,
    list: async () => Object.keys(files),
    read: async (file) => read(file),
    size: async (file) => read(file).length,
    range: async (file, from, length) => {
      const bytes = read(file);
      if (from + length > bytes.length)
        throw new Error(`${name}/${file} is cut off at byte ${bytes.length}, expected ${from + length}.`);
      return bytes.slice(from, from + length);
    },
  };
}

/** False for hidden files and for what archivers of macOS leave behind. */
export const isVisible = (name: string): boolean => !/(^|\/)(\.(?!\/)|__MACOSX\/)/.test(name);
