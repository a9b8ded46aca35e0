// diffusers' UNet2DConditionModel (SD 1.5, SD 2, SDXL) under its own parameter names.
import { add, concat, mul, reshape, sub, type Tensor } from "../graph/index.ts";
import { sameShape } from "../graph/tensor.ts";
import { activate } from "./activations.ts";
import type { ImagePrompt } from "./attentionBlock.ts";
import { sinusoid, timestepMlp } from "./embed.ts";
import { conv2d, embedding, groupNorm, linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";
import { block } from "./remat.ts";
import { downsample, type ResnetStyle, resnet, upsample } from "./resnet.ts";
import { type Attended, transformer2d } from "./transformer2d.ts";
import { atLevel, type UNet2DConditionConfig } from "./unet2dConditionConfig.ts";

export interface UNetCondition {
  /** The text: [B, L, cross_attention_dim]. */
  readonly context: Tensor;
  /** SDXL: the pooled text [B, D] and the six sizes [B, 6]: original, crop and target size, height or top first. */
  readonly textEmbeds?: Tensor;
  readonly timeIds?: Tensor;
  /**
   * Networks with num_class_embeds: int64 [B]. By class_embed_type, float32: "timestep" [B], "identity" [B, width of the
   * time embedding], "projection" and "simple_projection" [B, projection_class_embeddings_input_dim], e.g. cameras.
   */
  readonly labels?: Tensor;
  /** Networks with time_cond_proj_dim: the embedded guidance [B, time_cond_proj_dim]. */
  readonly guidance?: Tensor;
  /** Networks with span_embedding: the interval that is stepped over [B], on the scale of tau. */
  readonly span?: Tensor;
  /** What a ControlNet adds to every skip tensor (in push order, conv_in first) and to the middle. */
  readonly control?: { readonly skips: readonly Tensor[]; readonly middle: Tensor };
  /** What a T2I-Adapter adds at the end of every level. */
  readonly features?: readonly Tensor[];
  /** Pictures of IP-Adapters, whose parameters are among the network's: see ipAdapter.ts. */
  readonly images?: readonly ImagePrompt[];
}

/** x [B, in_channels, H, W], tau [B] float32: diffusers' timestep, 0 to 999. Result [B, out_channels, H, W]. */
export function unet2dCondition(
  c: UNet2DConditionConfig,
  p: Params,
  x: Tensor,
  tau: Tensor,
  cond: UNetCondition,
): Tensor {
  const temb = timeEmbedding(c, p, tau, cond);
  const context = { text: cond.context, images: cond.images };
  const centered = c.center_input_sample ? sub(mul(x, 2), 1) : x;
  const down = downPath(
    c,
    p,
    conv2d(p, "conv_in", centered, { out: c.block_out_channels[0], kernel: c.conv_in_kernel }),
    temb,
    context,
    cond.features,
  );
  let middle = midBlock(c, p, down.h, temb, context);
  let { skips } = down;
  if (cond.control) {
    const { control } = cond;
    if (control.skips.length !== skips.length)
      throw new RangeError(
        `A ControlNet gave ${control.skips.length} skip tensors, but this network has ${skips.length}.`,
      );
    skips = skips.map((skip, i) => add(skip, control.skips[i]));
    middle = add(middle, control.middle);
  }
  const h = groupNorm(p, "conv_norm_out", upPath(c, p, middle, skips, temb, context), c.norm_num_groups, c.norm_eps);
  return conv2d(p, "conv_out", activate(c.act_fn, h), { out: c.out_channels, kernel: c.conv_out_kernel });
}

/** Time, and whatever else is added to it: [B, time_embedding_dim or 4 block_out_channels[0]]. */
export function timeEmbedding(c: UNet2DConditionConfig, p: Params, tau: Tensor, cond: UNetCondition): Tensor {
  const width = c.time_embedding_dim ?? 4 * c.block_out_channels[0];
  const waves = { flipSinToCos: c.flip_sin_to_cos, freqShift: c.freq_shift };
  for (const [key, needs, given] of [
    [
      c.class_embed_type === null ? "num_class_embeds" : "class_embed_type",
      c.num_class_embeds !== null || c.class_embed_type !== null,
      cond.labels,
    ],
    ["time_cond_proj_dim", c.time_cond_proj_dim !== null, cond.guidance],
    ["span_embedding", c.span_embedding, cond.span],
    ["addition_embed_type", c.addition_embed_type !== null, cond.textEmbeds],
    ["addition_embed_type", c.addition_embed_type !== null, cond.timeIds],
  ] as const)
    if (needs !== (given !== undefined))
      throw new RangeError(
        `The condition that "${key}" stands for ${needs ? "is missing" : "is not part of this network"}.`,
      );
  let temb = timestepMlp(
    p,
    "time_embedding",
    seen(p, "time_proj", sinusoid(tau, c.block_out_channels[0], waves)),
    width,
    {
      act: c.act_fn,
      condition: cond.guidance,
    },
  );
  if (cond.span) {
    const embedded = sinusoid(cond.span, c.block_out_channels[0], waves);
    temb = add(temb, timestepMlp(p, "span_embedding", embedded, width, { act: c.act_fn, last: "zeros" }));
  }
  if (cond.labels) temb = add(temb, classEmbedding(c, p, cond.labels, width));
  if (cond.textEmbeds && cond.timeIds) {
    const [batch, ids] = cond.timeIds.shape;
    const sizes = seen(
      p,
      "add_time_proj",
      sinusoid(reshape(cond.timeIds, [batch * ids]), c.addition_time_embed_dim!, waves),
    );
    const added = concat([cond.textEmbeds, reshape(sizes, [batch, ids * c.addition_time_embed_dim!])], 1);
    temb = add(temb, timestepMlp(p, "add_embedding", added, width));
  }
  return temb;
}

function classEmbedding(c: UNet2DConditionConfig, p: Params, labels: Tensor, width: number): Tensor {
  const name = "class_embedding";
  const waves = { flipSinToCos: c.flip_sin_to_cos, freqShift: c.freq_shift };
  switch (c.class_embed_type) {
    case null:
      return embedding(p, name, labels, c.num_class_embeds!, width);
    case "timestep":
      return timestepMlp(p, name, sinusoid(labels, c.block_out_channels[0], waves), width, { act: c.act_fn });
    case "identity":
      return seen(p, name, labels);
    case "projection":
      return timestepMlp(p, name, labels, width);
    case "simple_projection":
      return linear(p, name, labels, width);
  }
}

/** From conv_in to the bottom. `skips` in push order, conv_in first. */
export function downPath(
  c: UNet2DConditionConfig,
  p: Params,
  first: Tensor,
  temb: Tensor,
  context: Attended,
  features: readonly Tensor[] = [],
): { h: Tensor; skips: Tensor[] } {
  if (features.length !== 0 && features.length !== c.down_block_types.length)
    throw new RangeError(
      `A T2I-Adapter gave ${features.length} features, but this network has ${c.down_block_types.length} levels.`,
    );
  const skips = [first];
  let h = first;
  c.down_block_types.forEach((type, i) => {
    const name = `down_blocks.${i}`;
    const pushed: Tensor[] = [];
    for (let j = 0; j < atLevel(c.layers_per_block, i); j++) {
      h = block(p, () => resnet(p, `${name}.resnets.${j}`, h, temb, c.block_out_channels[i], styleOf(c)));
      if (type === "CrossAttnDownBlock2D")
        h = attend(c, p, `${name}.attentions.${j}`, h, context, i, atLevel(c.transformer_layers_per_block, i));
      if (type === "CrossAttnDownBlock2D" && j === atLevel(c.layers_per_block, i) - 1) h = withFeature(h, features[i]);
      pushed.push(h);
    }
    if (i < c.down_block_types.length - 1) {
      h = downsample(p, `${name}.downsamplers.0`, h, c.downsample_padding);
      pushed.push(h);
    }
    // Without attention, the feature is added to the block's end, in place: the skip holds the sum here, too.
    if (type === "DownBlock2D" && features[i]) {
      h = withFeature(h, features[i]);
      pushed[pushed.length - 1] = h;
    }
    pushed.forEach((skip, k) => {
      seen(p, `${name}.skip.${k}`, skip);
    });
    skips.push(...pushed);
    seen(p, name, h);
  });
  return { h, skips };
}

function withFeature(h: Tensor, feature: Tensor | undefined): Tensor {
  if (!feature) return h;
  if (!sameShape(h.shape, feature.shape))
    throw new RangeError(
      `A T2I-Adapter's feature has shape [${feature.shape}], but it is added to [${h.shape}]: expected the same.`,
    );
  return add(h, feature);
}

/** The bottom, or x itself where the network has no middle block. */
export function midBlock(c: UNet2DConditionConfig, p: Params, x: Tensor, temb: Tensor, context: Attended): Tensor {
  if (c.mid_block_type === null) return x;
  const style = { ...styleOf(c), outputScale: c.mid_block_scale_factor };
  const last = c.block_out_channels.length - 1;
  let h = block(p, () => resnet(p, "mid_block.resnets.0", x, temb, x.shape[1], style));
  if (c.mid_block_type === "UNetMidBlock2DCrossAttn") {
    h = attend(c, p, "mid_block.attentions.0", h, context, last, atLevel(c.transformer_layers_per_block, last));
    h = block(p, () => resnet(p, "mid_block.resnets.1", h, temb, x.shape[1], style));
  }
  return seen(p, "mid_block", h);
}

function upPath(
  c: UNet2DConditionConfig,
  p: Params,
  middle: Tensor,
  skips: readonly Tensor[],
  temb: Tensor,
  context: Attended,
): Tensor {
  const left = [...skips];
  let h = middle;
  c.up_block_types.forEach((type, i) => {
    const name = `up_blocks.${i}`;
    const level = c.up_block_types.length - 1 - i;
    const layers = c.reverse_transformer_layers_per_block?.[i] ?? atLevel(c.transformer_layers_per_block, level);
    for (let j = 0; j <= atLevel(c.layers_per_block, level); j++) {
      const skip = left.pop()!;
      const out = c.block_out_channels[level];
      h = block(p, () => resnet(p, `${name}.resnets.${j}`, concat([h, skip], 1), temb, out, styleOf(c)));
      if (type === "CrossAttnUpBlock2D") h = attend(c, p, `${name}.attentions.${j}`, h, context, level, layers);
    }
    if (level > 0) {
      const [, , height, width] = left[left.length - 1].shape;
      h = block(p, () => upsample(p, `${name}.upsamplers.0`, h, [height, width]));
    }
    seen(p, name, h);
  });
  return h;
}

const styleOf = (c: UNet2DConditionConfig): ResnetStyle => ({
  groups: c.norm_num_groups,
  eps: c.norm_eps,
  act: c.act_fn,
  timeScaleShift: c.resnet_time_scale_shift,
});

const attend = (
  c: UNet2DConditionConfig,
  p: Params,
  name: string,
  x: Tensor,
  context: Attended,
  level: number,
  layers: number,
): Tensor =>
  transformer2d(p, name, x, context, {
    heads: atLevel(c.attention_head_dim, level),
    layers,
    groups: c.norm_num_groups,
    linearProjection: c.use_linear_projection,
    onlyCross: !name.startsWith("mid_block") && atLevel(c.only_cross_attention, level),
  });
