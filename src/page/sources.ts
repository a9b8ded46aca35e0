// Files of a page: what a user picked or dropped, and what a server has.

import { brief, listed } from "../core/show.ts";
import type { FileSource } from "../data/source.ts";

/** The part of a browser's File that is used. */
export interface PickedFile {
  readonly name: string;
  /** With its folders, from a picker of folders; "" from one of files. */
  readonly webkitRelativePath?: string;
  readonly size: number;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/**
 * Files of an `<input type="file" webkitdirectory>`, or of a drop. The folder that all of them lie in is the source's name
 * and no part of theirs.
 */
export function pickedFiles(files: Iterable<PickedFile>, name?: string): FileSource {
  const paths = new Map([...files].map((file) => [file.webkitRelativePath || file.name, file]));
  const [first = ""] = paths.keys();
  const top = first.slice(0, first.indexOf("/") + 1);
  const shared = top !== "" && [...paths.keys()].every((path) => path.startsWith(top)) ? top : "";
  const byName = new Map([...paths].map(([path, file]) => [path.slice(shared.length), file]));
  const place = name ?? (shared.slice(0, -1) || "the files");
  return {
    name: place,
    list: async () => [...byName.keys()],
    async read(path, most = Number.POSITIVE_INFINITY) {
      const file = byName.get(path);
      if (!file) throw new Error(`${place} has no file "${brief(path)}"; it has ${listed([...byName.keys()].sort())}.`);
      checkSize(`${place}/${path}`, file.size, most);
      try {
        return new Uint8Array(await file.arrayBuffer());
      } catch (cause) {
        throw new Error(`${place}/${path} could not be read: ${textOf(cause)}`, { cause });
      }
    },
  };
}

/**
 * Files below a URL, which has to be told their names. Default: those of a model of fewstep.
 * Its `read` throws an Error, a sentence, where the server has no such file or cannot be reached.
 */
export function fetchedFiles(
  base: string | URL,
  names: readonly string[] = ["card.json", "model.safetensors"],
  signal?: AbortSignal,
): FileSource {
  const folder = String(base).replace(/\/*$/, "/");
  return {
    name: folder.slice(0, -1),
    list: async () => names,
    async read(path, most = Number.POSITIVE_INFINITY) {
      const url = folder + path.split("/").map(encodeURIComponent).join("/");
      const response = await fetch(url, { signal }).catch((cause: unknown) => {
        if (signal?.aborted) throw cause;
        throw new Error(`${url} could not be fetched: ${textOf(cause)}`, { cause });
      });
      if (!response.ok) throw new Error(`${url} could not be fetched: the server says ${response.status}.`);
      const bytes = new Uint8Array(await response.arrayBuffer());
      checkSize(url, bytes.length, most);
      return bytes;
    },
  };
}

function checkSize(name: string, size: number, most: number): void {
  if (size > most) throw new Error(`${name} has ${size} bytes, expected at most ${most}.`);
}

const textOf = (error: unknown): string =>
  `${error instanceof Error ? error.message : String(error)}`.replace(/([^.])$/, "$1.");
