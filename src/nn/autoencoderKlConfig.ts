// The configuration of diffusers' AutoencoderKL, with its defaults.
import * as z from "zod";
import { activationNames } from "./activations.ts";
import { few, LEVELS, pixels, readConfig, refused, width } from "./config.ts";

const schema = z.object({
  in_channels: width.default(3),
  out_channels: width.default(3),
  down_block_types: z.array(z.literal("DownEncoderBlock2D")).max(LEVELS).default(["DownEncoderBlock2D"]),
  up_block_types: z.array(z.literal("UpDecoderBlock2D")).max(LEVELS).default(["UpDecoderBlock2D"]),
  block_out_channels: z.array(width).min(1).max(LEVELS).default([64]),
  layers_per_block: few.default(1),
  act_fn: z.enum(activationNames).default("silu"),
  latent_channels: width.default(4),
  norm_num_groups: width.default(32),
  /** Pixels of a training picture: the size of a tile. */
  sample_size: z
    .union([pixels, z.tuple([pixels, pixels])])
    .nullable()
    .default(32),
  /** Latents of a pipeline are (latents - shift_factor) * scaling_factor. */
  scaling_factor: z.number().positive().default(0.18215),
  shift_factor: z.number().nullable().default(null),
  latents_mean: z.null().default(null),
  latents_std: z.null().default(null),
  /** Everything is computed in float32, so there is nothing to raise. */
  force_upcast: z.boolean().default(true),
  use_quant_conv: z.boolean().default(true),
  use_post_quant_conv: z.boolean().default(true),
  mid_block_add_attention: z.boolean().default(true),
});

export type AutoencoderKlConfig = Readonly<z.output<typeof schema>>;

const family = "AutoencoderKL";

/** Reads a vae/config.json. Throws RangeError with one sentence for anything that is not supported. */
export function readAutoencoderKlConfig(config: unknown): AutoencoderKlConfig {
  const c = readConfig(family, schema, config);
  const levels = c.block_out_channels.length;
  for (const key of ["down_block_types", "up_block_types"] as const)
    if (c[key].length !== levels)
      throw refused(family, key, c[key], `block_out_channels has ${levels} levels, so this needs ${levels} names`);
  return c;
}

/** How many times smaller than its picture a latent is, on each side. */
export const vaeFactor = (c: AutoencoderKlConfig): number => 2 ** (c.block_out_channels.length - 1);
