// The configuration of diffusers' UNet2DConditionModel (SD 1.5, SD 2, SDXL), with its defaults.
import * as z from "zod";
import { activationNames } from "./activations.ts";
import { few, LEVELS, pixels, readConfig, refused, width } from "./config.ts";

const perLevel = z.union([few, z.array(few).max(LEVELS)]);
const off = z.literal(false).nullable();

const schema = z.object({
  sample_size: z
    .union([pixels, z.tuple([pixels, pixels])])
    .nullable()
    .default(null),
  in_channels: width.default(4),
  out_channels: width.default(4),
  center_input_sample: z.boolean().default(false),
  flip_sin_to_cos: z.boolean().default(true),
  freq_shift: z.number().default(0),
  down_block_types: z
    .array(z.enum(["CrossAttnDownBlock2D", "DownBlock2D"]))
    .max(LEVELS)
    .default(["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]),
  mid_block_type: z.enum(["UNetMidBlock2DCrossAttn", "UNetMidBlock2D"]).nullable().default("UNetMidBlock2DCrossAttn"),
  up_block_types: z
    .array(z.enum(["CrossAttnUpBlock2D", "UpBlock2D"]))
    .max(LEVELS)
    .default(["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]),
  /** The first attention of a block looks at the context too (the upscaler of SD 2), per level or for all. */
  only_cross_attention: z.union([z.boolean(), z.array(z.boolean()).max(LEVELS)]).default(false),
  block_out_channels: z.array(width).min(1).max(LEVELS).default([320, 640, 1280, 1280]),
  layers_per_block: perLevel.default(2),
  downsample_padding: z.union([z.literal(0), z.literal(1)]).default(1),
  mid_block_scale_factor: z.number().positive().default(1),
  /** Only matters in training; networks here are trained without it. */
  dropout: z.number().min(0).max(1).default(0),
  act_fn: z.enum(activationNames).default("silu"),
  norm_num_groups: width.default(32),
  norm_eps: z.number().positive().default(1e-5),
  cross_attention_dim: width.default(1280),
  transformer_layers_per_block: perLevel.default(1),
  reverse_transformer_layers_per_block: z.array(few).max(LEVELS).nullable().default(null),
  encoder_hid_dim: z.null().default(null),
  encoder_hid_dim_type: z.null().default(null),
  /** The number of heads, per level or for all: the name is an old slip of diffusers. */
  attention_head_dim: perLevel.default(8),
  num_attention_heads: z.null().default(null),
  dual_cross_attention: off.default(false),
  use_linear_projection: z.boolean().default(false),
  class_embed_type: z.enum(["timestep", "identity", "projection", "simple_projection"]).nullable().default(null),
  addition_embed_type: z.literal("text_time").nullable().default(null),
  addition_time_embed_dim: width.nullable().default(null),
  num_class_embeds: width.nullable().default(null),
  /** Everything is computed in float32, so there is nothing to raise. */
  upcast_attention: z.boolean().nullable().default(false),
  resnet_time_scale_shift: z.enum(["default", "scale_shift"]).default("default"),
  resnet_skip_time_act: off.default(false),
  resnet_out_scale_factor: z.literal(1).default(1),
  time_embedding_type: z.literal("positional").default("positional"),
  time_embedding_dim: width.nullable().default(null),
  time_embedding_act_fn: z.null().default(null),
  timestep_post_act: z.null().default(null),
  /** Width of the guidance embedding of LCM. */
  time_cond_proj_dim: width.nullable().default(null),
  conv_in_kernel: few.default(3),
  conv_out_kernel: few.default(3),
  projection_class_embeddings_input_dim: width.nullable().default(null),
  attention_type: z.literal("default").default("default"),
  class_embeddings_concat: off.default(false),
  /** Has no effect in diffusers either: its middle block always attends to itself first. */
  mid_block_only_cross_attention: z.boolean().nullable().default(null),
  cross_attention_norm: z.null().default(null),
  addition_embed_type_num_heads: few.default(64),
  /** Ours, for networks that are trained here: tokens of a text, and whether it is told the interval that it steps over (MeanFlow). */
  text_tokens: width.default(77),
  span_embedding: z.boolean().default(false),
});

export type UNet2DConditionConfig = Readonly<z.output<typeof schema>>;

/**
 * Reads a unet/config.json. Throws RangeError with one sentence for anything that is not supported. `family`: what it calls
 * the network.
 */
export function readUNet2DConditionConfig(config: unknown, family = "UNet2DConditionModel"): UNet2DConditionConfig {
  const c = readConfig(family, schema, config);
  const levels = c.block_out_channels.length;
  for (const key of [
    "down_block_types",
    "up_block_types",
    "layers_per_block",
    "transformer_layers_per_block",
    "reverse_transformer_layers_per_block",
    "attention_head_dim",
    "only_cross_attention",
  ] as const) {
    const value = c[key];
    if (Array.isArray(value) && value.length !== levels)
      throw refused(family, key, value, `block_out_channels has ${levels} levels, so this needs ${levels} entries`);
  }
  if (c.addition_embed_type === "text_time")
    for (const key of ["addition_time_embed_dim", "projection_class_embeddings_input_dim"] as const)
      if (c[key] === null) throw refused(family, key, null, `"addition_embed_type": "text_time" needs it`);
  if (c.class_embed_type?.endsWith("projection") && c.projection_class_embeddings_input_dim === null)
    throw refused(
      family,
      "projection_class_embeddings_input_dim",
      null,
      `"class_embed_type": "${c.class_embed_type}" needs it`,
    );
  return c;
}

/** The value for one level, counted from the image side. */
export const atLevel = <T extends number | boolean>(value: T | readonly T[], level: number): T =>
  typeof value === "object" ? value[level] : value;
