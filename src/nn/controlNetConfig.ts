// The configuration of diffusers' ControlNetModel, with its defaults.

import * as z from "zod";
import { show } from "../core/show.ts";
import { LEVELS, readConfig, refused, width } from "./config.ts";
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from "./unet2dConditionConfig.ts";

const own = z.object({
  conditioning_channels: width.default(3),
  conditioning_embedding_out_channels: z.array(width).min(1).max(LEVELS).default([16, 32, 96, 256]),
  controlnet_conditioning_channel_order: z.enum(["rgb", "bgr"]).default("rgb"),
  global_pool_conditions: z.boolean().default(false),
});
type Own = z.output<typeof own>;

/** The keys of a U-Net's way down, and the ControlNet's own. */
export type ControlNetConfig = Readonly<Own> & UNet2DConditionConfig;

const family = "ControlNetModel";

/** Reads a controlnet's config.json. Throws RangeError with one sentence for anything that is not supported. */
export function readControlNetConfig(config: unknown): ControlNetConfig {
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw new RangeError(`The configuration of a ${family} network must be an object, got ${show(config)}.`);
  const mine = readConfig(family, own, Object.fromEntries(Object.entries(config).filter(([key]) => key in own.shape)));
  const rest: Record<string, unknown> = Object.fromEntries(
    Object.entries(config).filter(([key]) => !(key in own.shape)),
  );
  const levels = Array.isArray(rest.block_out_channels) ? rest.block_out_channels.length : 4;
  if ("up_block_types" in rest) throw refused(family, "up_block_types", rest.up_block_types, "it only has a way down");
  const { down_block_types = defaultBlocks } = rest;
  const unet = readUNet2DConditionConfig(
    {
      ...rest,
      down_block_types,
      // Never used; a U-Net's configuration needs as many as levels.
      up_block_types: Array.from({ length: levels }, () => "UpBlock2D"),
    },
    family,
  );
  return { ...unet, ...mine };
}

const defaultBlocks = ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"];

/** The U-Net configuration whose way down this is. */
export const unetOf = (c: ControlNetConfig): UNet2DConditionConfig => c;
