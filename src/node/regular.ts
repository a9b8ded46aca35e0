// Files as they should be: regular ones, of a size that is known before memory is taken. A link to a device never ends.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { brief } from "../core/show.ts";

/** Opens a regular file to read. Throws an Error, one sentence, for anything else. */
export async function openRegular(path: string): Promise<FileHandle> {
  // Without O_NONBLOCK a named pipe would wait for a writer.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch(inWords(path));
  try {
    const info = await file.stat();
    if (info.isDirectory()) throw new Error(`${brief(path)} is a folder, expected a file.`);
    if (!info.isFile()) throw new Error(`${brief(path)} is a device or a pipe, expected a file.`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** A whole file of at most `most` bytes. Throws an Error, one sentence, for a larger one and for what is no regular file. */
export async function readRegular(path: string, most = 2 ** 31 - 1): Promise<Uint8Array> {
  const file = await openRegular(path);
  try {
    const { size } = await file.stat();
    if (size > most) throw new Error(`${brief(path)} has ${size} bytes, expected at most ${most}.`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** The bytes of a file in order, in pieces. */
export async function* streamRegular(path: string): AsyncGenerator<Uint8Array> {
  const file = await openRegular(path);
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(1 << 20), 0, 1 << 20, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** A single read call may stop short (it does at 2 GiB), so it goes on until all is there. */
export async function readBytes(file: FileHandle, from: number, length: number, path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await file.read(bytes, at, Math.min(length - at, 1 << 30), from + at);
    if (bytesRead === 0)
      throw new Error(`${brief(path)} is cut off at byte ${from + at}, expected ${length - at} more.`);
    at += bytesRead;
  }
  return bytes;
}

/** The bytes [from, from + length) of a regular file. Throws an Error where it ends before. */
export async function readRange(path: string, from: number, length: number): Promise<Uint8Array> {
  const file = await openRegular(path);
  try {
    return await readBytes(file, from, length, path);
  } finally {
    await file.close();
  }
}

/** Bytes of a regular file. */
export async function sizeOfRegular(path: string): Promise<number> {
  const file = await openRegular(path);
  try {
    return (await file.stat()).size;
  } finally {
    await file.close();
  }
}

const words: Readonly<Record<string, string>> = {
  ENOENT: "does not exist.",
  ENOTDIR: "does not exist: a part of the path is a file.",
  EISDIR: "is a folder, expected a file.",
  ELOOP: "is a link that leads back to itself.",
  ENAMETOOLONG: "has a name that is too long.",
  ENXIO: "is a device or a pipe, expected a file.",
  EACCES: "cannot be read: permission is denied.",
  // What Node says of a zero character.
  ERR_INVALID_ARG_VALUE: "is no path: it holds a character that no path can.",
};

/** Turns failures of the system into sentences; others keep their own. */
export function inWords(path: string) {
  return (cause: unknown): never => {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    if (Object.hasOwn(words, code)) throw new Error(`${brief(path)} ${words[code]}`, { cause });
    throw cause;
  };
}
