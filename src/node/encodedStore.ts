// What encoders made of pictures and captions, by the hash of what went in: files of many items each, written once. What is
// damaged is made again; what is there is never made twice.
import { closeSync, openSync, readSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { sha256 } from "../hash.ts";
import { makeFolder } from "./atomic.ts";
import type { Context } from "./context.ts";
import { openSafetensors, writeSafetensors } from "./files.ts";

/** The columns of an item, with their shapes. */
export type ItemShapes = Readonly<Record<string, readonly number[]>>;
export type Item = Readonly<Record<string, Float32Array>>;

export interface EncodedStore {
  has(key: string): boolean;
  /** Kept in memory until a file is full. */
  add(key: string, item: Item): Promise<void>;
  /** Writes what is in memory. */
  flush(): Promise<void>;
  /** A column of an item that was flushed. Reads from disk. */
  read(key: string, column: string): Float32Array;
}

interface Place {
  readonly file: string;
  readonly row: number;
  readonly starts: Readonly<Record<string, number>>;
}

const FORMAT = "fewstep-encoded-1";
const FILE_BYTES = 16e6;
/** Seconds of work that a kill may cost. */
const FILE_SECONDS = 30;

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Opens a folder of such files, checking each. Those that are damaged or of other shapes are told of and left aside. */
export async function encodedStore(folder: string, shapes: ItemShapes, { report }: Context): Promise<EncodedStore> {
  await makeFolder(folder);
  const places = new Map<string, Place>();
  const columns = Object.keys(shapes).sort();
  const bytes = columns.reduce((sum, name) => sum + 4 * sizeOf(shapes[name]), 0);
  const perFile = Math.max(1, Math.floor(FILE_BYTES / bytes));
  for (const name of (await readdir(folder)).filter((file) => /^items-[0-9a-f]+\.safetensors$/.test(file)).sort()) {
    const file = join(folder, name);
    try {
      for (const [key, place] of await checkedFile(file, shapes, columns)) places.set(key, place);
    } catch (error) {
      report.note(`${error instanceof Error ? error.message : String(error)} What it held is encoded again.`);
    }
  }
  let waiting = new Map<string, Item>();
  let since = performance.now();
  const flush = async () => {
    if (waiting.size === 0) return;
    const keys = [...waiting.keys()];
    const tensors = Object.fromEntries(
      columns.map((column) => {
        const data = new Float32Array(keys.length * sizeOf(shapes[column]));
        keys.forEach((key, row) => {
          data.set(waiting.get(key)![column], row * sizeOf(shapes[column]));
        });
        return [column, { shape: [keys.length, ...shapes[column]], data }];
      }),
    );
    const checksum = await digest(
      keys,
      columns.map((column) => tensors[column].data),
    );
    const file = join(folder, `items-${checksum.slice(0, 24)}.safetensors`);
    await writeSafetensors(file, tensors, { format: FORMAT, items: keys.join(" "), sha256: checksum });
    for (const [key, place] of await checkedFile(file, shapes, columns)) places.set(key, place);
    waiting = new Map();
    since = performance.now();
  };
  return {
    has: (key) => places.has(key) || waiting.has(key),
    async add(key, item) {
      for (const column of columns)
        if (item[column]?.length !== sizeOf(shapes[column]))
          throw new RangeError(
            `"${column}" has ${item[column]?.length ?? "no"} values, expected ${shapes[column].join(" x ")}.`,
          );
      waiting.set(key, item);
      if (waiting.size >= perFile || performance.now() - since > 1000 * FILE_SECONDS) await flush();
    },
    flush,
    read(key, column) {
      const place = places.get(key);
      if (!place) throw new Error(`There is no item ${key} in ${folder}.`);
      const out = new Float32Array(sizeOf(shapes[column]));
      const fd = openSync(place.file, "r");
      try {
        const raw = new Uint8Array(out.buffer);
        const read = readSync(fd, raw, 0, raw.length, place.starts[column] + place.row * raw.length);
        if (read !== raw.length) throw new Error(`${place.file} ends too early. Remove it and start again.`);
      } finally {
        closeSync(fd);
      }
      return out;
    },
  };
}

/** Where the items of a file are. Throws an Error, one sentence, unless all of it is as it was written. */
async function checkedFile(file: string, shapes: ItemShapes, columns: readonly string[]): Promise<Map<string, Place>> {
  const opened = await openSafetensors(file);
  try {
    const { entries, metadata } = opened;
    if (metadata.format !== FORMAT) throw new Error(`${file} is of another format.`);
    if (metadata.items === undefined) throw new Error(`${file} does not say which items it holds.`);
    const keys = metadata.items.split(" ");
    const values: Float32Array[] = [];
    const starts: Record<string, number> = {};
    for (const column of columns) {
      const want = [keys.length, ...shapes[column]];
      const entry = entries.get(column);
      if (entry?.shape.join() !== want.join() || entry.dtype !== "F32")
        throw new Error(
          `${file} has "${column}" of the shape ${entry?.shape.join(" x ") ?? "none"}, expected ${want.join(" x ")}.`,
        );
      starts[column] = entry.start;
      values.push((await opened.read(column)).data as Float32Array);
    }
    if ((await digest(keys, values)) !== metadata.sha256)
      throw new Error(`${file} is damaged: its checksum is another.`);
    return new Map(keys.map((key, row) => [key, { file, row, starts }]));
  } finally {
    await opened.close();
  }
}

async function digest(keys: readonly string[], values: readonly Float32Array[]): Promise<string> {
  const sums: string[] = [];
  for (const { buffer, byteOffset, byteLength } of values)
    sums.push(await sha256(new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength)));
  return sha256(new TextEncoder().encode([keys.join(" "), ...sums].join("\n")));
}
