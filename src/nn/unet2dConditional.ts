// diffusers' UNet2DConditionModel as a network that is trained: latents in, and named columns of text and sizes.
import { type Column, type Columns, type Cond, labelColumn, numberColumn } from "../condition.ts";
import type { Tensor } from "../graph/index.ts";
import { guidanceEmbedding } from "./embed.ts";
import type { Params } from "./params.ts";
import { unet2dCondition } from "./unet2dCondition.ts";
import type { UNet2DConditionConfig } from "./unet2dConditionConfig.ts";

/** [C, h, w] of the latents; 64 x 64 where the configuration does not say. */
export function conditionalSampleShape({ in_channels, sample_size }: UNet2DConditionConfig): readonly number[] {
  const [height, width] = typeof sample_size === "number" ? [sample_size, sample_size] : (sample_size ?? [64, 64]);
  return [in_channels, height, width];
}

const given = (shape: readonly number[]): Column => ({ shape, dtype: "float32", given: "data" });

/**
 * text [tokens, cross_attention_dim]; SDXL: pooled [D] and timeIds [6], which are never left out; labels; LCM's guidance;
 * MeanFlow's span. What the empty text is, `withNone` says. Throws a RangeError for a network that is told cameras and the like.
 */
export function conditionalColumns(c: UNet2DConditionConfig): Columns {
  if (c.class_embed_type !== null)
    throw new RangeError(
      `UNet2DConditionModel: "class_embed_type" is "${c.class_embed_type}", and networks that are told cameras or numbers are not trained here; expected null.`,
    );
  if (c.in_channels !== c.out_channels)
    throw new RangeError(
      `UNet2DConditionModel: "in_channels" is ${c.in_channels} and "out_channels" ${c.out_channels}. Networks that see more than they predict (masks, other views) are not trained here.`,
    );
  const pooled = (c.projection_class_embeddings_input_dim ?? 0) - 6 * (c.addition_time_embed_dim ?? 0);
  return {
    text: given([c.text_tokens, c.cross_attention_dim]),
    ...(c.addition_embed_type === null ? {} : { pooled: given([pooled]), timeIds: given([6]) }),
    ...(c.num_class_embeds === null ? {} : { labels: labelColumn(c.num_class_embeds) }),
    ...(c.time_cond_proj_dim === null ? {} : { guidance: numberColumn() }),
    ...(c.span_embedding ? { span: numberColumn(0) } : {}),
  };
}

/** x [B, C, h, w], tau [B], the columns above; result as x. */
export const applyConditional = (c: UNet2DConditionConfig, p: Params, x: Tensor, tau: Tensor, cond: Cond): Tensor =>
  unet2dCondition(c, p, x, tau, {
    context: cond.text,
    textEmbeds: cond.pooled,
    timeIds: cond.timeIds,
    labels: cond.labels,
    span: cond.span,
    ...(c.time_cond_proj_dim === null ? {} : { guidance: guidanceEmbedding(cond.guidance, c.time_cond_proj_dim) }),
  });
