// Weights of a teacher that need not be in memory: read by name when they are needed.
import { floatsOf } from "../data/safetensors.ts";
import { readTensor, type TensorIndex } from "../data/tensorIndex.ts";
import type { ParamSpec } from "../nn/params.ts";
import { nodeHasher } from "../runtime/node.ts";

/** Weights that need not be in memory. */
export interface BaseWeights {
  readonly spec: readonly ParamSpec[];
  read(name: string): Promise<Float32Array>;
}

/** A tensor as float32. */
export const floats = async (index: TensorIndex, name: string): Promise<Float32Array> =>
  floatsOf(new Map([[name, await readTensor(index, name)]]), name);

/** As `LoadedModel.hash`, with one tensor in memory at a time. */
export async function weightsHash({ spec, read }: BaseWeights): Promise<string> {
  const hasher = nodeHasher();
  for (const { name } of spec) {
    const { buffer, byteOffset, byteLength } = await read(name);
    hasher.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hasher.digest();
}
