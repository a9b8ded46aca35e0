// The configuration of diffusers' UNet2DModel, with its defaults.
import * as z from "zod";
import { activationNames } from "./activations.ts";
import { few, LEVELS, pixels, readConfig, refused, width } from "./config.ts";

const schema = z.object({
  sample_size: z
    .union([pixels, z.tuple([pixels, pixels])])
    .nullable()
    .default(null),
  in_channels: width.default(3),
  out_channels: width.default(3),
  center_input_sample: z.boolean().default(false),
  time_embedding_type: z.enum(["positional", "fourier", "learned"]).default("positional"),
  time_embedding_dim: width.nullable().default(null),
  freq_shift: z.number().default(0),
  flip_sin_to_cos: z.boolean().default(true),
  down_block_types: z
    .array(z.enum(["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]))
    .max(LEVELS)
    .default(["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"]),
  mid_block_type: z.literal("UNetMidBlock2D").nullable().default("UNetMidBlock2D"),
  up_block_types: z
    .array(z.enum(["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"]))
    .max(LEVELS)
    .default(["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]),
  block_out_channels: z.array(width).min(1).max(LEVELS).default([224, 448, 672, 896]),
  layers_per_block: few.default(2),
  mid_block_scale_factor: z.number().positive().default(1),
  downsample_padding: z.union([z.literal(0), z.literal(1)]).default(1),
  downsample_type: z.enum(["conv", "resnet"]).default("conv"),
  upsample_type: z.enum(["conv", "resnet"]).default("conv"),
  /** Only matters in training; networks here are trained without it. */
  dropout: z.number().min(0).max(1).default(0),
  act_fn: z.enum(activationNames).default("silu"),
  attention_head_dim: width.nullable().default(8),
  norm_num_groups: width.default(32),
  attn_norm_num_groups: width.nullable().default(null),
  norm_eps: z.number().positive().default(1e-5),
  resnet_time_scale_shift: z.enum(["default", "scale_shift"]).default("default"),
  add_attention: z.boolean().default(true),
  class_embed_type: z.null().default(null),
  num_class_embeds: width.nullable().default(null),
  num_train_timesteps: width.nullable().default(null),
  /** Ours, not diffusers': what methods tell a network; see MethodConditions in embed.ts. */
  guidance_embedding_dim: width.nullable().default(null),
  span_embedding: z.boolean().default(false),
});

export type UNet2DConfig = Readonly<z.output<typeof schema>>;

/** Reads a unet/config.json. Throws RangeError with one sentence for anything that is not supported. */
export function readUNet2DConfig(config: unknown): UNet2DConfig {
  const c = readConfig("UNet2DModel", schema, config);
  const levels = c.block_out_channels.length;
  for (const key of ["down_block_types", "up_block_types"] as const)
    if (c[key].length !== levels)
      throw refused(
        "UNet2DModel",
        key,
        c[key],
        `block_out_channels has ${levels} levels, so this needs ${levels} names`,
      );
  if (c.time_embedding_type === "learned" && c.num_train_timesteps === null)
    throw refused("UNet2DModel", "num_train_timesteps", null, "a learned time embedding needs the number of timesteps");
  return c;
}

/** [C, H, W] of one sample; 32 x 32 where the configuration does not say. */
export function unet2dSampleShape({ in_channels, sample_size }: UNet2DConfig): [number, number, number] {
  const [h, w] = typeof sample_size === "number" ? [sample_size, sample_size] : (sample_size ?? [32, 32]);
  return [in_channels, h, w];
}
