// Small files for the tests of this folder.

import { encode } from "fast-png";
import { createTar } from "nanotar";

/** An opaque picture whose bytes are first, first + 1, ... modulo 256. */
export function picture(width: number, height: number, channels: number, first = 0): Uint8Array {
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) =>
    channels % 2 === 0 && i % channels === channels - 1 ? 255 : (first + i) % 256,
  );
  return encode({ width, height, channels, depth: 8, data });
}

export const tar = (files: Readonly<Record<string, Uint8Array | string>>): Uint8Array =>
  createTar(Object.entries(files).map(([name, data]) => ({ name, data })));

/** The archive in pieces of `size` bytes. */
export async function* pieces(bytes: Uint8Array, size = 100): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}
