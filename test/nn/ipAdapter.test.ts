import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/index.ts";
import { readControlNetConfig } from "../../src/nn/controlNetConfig.ts";
import { checkParams } from "../../src/nn/diffusersParams.ts";
import { crossAttentions, type ImageProjection, imageTokens, readIpAdapter } from "../../src/nn/ipAdapter.ts";
import { collectParams, type ParamArray } from "../../src/nn/params.ts";
import { ipWeights, randomWeights, tinyUNet } from "../support/tinyDiffusion.ts";

const config = tinyUNet();
const none = { layers: 0, heads: 0, inner: 0, width: 8 };
const variants: readonly ImageProjection[] = [
  { ...none, variant: "base", tokens: 4 },
  { ...none, variant: "full", tokens: null },
  { variant: "plus", tokens: 3, width: 8, layers: 2, heads: 2, inner: 10 },
];
const pictureOf = ({ variant }: ImageProjection) => input("picture", variant === "base" ? [1, 6] : [1, 5, 6]);

/** A file as it is published: numbered keys and values, and the projection. */
function fileOf(projection: ImageProjection): Map<string, ParamArray> {
  const spec = collectParams((p) => imageTokens(p, "image_proj", pictureOf(projection), projection));
  const numbered = [...ipWeights(config, 1)].map(([name, array]): [string, ParamArray] => {
    const [attention, part] = name.split(/\.processor\.|\.0\.weight$/);
    return [`ip_adapter.${2 * crossAttentions(config).indexOf(attention) + 1}.${part}.weight`, array];
  });
  return new Map([...randomWeights(spec, 2), ...numbered]);
}

describe("IP-Adapter files", () => {
  it.each(variants)("are told apart by their tensors: $variant", (projection) => {
    const adapter = readIpAdapter(config, fileOf(projection), 2);
    expect(adapter.projection).toEqual(projection);
    expect([...adapter.unet.keys()]).toContain(
      "mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_v_ip.2.weight",
    );
    const spec = collectParams((p) => imageTokens(p, "image_proj", pictureOf(projection), adapter.projection));
    expect(() => checkParams(spec, adapter.params, "image_proj")).not.toThrow();
  });

  it("number down blocks, up blocks, then the middle", () => {
    expect(crossAttentions(config)).toEqual([
      "down_blocks.0.attentions.0.transformer_blocks.0.attn2",
      "up_blocks.1.attentions.0.transformer_blocks.0.attn2",
      "up_blocks.1.attentions.1.transformer_blocks.0.attn2",
      "mid_block.attentions.0.transformer_blocks.0.attn2",
    ]);
  });

  it("that do not fit are refused in a sentence", () => {
    const file = fileOf(variants[0]);
    const without = (name: string) => new Map([...file].filter(([key]) => key !== name));
    expect(() => readIpAdapter(config, without("ip_adapter.3.to_k_ip.weight"))).toThrow(
      "lacks ip_adapter.3.to_k_ip.weight",
    );
    const more = new Map(file).set("ip_adapter.9.to_k_ip.weight", { shape: [8, 8], data: new Float32Array(64) });
    expect(() => readIpAdapter(config, more)).toThrow("has 1 tensors more than the 4 cross-attentions");
    expect(() => readIpAdapter(config, without("image_proj.norm.bias"))).toThrow(
      "expected the base, plus or full variant",
    );
    expect(() => readIpAdapter(tinyUNet({ cross_attention_dim: 12 }), file)).toThrow(
      "no whole number of tokens of width 12",
    );
    const plain = { ...none, variant: "plus" as const, tokens: 2 };
    expect(() => collectParams((p) => imageTokens(p, "image_proj", input("x", [1, 6]), plain))).toThrow(
      "the states of its patches",
    );
  });
});

it("a ControlNet's configuration is called one in messages", () => {
  expect(() => readControlNetConfig({ dual_cross_attention: true })).toThrow(
    'ControlNetModel: "dual_cross_attention": true is not supported',
  );
  expect(() => readControlNetConfig({ up_block_types: [] })).toThrow("it only has a way down");
  expect(() => readControlNetConfig({ conditioning_embedding_out_channels: [] })).toThrow("ControlNetModel");
});
