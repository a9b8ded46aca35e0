// Which parameters a U-Net of diffusers has, from its configuration alone.
import { input } from "../graph/index.ts";
import { collectParams, type ParamSpec } from "../nn/params.ts";
import { unet2dCondition } from "../nn/unet2dCondition.ts";
import type { UNet2DConditionConfig } from "../nn/unet2dConditionConfig.ts";

/** In order of first use. The size of the latents does not matter; small ones make a small graph. */
export function unetParameters(c: UNet2DConditionConfig): ParamSpec[] {
  const size = 2 ** (c.block_out_channels.length - 1);
  const pooled = (c.projection_class_embeddings_input_dim ?? 0) - 6 * (c.addition_time_embed_dim ?? 0);
  return collectParams((p) =>
    unet2dCondition(c, p, input("sample", [1, c.in_channels, size, size]), input("tau", [1]), {
      context: input("context", [1, 1, c.cross_attention_dim]),
      ...(c.addition_embed_type === null
        ? {}
        : { textEmbeds: input("textEmbeds", [1, pooled]), timeIds: input("timeIds", [1, 6]) }),
      ...(c.num_class_embeds === null ? {} : { labels: input("labels", [1], "int64") }),
      ...(c.time_cond_proj_dim === null ? {} : { guidance: input("guidance", [1, c.time_cond_proj_dim]) }),
    }),
  );
}
