// diffusers' Transformer2DModel: self-attention, cross-attention and gated feed-forward over the pixels of an image.
import { add, geglu, type Tensor } from "../graph/index.ts";
import { type AttentionOptions, attention, type ImagePrompt, toImage, toTokens } from "./attentionBlock.ts";
import { conv2d, groupNorm, layerNorm, linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";
import { block } from "./remat.ts";

export interface TransformerOptions {
  readonly heads: number;
  /** Transformer blocks, one after the other. */
  readonly layers: number;
  readonly groups: number;
  /** Projections in and out as matrices on tokens (SD 2, SDXL) instead of 1 x 1 convolutions (SD 1.5). */
  readonly linearProjection: boolean;
  /** The first attention looks at the context too, instead of at the image itself. */
  readonly onlyCross?: boolean;
}

/** What the pixels attend to: text [B, L, D] and the pictures of IP-Adapters. */
export interface Attended {
  readonly text: Tensor;
  readonly images?: readonly ImagePrompt[];
}

/** x [B, C, H, W]; result as x. */
export function transformer2d(
  p: Params,
  name: string,
  x: Tensor,
  context: Attended,
  options: TransformerOptions,
): Tensor {
  const { heads, layers, groups, linearProjection, onlyCross = false } = options;
  const [, channels, height, width] = x.shape;
  const headDim = Math.floor(channels / heads);
  if (headDim < 1) throw new RangeError(`${name}: ${channels} channels cannot be divided into ${heads} heads.`);
  const inner = heads * headDim;
  const enter = () => {
    const normed = groupNorm(p, `${name}.norm`, x, groups, 1e-6);
    return linearProjection
      ? linear(p, `${name}.proj_in`, toTokens(normed), inner)
      : toTokens(conv2d(p, `${name}.proj_in`, normed, { out: inner, kernel: 1 }));
  };
  const leave = (h: Tensor) => {
    const y = linearProjection
      ? toImage(linear(p, `${name}.proj_out`, h, channels), height, width)
      : conv2d(p, `${name}.proj_out`, toImage(h, height, width), { out: channels, kernel: 1 });
    return add(y, x);
  };
  // The projections belong to the first and the last block, so that nothing is kept between them and those.
  let h = x;
  for (let i = 0; i < layers; i++)
    h = block(p, () => {
      const from = i === 0 ? enter() : h;
      const to = transformer(
        p,
        `${name}.transformer_blocks.${i}`,
        from,
        context,
        { heads, headDim, bias: false },
        onlyCross,
      );
      return i === layers - 1 ? leave(to) : to;
    });
  return seen(p, name, h);
}

function transformer(
  p: Params,
  name: string,
  x: Tensor,
  { text, images }: Attended,
  options: AttentionOptions,
  onlyCross: boolean,
): Tensor {
  const self = attention(p, `${name}.attn1`, layerNorm(p, `${name}.norm1`, x), options, onlyCross ? text : undefined);
  let h = add(seen(p, `${name}.attn1`, self), x);
  const cross = attention(p, `${name}.attn2`, layerNorm(p, `${name}.norm2`, h), options, text, images);
  h = add(seen(p, `${name}.attn2`, cross), h);
  return seen(p, name, add(feedForward(p, `${name}.ff`, layerNorm(p, `${name}.norm3`, h)), h));
}

/** Linear to twice four times the width, geglu, linear back. */
function feedForward(p: Params, name: string, x: Tensor): Tensor {
  const width = x.shape[2];
  const gated = seen(p, `${name}.net.0`, geglu(linear(p, `${name}.net.0.proj`, x, 8 * width)));
  return seen(p, name, linear(p, `${name}.net.2`, gated, width));
}
