// A shard of a teacher's pairs as a file: what a pair consists of, written with its checksum, read with it.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { TensorData } from "../graph/index.ts";
import { sha256 } from "../hash.ts";
import type { NetModel } from "../recipes/recipe.ts";
import type { Pairs } from "../run/pairs.ts";
import type { Context } from "./context.ts";
import { sentence } from "./failure.ts";
import { readSafetensors, writeSafetensors } from "./files.ts";

export const shardFile = (folder: string, shard: number): string =>
  join(folder, `pairs-${String(shard).padStart(5, "0")}.safetensors`);

export interface PairColumn {
  readonly shape: readonly number[];
  readonly size: number;
  readonly dtype: "float32" | "int64";
}

/** What a pair consists of. */
export function columnsOf({ sampleShape, conditions }: NetModel): Readonly<Record<string, PairColumn>> {
  const column = (shape: readonly number[], dtype: "float32" | "int64"): PairColumn => ({
    shape,
    dtype,
    size: shape.reduce((a, b) => a * b, 1),
  });
  return {
    x: column(sampleShape, "float32"),
    noise: column(sampleShape, "float32"),
    ...Object.fromEntries(
      Object.entries(conditions).flatMap(([name, c]) => (c.given === "data" ? [[name, column(c.shape, c.dtype)]] : [])),
    ),
  };
}

/** Bytes of one pair. */
export const bytesPerPair = (model: NetModel): number =>
  Object.values(columnsOf(model)).reduce((sum, { size, dtype }) => sum + size * (dtype === "int64" ? 8 : 4), 0);

export const emptyColumns = (columns: Readonly<Record<string, PairColumn>>, n: number): Record<string, TensorData> =>
  Object.fromEntries(
    Object.entries(columns).map(([name, { size, dtype }]) => [
      name,
      dtype === "int64" ? new BigInt64Array(n * size) : new Float32Array(n * size),
    ]),
  );

export function asPairs({ x, noise, ...cond }: Readonly<Record<string, TensorData>>): Pairs {
  return { x: x as Float32Array, noise: noise as Float32Array, cond };
}

export async function writeShard(
  file: string,
  { x, noise, cond }: Pairs,
  columns: Readonly<Record<string, PairColumn>>,
): Promise<void> {
  const given: Readonly<Record<string, TensorData>> = { x, noise, ...cond };
  const n = x.length / columns.x.size;
  const tensors = Object.fromEntries(
    Object.entries(columns).map(([name, { shape }]) => [name, { shape: [n, ...shape], data: given[name] }]),
  );
  await writeSafetensors(file, tensors, { sha256: await digest(Object.keys(columns).map((name) => given[name])) });
}

/** Undefined for a shard that is missing, damaged or of another size (a note says so, and it is made again). Throws an Error for a file of others. */
export async function readShard(
  file: string,
  count: number,
  columns: Readonly<Record<string, PairColumn>>,
  { report }: Context,
): Promise<Pairs | undefined> {
  if (!(await exists(file))) return undefined;
  const stored = await readSafetensors(file).catch((cause: unknown) => new Error(sentence(cause), { cause }));
  if (!(stored instanceof Error) && stored.metadata.sha256 === undefined)
    throw new Error(`${file} is a file that fewstep did not write. Choose another --pairs-dir, or move it away.`);
  try {
    if (stored instanceof Error) throw stored;
    const { tensors, metadata } = stored;
    const found = emptyColumns(columns, 0);
    for (const [name, { shape, dtype }] of Object.entries(columns)) {
      const tensor = tensors.get(name);
      const want = [count, ...shape];
      if (tensor?.shape.join() !== want.join())
        throw new Error(
          `${file} has "${name}" of the shape ${tensor?.shape.join(" x ") ?? "none"}, expected ${want.join(" x ")}.`,
        );
      if (tensor.data instanceof BigInt64Array !== (dtype === "int64"))
        throw new Error(`${file} has "${name}" of another type, expected ${dtype}.`);
      found[name] = tensor.data as TensorData;
    }
    if ((await digest(Object.keys(columns).map((name) => found[name]))) !== metadata.sha256) {
      // Version 1 wrote labels, all zero, also for models without classes.
      const labels = tensors.get("labels")?.data;
      const before = labels instanceof BigInt64Array && !("labels" in columns) ? [labels] : undefined;
      if (!before || (await digest([found.x, found.noise, ...before])) !== metadata.sha256)
        throw new Error(`${file} is damaged: its checksum is another.`);
    }
    return asPairs(found);
  } catch (error) {
    report.note(`${error instanceof Error ? error.message : String(error)} These pairs are made again.`);
    return undefined;
  }
}

async function digest(columns: readonly TensorData[]): Promise<string> {
  const bytes = columns.map((array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  const sums = await Promise.all(bytes.map(sha256));
  return sha256(new TextEncoder().encode(sums.join()));
}

export const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
