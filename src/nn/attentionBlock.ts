// Attention with parameters: diffusers' Attention, over tokens and over the pixels of an image.
import { add, attention as attend, div, mul, type Operand, reshape, type Tensor, transpose } from "../graph/index.ts";
import { groupNorm, linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";

export interface AttentionOptions {
  readonly heads: number;
  readonly headDim: number;
  /** Biases on to_q, to_k and to_v; to_out.0 always has one. */
  readonly bias: boolean;
}

/** Pictures that a network also attends to (IP-Adapter, Ye et al. 2023): tokens [B, N, D], and how much they count. */
export interface ImagePrompt {
  readonly tokens: Tensor;
  readonly scale: Operand;
}

/**
 * x [B, L, C] attends to context [B, L', C'] (to itself unless given); result [B, L, C]. Image prompt k has keys and
 * values of its own under diffusers' names `processor.to_k_ip.k` and `processor.to_v_ip.k`.
 */
export function attention(
  p: Params,
  name: string,
  x: Tensor,
  { heads, headDim, bias }: AttentionOptions,
  context: Tensor = x,
  images: readonly ImagePrompt[] = [],
): Tensor {
  const inner = heads * headDim;
  const project = (part: string, from: Tensor, withBias = bias) =>
    toHeads(linear(p, `${name}.${part}`, from, inner, { bias: withBias }), heads, headDim);
  const scale = 1 / Math.sqrt(headDim);
  const q = project("to_q", x);
  let y = attend(q, project("to_k", context), project("to_v", context), { scale });
  images.forEach((image, k) => {
    const key = project(`processor.to_k_ip.${k}`, image.tokens, false);
    const value = project(`processor.to_v_ip.${k}`, image.tokens, false);
    y = add(y, mul(attend(q, key, value, { scale }), image.scale));
  });
  return linear(p, `${name}.to_out.0`, fromHeads(y), x.shape[2]);
}

/** [B, L, heads · headDim] to [B, heads, L, headDim]. */
export const toHeads = (x: Tensor, heads: number, headDim: number): Tensor =>
  transpose(reshape(x, [x.shape[0], x.shape[1], heads, headDim]), [0, 2, 1, 3]);

/** [B, heads, L, headDim] to [B, L, heads · headDim]. */
export const fromHeads = (x: Tensor): Tensor =>
  reshape(transpose(x, [0, 2, 1, 3]), [x.shape[0], x.shape[2], x.shape[1] * x.shape[3]]);

/** [B, C, H, W] to [B, H W, C]. */
export const toTokens = (x: Tensor): Tensor =>
  transpose(reshape(x, [x.shape[0], x.shape[1], x.shape[2] * x.shape[3]]), [0, 2, 1]);

/** [B, H W, C] to [B, C, H, W]. */
export const toImage = (x: Tensor, height: number, width: number): Tensor =>
  reshape(transpose(x, [0, 2, 1]), [x.shape[0], x.shape[2], height, width]);

export interface ImageAttentionOptions {
  readonly headDim: number;
  /** Groups of the norm in front, or null for none. */
  readonly groups: number | null;
  readonly eps: number;
  /** The sum with the input is divided by this; 1 unless given. */
  readonly outputScale?: number;
}

/** Self-attention over the pixels of x [B, C, H, W] with a group norm in front and a residual connection. */
export function imageAttention(p: Params, name: string, x: Tensor, options: ImageAttentionOptions): Tensor {
  const { headDim, groups, eps, outputScale = 1 } = options;
  const [, channels, height, width] = x.shape;
  const heads = Math.floor(channels / headDim);
  if (heads < 1) throw new RangeError(`${name}: heads of width ${headDim} do not fit into ${channels} channels.`);
  const normed = groups === null ? x : groupNorm(p, `${name}.group_norm`, x, groups, eps);
  const y = attention(p, name, toTokens(normed), { heads, headDim, bias: true });
  const sum = add(toImage(y, height, width), x);
  return seen(p, name, outputScale === 1 ? sum : div(sum, outputScale));
}
