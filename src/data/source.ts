// What the readers of this folder need of a place where files lie: a folder, a list of tars, a browser's file picker.

/** A flat view of some files. Names are relative, with `/` between folders; `list` is in any order. */
export interface FileSource {
  /** How messages call this place, for example the path of the folder. */
  readonly name: string;
  list(): Promise<readonly string[]>;
  read(name: string): Promise<Uint8Array>;
  /** The bytes of a file in order, in pieces, for files too large to hold. */
  stream?(name: string): AsyncIterable<Uint8Array>;
}

/** A source over files in memory. */
export function memorySource(files: Readonly<Record<string, Uint8Array>>, name = "memory"): FileSource {
  return {
    name,
    list: async () => Object.keys(files),
    read: async (file) => {
      const bytes = Object.hasOwn(files, file) ? files[file] : undefined;
      if (!bytes) throw new Error(`${name} has no file "${file}"; it has ${Object.keys(files).sort().join(", ")}.`);
      return bytes;
    },
  };
}
