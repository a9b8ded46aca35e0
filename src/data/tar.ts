// Reads tar archives as a stream, one entry in memory at a time: ustar, GNU long names, pax headers.
// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html (Extended Description)

export interface TarEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const block = 512;

/**
 * The regular files of an archive that `wanted` picks, in order. `name` is the archive's, for messages.
 * Throws an Error where it is not a tar file, is damaged or ends in the middle of an entry.
 */
export async function* readTar(
  pieces: AsyncIterable<Uint8Array>,
  name: string,
  wanted: (entry: string) => boolean = () => true,
): AsyncGenerator<TarEntry> {
  const input = byteReader(pieces, name);
  let longName: string | undefined;
  for (;;) {
    const header = await input.take(block, true);
    // Two zero blocks end an archive; writers that leave them out end with the file.
    if (!header || header.every((byte) => byte === 0)) return;
    checkSum(header, name, input.position - block);
    const size = number(header.subarray(124, 136), name);
    const padded = Math.ceil(size / block) * block;
    const type = String.fromCharCode(header[156]);
    if (type === "L" || type === "x") {
      const body = (await input.take(padded)).subarray(0, size);
      longName = (type === "L" ? text(body) : paxPath(body)) ?? longName;
      continue;
    }
    const entry = longName ?? ustarName(header);
    longName = undefined;
    if ((type === "0" || type === "\0") && wanted(entry)) {
      yield { name: entry, bytes: (await input.take(padded)).slice(0, size) };
    } else {
      await input.skip(padded);
    }
  }
}

/** Cuts a stream of pieces into runs of wanted length. */
function byteReader(pieces: AsyncIterable<Uint8Array>, name: string) {
  const iterator = pieces[Symbol.asyncIterator]();
  let held: Uint8Array = new Uint8Array(0);
  let position = 0;
  async function more(): Promise<boolean> {
    const next = await iterator.next();
    if (!next.done) held = next.value;
    return !next.done;
  }
  async function take(length: number): Promise<Uint8Array>;
  async function take(length: number, endAllowed: true): Promise<Uint8Array | undefined>;
  async function take(length: number, endAllowed = false): Promise<Uint8Array | undefined> {
    if (held.length >= length) return cut(length);
    const out = new Uint8Array(length);
    let at = 0;
    while (at < length) {
      if (held.length === 0 && !(await more())) {
        if (at === 0 && endAllowed) return undefined;
        throw cutOff(position, length - at);
      }
      const part = cut(Math.min(length - at, held.length));
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
  async function skip(length: number): Promise<void> {
    let left = length;
    while (left > 0) {
      if (held.length === 0 && !(await more())) throw cutOff(position, left);
      left -= cut(Math.min(left, held.length)).length;
    }
  }
  function cut(length: number): Uint8Array {
    const part = held.subarray(0, length);
    held = held.subarray(length);
    position += length;
    return part;
  }
  const cutOff = (at: number, missing: number) =>
    new Error(`${name} is cut off: it ends at byte ${at}, expected ${missing} more. Copy it again.`);
  return {
    take,
    skip,
    get position() {
      return position;
    },
  };
}

function checkSum(header: Uint8Array, name: string, at: number) {
  const stored = Number.parseInt(text(header.subarray(148, 156)).trim(), 8);
  let sum = 0;
  for (let i = 0; i < block; i++) sum += i >= 148 && i < 156 ? 32 : header[i];
  if (sum !== stored) {
    throw new Error(
      `${name} is no tar file or is damaged at byte ${at}: its header sums to ${sum}, it says ${Number.isNaN(stored) ? "no number" : stored}.`,
    );
  }
}

/** Octal digits, or big-endian base 256 if the first bit is set (GNU, sizes of 8 GiB and more). */
function number(field: Uint8Array, name: string): number {
  const value =
    field[0] & 0x80
      ? field.subarray(1).reduce((sum, byte) => sum * 256 + byte, field[0] & 0x7f)
      : Number.parseInt(text(field).trim() || "0", 8);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(`${name} is damaged: an entry has the size "${text(field)}".`);
}

function ustarName(header: Uint8Array): string {
  const prefix = text(header.subarray(257, 263)) === "ustar" ? text(header.subarray(345, 500)) : "";
  const name = text(header.subarray(0, 100));
  return prefix ? `${prefix}/${name}` : name;
}

/** The `path` of pax records, "<length> <key>=<value>\n" each, the length counting its own digits. */
function paxPath(body: Uint8Array): string | undefined {
  let found: string | undefined;
  for (let at = 0; at < body.length; ) {
    const length = Number.parseInt(text(body.subarray(at, at + 20)), 10);
    if (!(length > 0)) break;
    const record = text(body.subarray(at, at + length - 1));
    const pair = record.slice(record.indexOf(" ") + 1);
    if (pair.startsWith("path=")) found = pair.slice("path=".length);
    at += length;
  }
  return found;
}

/** UTF-8 up to the first zero byte. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
