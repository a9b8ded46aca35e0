// IP-Adapter (Ye et al. 2023, arXiv:2308.06721): pictures as further tokens of the cross-attention, beside the text.
import { reshape, type Tensor } from "../graph/index.ts";
import { layerNorm, linear } from "./layers.ts";
import type { ParamArray, Params } from "./params.ts";
import { seen } from "./params.ts";
import { atLevel, type UNet2DConditionConfig } from "./unet2dConditionConfig.ts";

/** The base variant's projection of a picture's embedding [B, D] to tokens [B, count, width]. */
export function imageTokens(p: Params, name: string, embeds: Tensor, count: number, width: number): Tensor {
  const tokens = reshape(linear(p, `${name}.proj`, embeds, count * width), [embeds.shape[0], count, width]);
  return seen(p, name, layerNorm(p, `${name}.norm`, tokens));
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
  /** The projection's parameters, `image_proj.…`. */
  readonly projection: ReadonlyMap<string, ParamArray>;
  /** Tokens per picture, and the width of the embedding that they come from. */
  readonly tokens: number;
  readonly embedding: number;
}

/**
 * An IP-Adapter's file (its parameters `image_proj.…` and `ip_adapter.<n>.to_k_ip.weight`) for a U-Net, as its adapter
 * number `index`. Throws RangeError for the variants with more than one linear layer, and for a file that does not fit.
 */
export function readIpAdapter(c: UNet2DConditionConfig, params: ReadonlyMap<string, ParamArray>, index = 0): IpAdapter {
  const projection = new Map([...params].filter(([name]) => name.startsWith("image_proj.")));
  const matrix = projection.get("image_proj.proj.weight");
  if (!matrix || projection.size !== 4)
    throw new RangeError(
      `This IP-Adapter projects its picture by ${[...projection.keys()].slice(0, 3).join(", ") || "nothing"}; only the base variant is supported, with image_proj.proj and image_proj.norm.`,
    );
  const attentions = crossAttentions(c);
  const unet = new Map<string, ParamArray>();
  attentions.forEach((name, k) => {
    for (const part of ["to_k_ip", "to_v_ip"]) {
      const stored = `ip_adapter.${2 * k + 1}.${part}.weight`;
      const array = params.get(stored);
      if (!array)
        throw new RangeError(
          `This IP-Adapter lacks ${stored} for ${name}; it belongs to a network with another configuration.`,
        );
      unet.set(`${name}.processor.${part}.${index}.weight`, array);
    }
  });
  const extra = params.size - projection.size - unet.size;
  if (extra !== 0)
    throw new RangeError(
      `This IP-Adapter has ${extra} tensors more than the ${attentions.length} cross-attentions of this network take; it belongs to another.`,
    );
  const width = c.cross_attention_dim;
  const tokens = matrix.shape[0] / width;
  if (!Number.isInteger(tokens))
    throw new RangeError(
      `This IP-Adapter projects to ${matrix.shape[0]} values, which are no whole number of tokens of width ${width}.`,
    );
  return { unet, projection, tokens, embedding: matrix.shape[1] };
}
