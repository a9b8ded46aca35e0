// Small previews of latents on their way: a linear map from a latent's channels to the color of its pixels.
import { key, normal } from "../random.ts";
import { toPictures } from "./latents.ts";
import { factorOf, type VaePart } from "./pipelineParts.ts";
import type { DiffusersScheduler, SchedulerConfig } from "./schedulers/index.ts";
import type { Sessions } from "./sessions.ts";
import type { Image } from "./tiles.ts";

/** For each color the weights of the latent's channels and, last, what is added: [3][C + 1]. */
export type PreviewMap = readonly (readonly number[])[];

const SIDE = 16;
/** Latents of neighbors agree in pictures; white noise would be decoded to gray. */
const BLOCK = 4;

/** The least-squares map for an autoencoder, from one decoding of random patches. */
export async function previewMap(sessions: Sessions, vae: VaePart): Promise<PreviewMap> {
  const channels = vae.config.latent_channels;
  const blocks = SIDE / BLOCK;
  const draws = normal(key(0), channels * blocks * blocks);
  const latents = Float32Array.from({ length: channels * SIDE * SIDE }, (_, i) => {
    const [c, y, x] = [Math.floor(i / SIDE ** 2), Math.floor(i / SIDE) % SIDE, i % SIDE];
    return draws[(c * blocks + Math.floor(y / BLOCK)) * blocks + Math.floor(x / BLOCK)];
  });
  const picture = await toPictures(sessions, vae, { shape: [1, channels, SIDE, SIDE], data: latents });
  const colors = averaged(picture, factorOf(vae));
  const pixels = SIDE * SIDE;
  const rows = Array.from({ length: pixels }, (_, k) => [
    ...Array.from({ length: channels }, (_, c) => latents[c * pixels + k]),
    1,
  ]);
  const normalMatrix = rows[0].map((_, i) =>
    rows[0].map((_, j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0)),
  );
  return [0, 1, 2].map((color) =>
    solved(
      normalMatrix,
      rows[0].map((_, i) => rows.reduce((sum, row, k) => sum + row[i] * colors[color * pixels + k], 0)),
    ),
  );
}

/** latents [B, C, h, w] in the scaled space; pictures [B, 3, h, w] in -1 to 1. */
export function latentPreview(map: PreviewMap, { shape, data }: Image): Image {
  const [batch, channels, height, width] = shape;
  const pixels = height * width;
  const out = new Float32Array(batch * 3 * pixels);
  for (let b = 0; b < batch; b++)
    map.forEach((weights, color) => {
      for (let k = 0; k < pixels; k++) {
        let sum = weights[channels];
        for (let c = 0; c < channels; c++) sum += weights[c] * data[(b * channels + c) * pixels + k];
        out[(b * 3 + color) * pixels + k] = Math.min(1, Math.max(-1, sum));
      }
    });
  return { shape: [batch, 3, height, width], data: out };
}

/**
 * The data that a network's output at state x stands for, before call k; x itself where it is not known to be one of epsilon,
 * v_prediction, sample and, with the flow-matching samplers, the velocity.
 */
export function cleanEstimate(
  scheduler: DiffusersScheduler,
  { prediction_type = "epsilon" }: SchedulerConfig,
  k: number,
  x: Float32Array,
  output: Float32Array,
): Float32Array {
  const [alpha, sigma] = scheduler.row(k);
  if (scheduler.name.startsWith("FlowMatch")) return x.map((value, i) => value - sigma * output[i]);
  if (scheduler.name.startsWith("EDM")) return x;
  if (prediction_type === "sample") return output;
  if (prediction_type === "epsilon" && alpha > 0) return x.map((value, i) => (value - sigma * output[i]) / alpha);
  // v of the state over its norm, as it stands for schedulers whose states grow, too.
  const norm = Math.hypot(alpha, sigma);
  if (prediction_type === "v_prediction")
    return x.map((value, i) => ((alpha * value) / norm - sigma * output[i]) / norm);
  return x;
}

function averaged({ shape, data }: Image, factor: number): Float32Array {
  const [, colors, height, width] = shape;
  const [h, w] = [height / factor, width / factor];
  const out = new Float32Array(colors * h * w);
  for (let i = 0; i < data.length; i++) {
    const [c, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    out[(c * h + Math.floor(y / factor)) * w + Math.floor(x / factor)] += data[i] / factor ** 2;
  }
  return out;
}

/** Gaussian elimination with pivots. */
function solved(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    const pivot = rows
      .slice(i)
      .reduce((best, row, k) => (Math.abs(row[i]) > Math.abs(rows[best][i]) ? i + k : best), i);
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let k = 0; k < n; k++) {
      if (k === i) continue;
      const factor = rows[k][i] / rows[i][i];
      for (let j = i; j <= n; j++) rows[k][j] -= factor * rows[i][j];
    }
  }
  return rows.map((row, i) => row[n] / row[i]);
}
