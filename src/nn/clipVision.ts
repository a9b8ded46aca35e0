// transformers' CLIPVisionModel with projection, and diffusers' safety checker on top of it.
import {
  add,
  broadcastTo,
  concat,
  div,
  matmul,
  mul,
  reshape,
  sliceAxis,
  sqrt,
  sub,
  sum,
  type Tensor,
  transpose,
} from "../graph/index.ts";
import type { ClipVisionConfig } from "./clipConfig.ts";
import { clipLayers } from "./clipLayers.ts";
import { conv2d, layerNorm, linear } from "./layers.ts";
import { type Params, within } from "./params.ts";

export interface ClipVisionOutput {
  /** [B, 1 + patches, D] before the first layer and after each, the class token first. */
  readonly hidden: readonly Tensor[];
  /** [B, D]: the class token after the last layer and the norm behind it. */
  readonly pooled: Tensor;
}

/** pixels [B, num_channels, image_size, image_size], preprocessed as `clipPixels` does. */
export function clipVision(c: ClipVisionConfig, p: Params, pixels: Tensor): ClipVisionOutput {
  const [batch, channels, height, width] = pixels.shape;
  if (channels !== c.num_channels || height !== c.image_size || width !== c.image_size)
    throw new RangeError(
      `The picture has shape [${pixels.shape}], expected [B, ${c.num_channels}, ${c.image_size}, ${c.image_size}].`,
    );
  const name = "vision_model.embeddings";
  const side = c.image_size / c.patch_size;
  const count = side * side;
  const patches = conv2d(p, `${name}.patch_embedding`, pixels, {
    out: c.hidden_size,
    kernel: c.patch_size,
    stride: c.patch_size,
    padding: 0,
    bias: false,
  });
  const tokens = transpose(reshape(patches, [batch, c.hidden_size, count]), [0, 2, 1]);
  const token = reshape(p(`${name}.class_embedding`, [c.hidden_size], { normal: 0.02 }), [1, 1, c.hidden_size]);
  const positions = p(`${name}.position_embedding.weight`, [count + 1, c.hidden_size], { normal: 0.02 });
  const embedded = add(concat([broadcastTo(token, [batch, 1, c.hidden_size]), tokens], 1), positions);
  // The name is transformers' own slip.
  const start = layerNorm(p, "vision_model.pre_layrnorm", embedded, c.layer_norm_eps);
  const hidden = clipLayers(c, p, "vision_model.encoder", start, false);
  const first = reshape(sliceAxis(hidden[hidden.length - 1], 1, 0, 1), [batch, c.hidden_size]);
  return { hidden, pooled: layerNorm(p, "vision_model.post_layernorm", first, c.layer_norm_eps) };
}

/** CLIPVisionModelWithProjection: pixels to the embedding [B, projection_dim], and the states on the way. */
export function clipImageEmbedding(
  c: ClipVisionConfig,
  p: Params,
  pixels: Tensor,
): ClipVisionOutput & { readonly embeds: Tensor } {
  const vision = clipVision(c, p, pixels);
  return { ...vision, embeds: linear(p, "visual_projection", vision.pooled, c.projection_dim, { bias: false }) };
}

export const CONCEPTS = 17;
export const SPECIAL_CONCEPTS = 3;

export interface SafetyScores {
  /** Cosine similarity to the concepts minus their thresholds, [B, 17] and [B, 3]. */
  readonly concepts: Tensor;
  readonly special: Tensor;
}

/** diffusers' StableDiffusionSafetyChecker up to its scores; `unsafe` judges them. */
export function safetyChecker(c: ClipVisionConfig, p: Params, pixels: Tensor): SafetyScores {
  const { pooled } = clipVision(c, within(p, "vision_model."), pixels);
  const embeds = linear(p, "visual_projection", pooled, c.projection_dim, { bias: false });
  const scores = (name: string, weights: string, count: number) => {
    const concepts = p(name, [count, c.projection_dim], { normal: 1 });
    return sub(matmul(unit(embeds), unit(concepts), { transB: true }), p(weights, [count], "ones"));
  };
  return {
    concepts: scores("concept_embeds", "concept_embeds_weights", CONCEPTS),
    special: scores("special_care_embeds", "special_care_embeds_weights", SPECIAL_CONCEPTS),
  };
}

const unit = (x: Tensor): Tensor => div(x, sqrt(sum(mul(x, x), [1], true)));

/** Whether a picture's scores ([17] and [3]) call it unsafe; a special concept lowers the threshold of the others. */
export function unsafe(concepts: ArrayLike<number>, special: ArrayLike<number>): boolean {
  const rounded = (x: number) => Math.round(x * 1000) / 1000;
  const adjustment = Array.from(special).some((score) => rounded(score) > 0) ? 0.01 : 0;
  return Array.from(concepts).some((score) => rounded(score + adjustment) > 0);
}
