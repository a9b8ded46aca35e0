// Gzip by the platform's own DecompressionStream (Node and browsers).

/** True for bytes that start like a gzip member. */
export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** Inflates `bytes`; `name` is the file's, for the message. Throws an Error on damaged or cut-off input. */
export async function gunzip(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  if (!isGzip(bytes)) {
    throw new Error(
      `${name} is not gzip data: it starts with ${hex(bytes)}, expected 1f 8b. Remove ".gz" from its name if it is plain.`,
    );
  }
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("gzip"));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (cause) {
    throw new Error(`${name} is damaged or cut off: its ${bytes.length} bytes of gzip do not unpack. Copy it again.`, {
      cause,
    });
  }
}

const hex = (bytes: Uint8Array) =>
  bytes.length === 0 ? "nothing" : Array.from(bytes.subarray(0, 2), (b) => b.toString(16).padStart(2, "0")).join(" ");
