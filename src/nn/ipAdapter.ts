// IP-Adapter (Ye et al. 2023, arXiv:2308.06721): pictures as further tokens of the cross-attention, beside the text.
import { add, attention, broadcastTo, concat, gelu, reshape, split, type Tensor } from "../graph/index.ts";
import { fromHeads, toHeads } from "./attentionBlock.ts";
import { layerNorm, linear } from "./layers.ts";
import type { ParamArray, Params } from "./params.ts";
import { seen } from "./params.ts";
import { atLevel, type UNet2DConditionConfig } from "./unet2dConditionConfig.ts";

export interface ImageProjection {
  /** base: one linear layer from the embedding. plus: a resampler of the patches' states. full: two layers on each of them. */
  readonly variant: "base" | "plus" | "full";
  /** Tokens per picture; null: as many as there are patches (full). */
  readonly tokens: number | null;
  /** Of the tokens: the U-Net's cross_attention_dim. */
  readonly width: number;
  /** plus: layers, heads and their width, and the width between the layers. */
  readonly layers: number;
  readonly heads: number;
  readonly inner: number;
}

/**
 * A picture's tokens [B, tokens, width]: from its embedding [B, D] (base), or from the states of all patches before the vision
 * model's last layer [B, patches, D] (plus, full).
 */
export function imageTokens(p: Params, name: string, picture: Tensor, projection: ImageProjection): Tensor {
  const { variant, tokens, width } = projection;
  const [batch] = picture.shape;
  const wanted = variant === "base" ? 2 : 3;
  if (picture.shape.length !== wanted)
    throw new RangeError(
      `The IP-Adapter's picture has shape [${picture.shape}], expected ${wanted === 2 ? "its embedding [B, D]" : "the states of its patches [B, patches, D]"}.`,
    );
  if (variant === "base") {
    const made = reshape(linear(p, `${name}.proj`, picture, tokens! * width), [batch, tokens!, width]);
    return seen(p, name, layerNorm(p, `${name}.norm`, made));
  }
  if (variant === "full") {
    const inner = gelu(linear(p, `${name}.proj.0`, picture, picture.shape[2]));
    return seen(p, name, layerNorm(p, `${name}.proj.3`, linear(p, `${name}.proj.2`, inner, width)));
  }
  return seen(p, name, resampler(p, name, picture, projection));
}

const HEAD = 64;

/** Learned queries that attend to the patches and to themselves (Perceiver; Alayrac et al. 2022). */
function resampler(p: Params, name: string, picture: Tensor, projection: ImageProjection): Tensor {
  const { tokens, width, layers, heads, inner } = projection;
  const [batch] = picture.shape;
  const count = tokens!;
  const x = linear(p, `${name}.proj_in`, picture, inner);
  let h = broadcastTo(p(`${name}.latents`, [1, count, inner], { normal: 1 / Math.sqrt(inner) }), [batch, count, inner]);
  for (let i = 0; i < layers; i++) {
    const attend = `${name}.layers.${i}.0`;
    const from = layerNorm(p, `${attend}.norm1`, x);
    const own = layerNorm(p, `${attend}.norm2`, h);
    const bias = false;
    const q = linear(p, `${attend}.to_q`, own, heads * HEAD, { bias });
    const [k, v] = split(
      linear(p, `${attend}.to_kv`, concat([from, own], 1), 2 * heads * HEAD, { bias }),
      [heads * HEAD, heads * HEAD],
      2,
    );
    const y = fromHeads(attention(toHeads(q, heads, HEAD), toHeads(k, heads, HEAD), toHeads(v, heads, HEAD)));
    h = add(linear(p, `${attend}.to_out`, y, inner, { bias }), h);
    const feed = `${name}.layers.${i}.1`;
    const hidden = gelu(linear(p, `${feed}.1`, layerNorm(p, `${feed}.0`, h), 4 * inner, { bias }));
    h = add(linear(p, `${feed}.3`, hidden, inner, { bias }), h);
  }
  return layerNorm(p, `${name}.norm_out`, linear(p, `${name}.proj_out`, h, width));
}

