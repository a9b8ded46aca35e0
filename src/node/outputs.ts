// Files that a user names to be written: nothing that fewstep did not write is lost to a slip of the keyboard.
import { constants } from "node:fs";
import { access, lstat, open, realpath, stat } from "node:fs/promises";
import { extname } from "node:path";
import { isSignedPng } from "../data/png.ts";
import { checkWritable } from "./atomic.ts";
import { UsageError } from "./failure.ts";
import { svgSignature } from "./figures.ts";
import { openSafetensors } from "./files.ts";

/**
 * Written into the metadata of samples. Weights and states, which took hours, are safetensors of fewstep as well, but are no
 * samples and are not written over by them.
 */
export const samplesMark = { software: "fewstep", holds: "samples" } as const;

export interface Output {
  /** The option that names the file, for messages. */
  readonly option: string;
  readonly kind: "png" | "svg" | "safetensors";
  /** Writes over a file of others all the same. */
  readonly force: boolean;
}

/**
 * Whether a file can be written at `path`, whose folder is made, and may be: there is none, or one that fewstep made there
 * before (its pictures and samples carry a mark of their own), or `force` is set. Returns the path to write, which for a link
 * is the one of the file that it leads to. Throws UsageError for a name of another kind, else an Error.
 */
export async function claimFile(path: string, { option, kind, force }: Output): Promise<string> {
  if (extname(path).toLowerCase() !== `.${kind}`)
    throw new UsageError(`${option} is ${JSON.stringify(path)}: expected a name that ends with .${kind}.`);
  await checkWritable(path);
  const itself = await lstat(path).catch(() => undefined);
  if (!itself) return path;
  const info = await stat(path).catch(() => undefined);
  if (!info) throw new Error(`${path} cannot be written: it is a link to what is not there. Choose another name.`);
  // A device or a pipe would be replaced by a file.
  if (!info.isFile()) throw new Error(`${path} cannot be written: it is there and no file. Choose another name.`);
  const real = await realpath(path);
  if (real !== path) await checkWritable(real);
  if (!force && !(await isOurs(real, kind)))
    throw new Error(
      `${path} is a file that fewstep did not write. Choose another name, or write over it with --force.`,
    );
  // Renaming over a file would not ask for permission to change it.
  await access(real, constants.W_OK).catch(() => {
    throw new Error(`${path} cannot be written: it may only be read. Choose another name.`);
  });
  return itself.isSymbolicLink() ? real : path;
}

/** Whether a file carries the mark of what is to be written in its place. */
async function isOurs(path: string, kind: Output["kind"]): Promise<boolean> {
  if (kind === "safetensors") {
    const file = await openSafetensors(path).catch(() => undefined);
    await file?.close();
    return Object.entries(samplesMark).every(([key, value]) => file?.metadata[key] === value);
  }
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const length = Math.min(size, 128);
    const bytes = new Uint8Array(length);
    await file.read(bytes, 0, length, kind === "png" ? 0 : size - length);
    return kind === "png" ? isSignedPng(bytes) : new TextDecoder().decode(bytes).trimEnd().endsWith(svgSignature);
  } finally {
    await file.close();
  }
}
