// diffusers' UNet2DModel under its own parameter names (Ho et al. 2020, appendix B; Dhariwal and Nichol 2021).
import type { Cond } from "../condition.ts";
import { add, cast, concat, div, mul, reshape, sub, type Tensor } from "../graph/index.ts";
import { activate } from "./activations.ts";
import { imageAttention } from "./attentionBlock.ts";
import { fourier, sinusoid, timeEmbedding } from "./embed.ts";
import { conv2d, embedding, groupNorm } from "./layers.ts";
import { type Params, seen } from "./params.ts";
import { block } from "./remat.ts";
import { downsample, type ResnetStyle, resnet, upsample } from "./resnet.ts";
import type { UNet2DConfig } from "./unet2dConfig.ts";

/**
 * x [B, in_channels, H, W], tau [B] float32 (diffusers' timestep, 0 to 999; sigma for the fourier embedding),
 * labels [B] int64 exactly when the configuration has classes. Result [B, out_channels, H, W].
 */
export function unet2d(c: UNet2DConfig, p: Params, x: Tensor, tau: Tensor, cond: Cond): Tensor {
  checkInput(c, x);
  const style: ResnetStyle = {
    groups: c.norm_num_groups,
    eps: c.norm_eps,
    act: c.act_fn,
    timeScaleShift: c.resnet_time_scale_shift,
  };
  const temb = conditionOf(c, p, tau, cond);
  const centered = c.center_input_sample ? sub(mul(x, 2), 1) : x;
  const first = conv2d(p, "conv_in", centered, { out: c.block_out_channels[0] });

  const skips = [first];
  let h = first;
  c.down_block_types.forEach((type, i) => {
    const name = `down_blocks.${i}`;
    const out = c.block_out_channels[i];
    for (let j = 0; j < c.layers_per_block; j++) {
      h = block(p, () => resnet(p, `${name}.resnets.${j}`, h, temb, out, style));
      if (type === "AttnDownBlock2D") h = attend(c, p, `${name}.attentions.${j}`, h);
      skips.push(h);
    }
    if (i < c.down_block_types.length - 1) {
      const byResnet =
        type === "ResnetDownsampleBlock2D" || (type === "AttnDownBlock2D" && c.downsample_type === "resnet");
      h = byResnet
        ? block(p, () => resnet(p, `${name}.downsamplers.0`, h, temb, out, style, "down"))
        : downsample(p, `${name}.downsamplers.0`, h, c.downsample_padding);
      skips.push(h);
    }
    seen(p, name, h);
  });

  if (c.mid_block_type) h = middle(c, p, h, temb, { ...style, outputScale: c.mid_block_scale_factor });

  c.up_block_types.forEach((type, i) => {
    const name = `up_blocks.${i}`;
    const out = c.block_out_channels[c.block_out_channels.length - 1 - i];
    for (let j = 0; j <= c.layers_per_block; j++) {
      const skip = skips.pop()!;
      h = block(p, () => resnet(p, `${name}.resnets.${j}`, concat([h, skip], 1), temb, out, style));
      if (type === "AttnUpBlock2D") h = attend(c, p, `${name}.attentions.${j}`, h);
    }
    if (i < c.up_block_types.length - 1) {
      const byResnet = type === "ResnetUpsampleBlock2D" || (type === "AttnUpBlock2D" && c.upsample_type === "resnet");
      h = block(p, () =>
        byResnet
          ? resnet(p, `${name}.upsamplers.0`, h, temb, out, style, "up")
          : upsample(p, `${name}.upsamplers.0`, h),
      );
    }
    seen(p, name, h);
  });

  // The last activation is SiLU whatever act_fn says.
  h = activate("silu", groupNorm(p, "conv_norm_out", h, c.norm_num_groups, c.norm_eps));
  h = conv2d(p, "conv_out", h, { out: c.out_channels });
  return c.time_embedding_type === "fourier" ? div(h, reshape(tau, [tau.shape[0], 1, 1, 1])) : h;
}

const attend = (c: UNet2DConfig, p: Params, name: string, x: Tensor) =>
  block(p, () =>
    imageAttention(p, name, x, {
      headDim: c.attention_head_dim ?? x.shape[1],
      groups: c.norm_num_groups,
      eps: c.norm_eps,
    }),
  );

function middle(c: UNet2DConfig, p: Params, x: Tensor, temb: Tensor, style: ResnetStyle): Tensor {
  const channels = x.shape[1];
  let h = block(p, () => resnet(p, "mid_block.resnets.0", x, temb, channels, style));
  if (c.add_attention) {
    // Without a number of its own, the norm in front of this attention exists only in the "default" style.
    const groups = c.attn_norm_num_groups ?? (c.resnet_time_scale_shift === "default" ? c.norm_num_groups : null);
    const headDim = c.attention_head_dim ?? channels;
    const options = { headDim, groups, eps: c.norm_eps, outputScale: c.mid_block_scale_factor };
    h = block(p, () => imageAttention(p, "mid_block.attentions.0", h, options));
  }
  return seen(
    p,
    "mid_block",
    block(p, () => resnet(p, "mid_block.resnets.1", h, temb, channels, style)),
  );
}

/** The embedding of time and class, [B, time_embedding_dim or 4 block_out_channels[0]]. */
function conditionOf(c: UNet2DConfig, p: Params, tau: Tensor, cond: Cond): Tensor {
  const first = c.block_out_channels[0];
  const width = c.time_embedding_dim ?? 4 * first;
  const sinusoidOf = (x: Tensor) => sinusoid(x, first, { flipSinToCos: c.flip_sin_to_cos, freqShift: c.freq_shift });
  const project = (x: Tensor) => {
    if (c.time_embedding_type === "fourier") return fourier(p, "time_proj", x, first, 16);
    if (c.time_embedding_type === "learned")
      return embedding(p, "time_proj", cast(x, "int64"), c.num_train_timesteps!, first);
    return sinusoidOf(x);
  };
  const told = { guidance: c.guidance_embedding_dim, span: c.span_embedding };
  const time = timeEmbedding(p, tau, cond, width, told, (t) =>
    t === tau ? seen(p, "time_proj", project(t)) : sinusoidOf(t),
  );
  return c.num_class_embeds === null
    ? time
    : add(time, embedding(p, "class_embedding", cond.labels, c.num_class_embeds, width));
}

function checkInput(c: UNet2DConfig, x: Tensor): void {
  const [, channels, height, width] = x.shape;
  const unit = 2 ** (c.block_out_channels.length - 1);
  if (x.shape.length !== 4 || channels !== c.in_channels)
    throw new RangeError(`The network's input has shape [${x.shape}], expected [B, ${c.in_channels}, H, W].`);
  if (height % unit !== 0 || width % unit !== 0)
    throw new RangeError(
      `The network halves its input ${c.block_out_channels.length - 1} times: height and width must be multiples of ${unit}, got ${height} x ${width}.`,
    );
}
