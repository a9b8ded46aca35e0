// Reads tar archives as a stream, one entry in memory at a time: ustar, GNU long names, pax headers, joined archives.
// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html (Extended Description)

import { brief, show } from "../core/show.ts";
import { byteReader } from "./byteReader.ts";
import { isGzip } from "./gzip.ts";

export interface TarEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Which of several archives in one file, from 0. */
  readonly archive: number;
}

const block = 512;
/** Long names and pax headers are texts. */
const largestText = 1 << 20;

/**
 * The regular files of an archive that `wanted` picks, in order. `name` is the archive's, for messages. Archives that were
 * joined are read one after the other. Throws an Error where it is not a tar file, is damaged or ends in the middle of
 * an entry, for a wanted entry of more than `most` bytes, and for a wanted one that is no plain file.
 */
export async function* readTar(
  pieces: AsyncIterable<Uint8Array>,
  name: string,
  wanted: (entry: string) => boolean = () => true,
  most = 1 << 28,
): AsyncGenerator<TarEntry> {
  const place = brief(name);
  const input = byteReader(pieces, place);
  let longName: string | undefined;
  let pax: Pax = {};
  let archive = 0;
  let ended = false;
  try {
    for (;;) {
      const header = await input.takeUpTo(block);
      // Zero blocks end an archive; writers that leave them out end with the file.
      if (header.every((byte) => byte === 0)) {
        if (header.length < block) return;
        ended = true;
        continue;
      }
      const at = input.position - header.length;
      if (header.length < block) {
        const why = ended ? `${header.length} bytes that are no tar follow its end mark at byte ${at}` : undefined;
        throw new Error(
          why
            ? `${place} is damaged: ${why}.`
            : `${place} is cut off: it ends at byte ${input.position}, expected ${block - header.length} more. Copy it again.`,
        );
      }
      checkSum(header, place, at);
      if (ended) archive++;
      ended = false;
      const entry = longName ?? pax.path ?? ustarName(header);
      const size = pax.size ?? number(header.subarray(124, 136), place, entry);
      const padded = Math.ceil(size / block) * block;
      const type = String.fromCharCode(header[156]);
      if (/[LKxXg]/.test(type)) {
        if (size > largestText) {
          throw new Error(
            `${place} is damaged at byte ${at}: a long name or pax header of ${size} bytes, expected at most ${largestText}.`,
          );
        }
        const body = (await input.take(padded)).subarray(0, size);
        if (type === "L") longName = text(body);
        else if (type !== "K") pax = { ...pax, ...readPax(body, type === "g", place, at) };
        continue;
      }
      if (!wanted(entry) || type === "5" || type === "V") {
        await input.skip(padded);
      } else {
        checkPlain(type, pax, header, entry, place);
        if (size > most) {
          throw new Error(`${place}: ${brief(entry)} has ${size} bytes, expected at most ${most}.`);
        }
        yield { name: entry, bytes: (await input.take(padded)).slice(0, size), archive };
      }
      longName = undefined;
      pax = {};
    }
  } finally {
    await input.close();
  }
}

const kinds: Readonly<Record<string, string>> = {
  "1": "a hard link to another entry",
  "2": "a symbolic link",
  "3": "a device",
  "4": "a device",
  "6": "a pipe",
  D: "a list of a folder",
  M: "the rest of a file of another volume",
  S: "a sparse file",
};

/** Throws an Error for an entry whose bytes are not its own, in order: leaving it out would lose a sample. */
function checkPlain(type: string, pax: Pax, header: Uint8Array, entry: string, place: string): void {
  if (/[\0 07]/.test(type) && !pax.sparse) return;
  const kind = pax.sparse ? "a sparse file" : (kinds[type] ?? `of the kind ${show(type)}`);
  const target = type === "1" || type === "2" ? ` (${brief(pax.linkpath ?? text(header.subarray(157, 257)), 60)})` : "";
  throw new Error(
    `${place}: ${brief(entry)} is ${kind}${target}, expected a plain file. Pack with --hard-dereference and --dereference, without --sparse.`,
  );
}

function checkSum(header: Uint8Array, place: string, at: number) {
  const field = text(header.subarray(148, 156)).trim();
  const stored = /^[0-7]+$/.test(field) ? Number.parseInt(field, 8) : Number.NaN;
  let sum = 0;
  let signed = 0; // as some old writers take it
  for (let i = 0; i < block; i++) {
    const byte = i >= 148 && i < 156 ? 32 : header[i];
    sum += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  if (sum === stored || signed === stored) return;
  const why = isGzip(header)
    ? "it is gzip, unpack it first"
    : `its header sums to ${sum}, it says ${Number.isNaN(stored) ? "no number" : stored}`;
  throw new Error(`${place} is no tar file or is damaged at byte ${at}: ${why}.`);
}

/** Octal digits, or big-endian base 256 if the first bit is set (GNU, sizes of 8 GiB and more). */
function number(field: Uint8Array, place: string, entry: string): number {
  const digits = text(field).trim();
  const value =
    field[0] & 0x80
      ? field.subarray(1).reduce((sum, byte) => sum * 256 + byte, field[0] & 0x7f)
      : /^[0-7]*$/.test(digits)
        ? Number.parseInt(digits || "0", 8)
        : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  const said = field[0] & 0x80 ? `about ${value.toExponential(1)}` : show(digits);
  throw new Error(`${place} is damaged: ${brief(entry)} has the size ${said}.`);
}

function ustarName(header: Uint8Array): string {
  // Of GNU's own format ("ustar " with a space) these bytes mean something else.
  const prefix = text(header.subarray(257, 263)) === "ustar" ? text(header.subarray(345, 500)) : "";
  const name = text(header.subarray(0, 100));
  return prefix ? `${prefix}/${name}` : name;
}

interface Pax {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
  readonly sparse?: boolean;
}

/** Pax records, "<length> <key>=<value>\n" each, the length counting its own digits. */
function readPax(body: Uint8Array, global: boolean, place: string, start: number): Pax {
  const found: { -readonly [K in keyof Pax]: Pax[K] } = {};
  for (let at = 0; at < body.length && body[at] !== 0; ) {
    const digits = text(body.subarray(at, at + 20)).match(/^(\d{1,7}) /)?.[1];
    const length = Number(digits);
    const end = at + length;
    const record = digits === undefined ? "" : new TextDecoder().decode(body.subarray(at + digits.length + 1, end - 1));
    const equals = record.indexOf("=");
    if (equals < 1 || end > body.length || body[end - 1] !== 10) {
      throw new Error(`${place} is damaged at byte ${start}: a pax header has no record at ${at}.`);
    }
    const [key, value] = [record.slice(0, equals), record.slice(equals + 1)];
    if (global && /^(path|size|linkpath)$/.test(key)) {
      throw new Error(`${place} has a pax header that gives all entries the ${key} ${show(value)}, which is not read.`);
    }
    if (key === "path") found.path = value;
    if (key === "linkpath") found.linkpath = value;
    if (key === "size") {
      if (!/^\d{1,15}$/.test(value)) {
        throw new Error(`${place} is damaged at byte ${start}: a pax header says the size ${show(value)}.`);
      }
      found.size = Number(value);
    }
    if (key.startsWith("GNU.sparse.")) found.sparse = true;
    at = end;
  }
  return found;
}

/** UTF-8 up to the first zero byte. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
