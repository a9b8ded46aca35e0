// diffusers' AutoencoderKL (Rombach et al. 2022, arXiv:2112.10752) under its own parameter names.
import { clamp, split, type Tensor } from "../graph/index.ts";
import { activate } from "./activations.ts";
import { imageAttention } from "./attentionBlock.ts";
import { type AutoencoderKlConfig, vaeFactor } from "./autoencoderKlConfig.ts";
import { conv2d, groupNorm } from "./layers.ts";
import { type Params, seen } from "./params.ts";
import { block } from "./remat.ts";
import { downsample, type ResnetStyle, resnet, upsample } from "./resnet.ts";

const EPS = 1e-6;

/**
 * image [B, in_channels, H, W] in -1 to 1; the moments [B, 2 latent_channels, H/f, W/f]: mean and logvar, before the clamp
 * that `posterior` does. Throws RangeError for a picture of the wrong shape.
 */
export function encodeMoments(c: AutoencoderKlConfig, p: Params, image: Tensor): Tensor {
  const [, channels, height, width] = image.shape;
  const factor = vaeFactor(c);
  if (channels !== c.in_channels || height < factor || width < factor)
    throw new RangeError(
      `The picture has shape [${image.shape}], expected [B, ${c.in_channels}, H, W] with H and W at least ${factor}.`,
    );
  const style = styleOf(c);
  let h = conv2d(p, "encoder.conv_in", image, { out: c.block_out_channels[0] });
  c.block_out_channels.forEach((out, i) => {
    const name = `encoder.down_blocks.${i}`;
    for (let j = 0; j < c.layers_per_block; j++)
      h = block(p, () => resnet(p, `${name}.resnets.${j}`, h, null, out, style));
    if (i < c.block_out_channels.length - 1) h = downsample(p, `${name}.downsamplers.0`, h, 0);
    seen(p, name, h);
  });
  h = middle(c, p, "encoder.mid_block", h);
  h = seen(p, "encoder", last(c, p, "encoder", h, 2 * c.latent_channels));
  return c.use_quant_conv ? conv2d(p, "quant_conv", h, { out: 2 * c.latent_channels, kernel: 1 }) : h;
}

/** What the posterior's logvar is clamped to. */
export const LOGVAR = [-30, 20] as const;

/** Mean and logvar (clamped to -30 to 20, as diffusers does) from moments [B, 2 C, h, w]. */
export function posterior(moments: Tensor): { mean: Tensor; logvar: Tensor } {
  const channels = moments.shape[1] / 2;
  const [mean, logvar] = split(moments, [channels, channels], 1);
  return { mean, logvar: clamp(logvar, { min: LOGVAR[0], max: LOGVAR[1] }) };
}

/** latents [B, latent_channels, h, w], unscaled; the picture [B, out_channels, f h, f w], about -1 to 1, not clamped. */
export function decodeLatents(c: AutoencoderKlConfig, p: Params, latents: Tensor): Tensor {
  if (latents.shape[1] !== c.latent_channels)
    throw new RangeError(`The latents have shape [${latents.shape}], expected [B, ${c.latent_channels}, h, w].`);
  const style = styleOf(c);
  const widths = [...c.block_out_channels].reverse();
  let h = c.use_post_quant_conv
    ? conv2d(p, "post_quant_conv", latents, { out: c.latent_channels, kernel: 1 })
    : latents;
  h = conv2d(p, "decoder.conv_in", h, { out: widths[0] });
  h = middle(c, p, "decoder.mid_block", h);
  widths.forEach((out, i) => {
    const name = `decoder.up_blocks.${i}`;
    for (let j = 0; j <= c.layers_per_block; j++)
      h = block(p, () => resnet(p, `${name}.resnets.${j}`, h, null, out, style));
    if (i < widths.length - 1) h = block(p, () => upsample(p, `${name}.upsamplers.0`, h));
    seen(p, name, h);
  });
  return seen(p, "decoder", last(c, p, "decoder", h, c.out_channels));
}

function middle(c: AutoencoderKlConfig, p: Params, name: string, x: Tensor): Tensor {
  const channels = x.shape[1];
  let h = block(p, () => resnet(p, `${name}.resnets.0`, x, null, channels, styleOf(c)));
  if (c.mid_block_add_attention) {
    // One head as wide as the image has channels.
    const options = { headDim: channels, groups: c.norm_num_groups, eps: EPS };
    h = block(p, () => imageAttention(p, `${name}.attentions.0`, h, options));
  }
  return seen(
    p,
    name,
    block(p, () => resnet(p, `${name}.resnets.1`, h, null, channels, styleOf(c))),
  );
}

/** The last activation is SiLU whatever act_fn says. */
const last = (c: AutoencoderKlConfig, p: Params, name: string, h: Tensor, out: number): Tensor =>
  conv2d(p, `${name}.conv_out`, activate("silu", groupNorm(p, `${name}.conv_norm_out`, h, c.norm_num_groups, EPS)), {
    out,
  });

const styleOf = (c: AutoencoderKlConfig): ResnetStyle => ({ groups: c.norm_num_groups, eps: EPS, act: c.act_fn });
