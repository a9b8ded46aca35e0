// Where golden values are: the repository's own folder, ../shared/golden beside a checkout, or FEWSTEP_GOLDEN alone.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");

/** Golden folders to run, most specific first. With CI=true a missing ../shared/golden is a failure. */
export function goldenRoots(): string[] {
  const only = process.env.FEWSTEP_GOLDEN;
  if (only) return [resolve(only)];
  const shared = resolve(ROOT, "../shared/golden");
  if (process.env.CI === "true" && !existsSync(shared))
    throw new Error(`CI needs the golden folder ${shared}, which does not exist.`);
  return [resolve(ROOT, "test/golden"), shared].filter((d) => existsSync(d));
}

export interface RawTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A plain safetensors reader, independent of the one under test. */
export function readGoldenTensors(path: string): Map<string, RawTensor> {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString("utf8")) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, RawTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [from, to] = entry.data_offsets.map((o) => o + 8 + length);
    tensors.set(name, { dtype: entry.dtype, shape: entry.shape, bytes: new Uint8Array(file.subarray(from, to)) });
  }
  return tensors;
}

export function floats(tensor: RawTensor): Float32Array {
  if (tensor.dtype !== "F32") throw new Error(`Expected F32, got ${tensor.dtype}.`);
  return new Float32Array(tensor.bytes.slice().buffer);
}
export const longs = (tensor: RawTensor): BigInt64Array => new BigInt64Array(tensor.bytes.slice().buffer);

export const jsonFiles = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((f) => f.endsWith(".json"))
        .map((f) => join(folder, f))
    : [];
