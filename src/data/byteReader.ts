// A stream of pieces cut into runs of wanted length.

export interface ByteReader {
  /** Bytes that were taken or skipped. */
  readonly position: number;
  /** Exactly `length` bytes. Throws an Error where the stream ends before; no more memory is taken than it holds. */
  take(length: number): Promise<Uint8Array>;
  /** `length` bytes, or those that are left. */
  takeUpTo(length: number): Promise<Uint8Array>;
  skip(length: number): Promise<void>;
  close(): Promise<void>;
}

/** `name` is the stream's, for messages. */
export function byteReader(pieces: AsyncIterable<Uint8Array>, name: string): ByteReader {
  const iterator = pieces[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  let position = 0;
  /** The next bytes, at most `length`; undefined at the end. */
  async function some(length: number): Promise<Uint8Array | undefined> {
    while (held.length === 0) {
      const next = await iterator.next();
      if (next.done) return undefined;
      held = next.value;
    }
    const part = held.subarray(0, length);
    held = held.subarray(part.length);
    position += part.length;
    return part;
  }
  async function takeUpTo(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let left = length;
    while (left > 0) {
      const part = await some(left);
      if (!part) break;
      parts.push(part);
      left -= part.length;
    }
    return parts.length === 1 ? parts[0] : joined(parts);
  }
  const cutOff = (missing: number) =>
    new Error(`${name} is cut off: it ends at byte ${position}, expected ${missing} more. Copy it again.`);
  return {
    takeUpTo,
    async take(length) {
      const bytes = await takeUpTo(length);
      if (bytes.length < length) throw cutOff(length - bytes.length);
      return bytes;
    },
    async skip(length) {
      for (let left = length; left > 0; ) {
        const part = await some(left);
        if (!part) throw cutOff(left);
        left -= part.length;
      }
    },
    async close() {
      await iterator.return?.();
    },
    get position() {
      return position;
    },
  };
}

export function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
