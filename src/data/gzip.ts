// Gzip and zlib by the platform's own DecompressionStream (Node and browsers), never further than what was promised.

import { brief } from "../core/show.ts";
import { joined } from "./byteReader.ts";

/** True for bytes that start like a gzip member. */
export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** A file may unpack to this many bytes, and a larger one to this many times its own. */
const freely = 1 << 28;
const ratio = 100;

/** A format that says in its first `length` bytes how long it is. `size` may throw what is wrong with them. */
export interface Head {
  readonly length: number;
  size(head: Uint8Array): number;
}

/**
 * Inflates `bytes`, but no further than its own head promises; `name` is the file's, for the message. The result is
 * shorter where the data end before. Throws an Error on damaged or cut-off input, on one that holds more than promised,
 * and on a promise that no file of this size keeps.
 */
export async function gunzip(bytes: Uint8Array, name: string, head: Head): Promise<Uint8Array> {
  const file = brief(name);
  if (!isGzip(bytes)) {
    throw new Error(
      `${file} is not gzip data: it starts with ${hex(bytes)}, expected 1f 8b. Remove ".gz" from its name if it is plain.`,
    );
  }
  const pieces = inflated(
    bytes,
    "gzip",
    `${file} is damaged or cut off: its ${bytes.length} bytes of gzip do not unpack. Copy it again.`,
  );
  let start = new Uint8Array(0);
  let out: Uint8Array | undefined;
  let at = 0;
  for await (const piece of pieces) {
    if (!out) {
      start = joined([start, piece]);
      if (start.length < head.length) continue;
      const size = head.size(start);
      if (size > freely && size > ratio * bytes.length) {
        throw new Error(
          `${file} says that it unpacks to ${size} bytes, more than ${ratio} times its ${bytes.length} bytes of gzip. Unpack it by hand if that is right.`,
        );
      }
      out = new Uint8Array(size);
    }
    const rest = at === 0 ? start : piece;
    if (at + rest.length > out.length) {
      throw new Error(`${file} has bytes left over: its header says ${out.length} bytes, but it unpacks to more.`);
    }
    out.set(rest, at);
    at += rest.length;
  }
  return out?.subarray(0, at) ?? start;
}

/** The unpacked bytes piece by piece. Throws an Error with `message` on input that is damaged or cut off. */
export async function* inflated(
  bytes: Uint8Array,
  format: "gzip" | "deflate",
  message: string,
): AsyncGenerator<Uint8Array> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream(format));
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause: unknown) => {
        throw new Error(message, { cause });
      });
      if (done) return;
      yield value;
    }
  } finally {
    // What is left unread is dropped; after a failure there is nothing to cancel.
    await reader.cancel().catch(() => {});
  }
}

const hex = (bytes: Uint8Array) =>
  bytes.length === 0 ? "nothing" : Array.from(bytes.subarray(0, 2), (b) => b.toString(16).padStart(2, "0")).join(" ");
