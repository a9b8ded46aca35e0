// A delta as a LoRA with its error, and how much a delta and a LoRA get into each other's way.
import { fromHalf, toHalf } from "../data/half.ts";
import { type LoraModule, loraUpdate } from "./lora.ts";
import { dot, lowRank, orthonormal, times, timesTransposed } from "./svd.ts";

export interface Approximation {
  readonly module: LoraModule;
  /** Squared norms of the delta, and of what of it the LoRA does not have. */
  readonly energy: number;
  readonly lost: number;
}

/**
 * The LoRA of a rank that is closest to the delta of one weight, [out, in] or [out, in, k, k], by singular values; both
 * factors take their roots, and alpha is the rank. Null for a delta that is zero. The error is that of the factors as they
 * are stored.
 */
export function approximate(
  key: string,
  delta: Float32Array | Float64Array,
  shape: readonly number[],
  rank: number,
  dtype: "F32" | "F16" = "F32",
): Approximation | null {
  const rows = shape[0];
  const columns = delta.length / rows;
  const { left, values, right } = lowRank(delta, rows, columns, rank);
  const kept = values.length;
  if (kept === 0) return null;
  const store = (data: Float32Array) => (dtype === "F16" ? fromHalf(toHalf(data)) : data);
  const up = new Float32Array(rows * kept);
  const down = new Float32Array(kept * columns);
  values.forEach((value, k) => {
    const root = Math.sqrt(value);
    for (let r = 0; r < rows; r++) up[r * kept + k] = root * left[k][r];
    for (let c = 0; c < columns; c++) down[k * columns + c] = root * right[k][c];
  });
  const kernel = shape.slice(2);
  const module: LoraModule = {
    ...{ part: "unet", key, rank: kept, alpha: kept, up: store(up), down: store(down) },
    upShape: [rows, kept, ...kernel.map(() => 1)],
    downShape: [kept, ...shape.slice(1)],
  };
  const update = loraUpdate(module);
  let [energy, lost] = [0, 0];
  for (let i = 0; i < delta.length; i++) {
    energy += delta[i] ** 2;
    lost += (delta[i] - update[i]) ** 2;
  }
  return { module, energy, lost };
}

export interface Conflict {
  /** Of the delta's norm, the share that lies in the directions which the LoRA reads and writes: 0 to 1. */
  readonly overlap: number;
  /** What a delta of random direction would have: sqrt(r² / (out·in)). */
  readonly expected: number;
  /** The cosine of the angle between the two updates: below 0, they undo each other. */
  readonly cosine: number;
  /** Squared norm of the LoRA's update. */
  readonly weight: number;
}

/**
 * overlap = |P ΔW Q| / |ΔW| with the projections P on the columns of `up` and Q on the rows of `down`. A LoRA whose
 * directions the delta leaves alone acts on the student as it did on the base.
 */
export function conflictOf(delta: Float32Array | Float64Array, module: LoraModule): Conflict {
  const { up, down, rank } = module;
  const rows = up.length / rank;
  const columns = down.length / rank;
  const written = orthonormal(
    Array.from({ length: rank }, (_, k) => Float64Array.from({ length: rows }, (_, r) => up[r * rank + k])),
  );
  const read = orthonormal(
    Array.from({ length: rank }, (_, k) => Float64Array.from(down.subarray(k * columns, (k + 1) * columns))),
  );
  let whole = 0;
  for (let i = 0; i < delta.length; i++) whole += delta[i] ** 2;
  whole = Math.sqrt(whole);
  const projected = timesTransposed(delta, rows, columns, written);
  let inside = 0;
  for (const row of projected) for (const q of read) inside += dot(row, q) ** 2;
  // <ΔW, up·down> = sum over k of up_kᵀ ΔW down_k.
  let product = 0;
  let weight = 0;
  const factor = module.alpha / rank;
  const update = loraUpdate(module);
  for (let i = 0; i < update.length; i++) weight += update[i] ** 2;
  for (let k = 0; k < rank; k++) {
    const image = times(delta, rows, columns, Float64Array.from(down.subarray(k * columns, (k + 1) * columns)));
    for (let r = 0; r < rows; r++) product += factor * up[r * rank + k] * image[r];
  }
  return {
    overlap: whole > 0 ? Math.sqrt(inside) / whole : 0,
    expected: Math.sqrt((written.length * read.length) / (rows * columns)),
    cosine: whole > 0 && weight > 0 ? product / (whole * Math.sqrt(weight)) : 0,
    weight,
  };
}

/** One score for all modules: root mean squares of overlaps, and the mean of cosines, weighted by the LoRA's energy. */
export function conflictScore(conflicts: readonly Conflict[]): Omit<Conflict, "weight"> {
  const total = conflicts.reduce((sum, { weight }) => sum + weight, 0);
  if (total === 0) return { overlap: 0, expected: 0, cosine: 0 };
  const mean = (of: (c: Conflict) => number) => conflicts.reduce((sum, c) => sum + c.weight * of(c), 0) / total;
  return {
    overlap: Math.sqrt(mean((c) => c.overlap ** 2)),
    expected: Math.sqrt(mean((c) => c.expected ** 2)),
    cosine: mean((c) => c.cosine),
  };
}
