// Files between the two sides: weights and inputs out, results back.

import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { safetensorsChunks, type WritableTensor } from "../src/data/safetensors.ts";
import { type Case, split } from "./cases.ts";
import { distance } from "./distance.ts";

/** Weights under their names and inputs under "input:" and theirs. */
export function writeCase(path: string, c: Case, theta: Float32Array): void {
  const tensors = new Map<string, WritableTensor>();
  for (const [s, data] of split(c.spec, theta)) tensors.set(s.name, { shape: s.shape, data });
  for (const [name, { shape, data }] of Object.entries(c.inputs())) tensors.set(`input:${name}`, { shape, data });
  const file = openSync(path, "w");
  try {
    for (const chunk of safetensorsChunks(tensors))
      for (let at = 0; at < chunk.length; at += 1 << 28) writeSync(file, chunk.subarray(at, at + (1 << 28)));
  } finally {
    closeSync(file);
  }
}

export interface Difference {
  readonly what: string;
  /** Norm of the difference over norm of the other side's values. */
  readonly relative: number;
  readonly allowed: number;
}

/** Compares our results with what `who` wrote. Weights are compared by how far they moved from `theta`. */
export function compare(
  ours: readonly Float32Array[],
  path: string,
  theta: Float32Array,
  who = "PyTorch",
): Difference[] {
  const bytes = readFileSync(path);
  const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const expected = ours.reduce((n, x) => n + x.length, 0);
  if (all.length !== expected)
    throw new Error(`${who} returned ${all.length} values, expected ${expected}: the two networks differ.`);
  const names = { 1: ["output"], 2: ["loss", "gradient"], 4: ["loss", "norm", "weights", "averages"] }[ours.length]!;
  let at = 0;
  return ours.map((x, i) => {
    const theirs = all.subarray(at, at + x.length);
    at += x.length;
    const what = names[i];
    const moved = what === "weights" || what === "averages";
    const relative = distance(x, theirs, moved ? theta : undefined);
    // AdamW's first step is lr·sign(g): entries whose gradient is rounding noise may go either way.
    return { what, relative, allowed: moved ? 2e-2 : 1e-4 };
  });
}