/** The cross-attentions of a U-Net in the order in which IP-Adapter files number them: 1, 3, 5, … */
export function crossAttentions(c: UNet2DConditionConfig): string[] {
  const levels = c.block_out_channels.length;
  const blocks = (name: string, attentions: number, layers: number) =>
    Array.from({ length: attentions }, (_, j) =>
      Array.from({ length: layers }, (_, k) => `${name}.attentions.${j}.transformer_blocks.${k}.attn2`),
    ).flat();
  const down = c.down_block_types.flatMap((type, i) =>
    type === "CrossAttnDownBlock2D"
      ? blocks(`down_blocks.${i}`, atLevel(c.layers_per_block, i), atLevel(c.transformer_layers_per_block, i))
      : [],
  );
  const up = c.up_block_types.flatMap((type, i) => {
    const level = levels - 1 - i;
    const layers = c.reverse_transformer_layers_per_block?.[i] ?? atLevel(c.transformer_layers_per_block, level);
    return type === "CrossAttnUpBlock2D"
      ? blocks(`up_blocks.${i}`, atLevel(c.layers_per_block, level) + 1, layers)
      : [];
  });
  const middle =
    c.mid_block_type === "UNetMidBlock2DCrossAttn"
      ? blocks("mid_block", 1, atLevel(c.transformer_layers_per_block, levels - 1))
      : [];
  return [...down, ...up, ...middle];
}

export interface IpAdapter {
  /** Keys and values for the U-Net, under diffusers' names, to be joined with its own parameters. */
  readonly unet: ReadonlyMap<string, ParamArray>;
  /** The projection, and its parameters, `image_proj.…`. */
  readonly projection: ImageProjection;
  readonly params: ReadonlyMap<string, ParamArray>;
}

/**
 * An IP-Adapter's file (its parameters `image_proj.…` and `ip_adapter.<n>.to_k_ip.weight`) for a U-Net, as its adapter
 * number `index`. Throws RangeError for another variant (FaceID), and for a file that does not fit.
 */
export function readIpAdapter(c: UNet2DConditionConfig, file: ReadonlyMap<string, ParamArray>, index = 0): IpAdapter {
  const params = new Map([...file].filter(([name]) => name.startsWith("image_proj.")));
  const projection = projectionOf(params, c.cross_attention_dim);
  const attentions = crossAttentions(c);
  const unet = new Map<string, ParamArray>();
  attentions.forEach((name, k) => {
    for (const part of ["to_k_ip", "to_v_ip"]) {
      const stored = `ip_adapter.${2 * k + 1}.${part}.weight`;
      const array = file.get(stored);
      if (!array)
        throw new RangeError(
          `This IP-Adapter lacks ${stored} for ${name}; it belongs to a network with another configuration.`,
        );
      unet.set(`${name}.processor.${part}.${index}.weight`, array);
    }
  });
  const extra = file.size - params.size - unet.size;
  if (extra !== 0)
    throw new RangeError(
      `This IP-Adapter has ${extra} tensors more than the ${attentions.length} cross-attentions of this network take; it belongs to another.`,
    );
  return { unet, projection, params };
}

/** Told by the tensors that are there. */
function projectionOf(params: ReadonlyMap<string, ParamArray>, width: number): ImageProjection {
  const shapeOf = (name: string) => params.get(`image_proj.${name}`)?.shape;
  const none = { layers: 0, heads: 0, inner: 0 };
  const [linearShape, fullShape, latents] = [shapeOf("proj.weight"), shapeOf("proj.0.weight"), shapeOf("latents")];
  if (linearShape && params.size === 4) {
    const tokens = linearShape[0] / width;
    if (!Number.isInteger(tokens))
      throw new RangeError(
        `This IP-Adapter projects to ${linearShape[0]} values, which are no whole number of tokens of width ${width}.`,
      );
    return { variant: "base", tokens, width, ...none };
  }
  const end = shapeOf(fullShape ? "proj.3.weight" : "norm_out.weight")?.[0];
  if (end !== undefined && end !== width)
    throw new RangeError(
      `This IP-Adapter's tokens are ${end} wide, but the network's cross_attention_dim is ${width}.`,
    );
  if (fullShape && params.size === 6) return { variant: "full", tokens: null, width, ...none };
  const query = shapeOf("layers.0.0.to_q.weight");
  if (latents?.length === 3 && query && query[0] % HEAD === 0) {
    const layers = [...params.keys()].filter((name) => name.endsWith(".0.to_q.weight")).length;
    return { variant: "plus", tokens: latents[1], width, layers, heads: query[0] / HEAD, inner: latents[2] };
  }
  throw new RangeError(
    `This IP-Adapter projects its picture by ${[...params.keys()].slice(0, 3).join(", ") || "nothing"}, which is not supported; expected the base, plus or full variant.`,
  );
}
