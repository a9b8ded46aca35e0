// The header of a safetensors file: names, types, shapes and places of its tensors, checked against the file's size.
// https://github.com/huggingface/safetensors#format

import { brief, show } from "../core/show.ts";

/** Stored types in the reference writer's order (tensors of the last type come first in a file), with bytes per entry. */
export const bytesPer = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
};
export const rank = Object.keys(bytesPer);
/** Types that files may hold and that are not read, with bits per entry where they are known. */
const otherBits: Readonly<Record<string, number>> = {
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  U64: 64,
  C64: 64,
};

export type StoredDtype = keyof typeof bytesPer;

/** Where a tensor lies: bytes [start, end) of the file. Its type may be one that is not read. */
export interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly entries: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

export const isStored = (dtype: string): dtype is StoredDtype => Object.hasOwn(bytesPer, dtype);

/** The type of a tensor. Throws an Error that names tensor and type where that is not read. */
export function readableType(key: string, { dtype }: Pick<TensorEntry, "dtype">, name: string): StoredDtype {
  if (isStored(dtype)) return dtype;
  throw new Error(
    `${brief(name)} stores "${brief(key)}" as ${brief(dtype, 40)}, which is not read, expected one of ${rank.join(", ")}. Convert it.`,
  );
}

/** The length of the JSON header, from the first 8 bytes of a file of `fileSize` bytes. */
export function headerLength(first: Uint8Array, fileSize: number, name: string): number {
  if (fileSize < 8) throw new Error(`${brief(name)} is cut off: ${fileSize} bytes, expected at least 8.`);
  const length = Number(new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true));
  if (length < 2 || length > fileSize - 8) {
    throw new Error(
      `${brief(name)} is no safetensors file, or is cut off: its header should have ${length} bytes, the file has ${fileSize - 8} after the length.`,
    );
  }
  if (length > largestHeader) {
    throw new Error(`${brief(name)} has a header of ${length} bytes, expected at most ${largestHeader}.`);
  }
  return length;
}

/** As in the reference reader. */
const largestHeader = 100_000_000;

/** Parses the JSON header that follows the first 8 bytes, and checks every entry against the file's size. */
export function parseHeader(json: Uint8Array, fileSize: number, name: string): SafetensorsHeader {
  const bad = (why: string) => new Error(`${brief(name)} has a damaged safetensors header: ${why}.`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch (cause) {
    throw new Error(`${brief(name)} has a damaged safetensors header: it is not JSON.`, { cause });
  }
  if (!isRecord(parsed)) throw bad("it is not an object");
  const base = 8 + json.length;
  const entries = new Map<string, TensorEntry>();
  let metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(parsed)) {
    if (key === "__metadata__") {
      if (!isRecord(value) || !Object.values(value).every((v) => typeof v === "string")) {
        throw bad("__metadata__ is not an object of strings");
      }
      metadata = value as Record<string, string>;
      continue;
    }
    entries.set(key, parseEntry(key, value, base, bad));
  }
  let at = base;
  for (const [key, { start, end }] of [...entries].sort(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (start !== at) throw bad(`"${brief(key)}" starts at byte ${start - base} of the data, expected ${at - base}`);
    at = end;
  }
  if (at !== fileSize) {
    const how = at > fileSize ? "is cut off" : "has bytes left over";
    throw new Error(`${brief(name)} ${how}: ${fileSize} bytes, expected ${at} from its header.`);
  }
  return { entries, metadata };
}

function parseEntry(name: string, value: unknown, base: number, bad: (why: string) => Error): TensorEntry {
  const key = brief(name);
  const { dtype, shape, data_offsets: offsets } = isRecord(value) ? value : {};
  if (typeof dtype !== "string" || !/^[A-Z][A-Z0-9_]*$/.test(dtype)) {
    throw bad(`"${key}" has the type ${show(dtype)}, expected one of ${rank.join(", ")}`);
  }
  if (!isCounts(shape)) throw bad(`"${key}" has the shape ${show(shape)}`);
  if (!isCounts(offsets) || offsets.length !== 2) throw bad(`"${key}" has the offsets ${show(offsets)}`);
  const [from, to] = offsets;
  const bits = isStored(dtype) ? 8 * bytesPer[dtype] : Object.hasOwn(otherBits, dtype) ? otherBits[dtype] : undefined;
  // Of a type that is not known only the order of the offsets can be checked.
  const expected = bits === undefined ? Math.max(0, to - from) : shape.reduce((product, n) => product * n, bits) / 8;
  if (to - from !== expected) {
    throw bad(`"${key}" has ${to - from} bytes, expected ${expected} for ${brief(dtype, 40)} ${show(shape)}`);
  }
  return { dtype, shape, start: base + from, end: base + to };
}

const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === "object" && x !== null && !Array.isArray(x);
const isCounts = (x: unknown): x is number[] => Array.isArray(x) && x.every((n) => Number.isSafeInteger(n) && n >= 0);
