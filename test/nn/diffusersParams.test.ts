import { describe, expect, it } from "vitest";
import { readAutoencoderKlConfig } from "../../src/nn/autoencoderKlConfig.ts";
import { readAutoencoderTinyConfig } from "../../src/nn/autoencoderTiny.ts";
import { readClipTextConfig, readClipVisionConfig } from "../../src/nn/clipConfig.ts";
import { readControlNetConfig } from "../../src/nn/controlNetConfig.ts";
import {
  autoencoderKlParams,
  autoencoderTinyParams,
  checkParams,
  clipTextParams,
  clipVisionParams,
  controlNetParams,
  safetyCheckerParams,
  t2iAdapterParams,
  unetParams,
} from "../../src/nn/diffusersParams.ts";
import { countParams } from "../../src/nn/params.ts";
import { readT2IAdapterConfig } from "../../src/nn/t2iAdapter.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";

describe("parameters of the published models, as counted by their frameworks", () => {
  const stableVae = readAutoencoderKlConfig({
    block_out_channels: [128, 256, 512, 512],
    down_block_types: Array(4).fill("DownEncoderBlock2D"),
    up_block_types: Array(4).fill("UpDecoderBlock2D"),
    layers_per_block: 2,
    sample_size: 512,
  });
  it("the VAE of Stable Diffusion", () => expect(countParams(autoencoderKlParams(stableVae))).toBe(83_653_863));
  it("TAESD", () => expect(countParams(autoencoderTinyParams(readAutoencoderTinyConfig({})))).toBe(2_445_063));
  it("CLIP ViT-L/14's text model", () => {
    const config = readClipTextConfig({
      architectures: ["CLIPTextModel"],
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      num_hidden_layers: 12,
    });
    expect(countParams(clipTextParams(config))).toBe(123_060_480);
  });
  it("OpenCLIP ViT-bigG/14's text model with projection", () => {
    const config = readClipTextConfig({
      architectures: ["CLIPTextModelWithProjection"],
      hidden_act: "gelu",
      hidden_size: 1280,
      intermediate_size: 5120,
      num_attention_heads: 20,
      num_hidden_layers: 32,
      projection_dim: 1280,
    });
    expect(countParams(clipTextParams(config))).toBe(694_659_840);
  });
  it("OpenCLIP ViT-H/14's vision model with projection", () => {
    const config = readClipVisionConfig({
      hidden_act: "gelu",
      hidden_size: 1280,
      intermediate_size: 5120,
      num_attention_heads: 16,
      num_hidden_layers: 32,
      patch_size: 14,
      projection_dim: 1024,
    });
    expect(countParams(clipVisionParams(config))).toBe(632_076_800);
  });
  it("the U-Net and the text encoder of Stable Diffusion 2", () => {
    const unet = { attention_head_dim: [5, 10, 20, 20], cross_attention_dim: 1024, use_linear_projection: true };
    expect(countParams(unetParams(readUNet2DConditionConfig(unet)))).toBe(865_910_724);
    const text = readClipTextConfig({
      hidden_act: "gelu",
      hidden_size: 1024,
      intermediate_size: 4096,
      num_attention_heads: 16,
      num_hidden_layers: 23,
    });
    expect(countParams(clipTextParams(text))).toBe(340_387_840);
  });
  it("a ControlNet for Stable Diffusion 1.5", () => {
    const config = readControlNetConfig({ cross_attention_dim: 768 });
    expect(countParams(controlNetParams(config))).toBe(361_279_120);
  });
});

describe("names", () => {
  const names = (spec: readonly { name: string }[]) => spec.map(({ name }) => name);

  it("of class embeddings follow class_embed_type", () => {
    const of = (config: object) => names(unetParams(readUNet2DConditionConfig({ ...small, ...config })));
    expect(of({ class_embed_type: "projection", projection_class_embeddings_input_dim: 10 })).toContain(
      "class_embedding.linear_1.weight",
    );
    expect(of({ class_embed_type: "timestep" })).toContain("class_embedding.linear_2.bias");
    expect(of({ class_embed_type: "simple_projection", projection_class_embeddings_input_dim: 10 })).toContain(
      "class_embedding.weight",
    );
    expect(of({ num_class_embeds: 4 })).toContain("class_embedding.weight");
    expect(of({ class_embed_type: "identity" }).filter((name) => name.startsWith("class"))).toEqual([]);
    expect(() => readUNet2DConditionConfig({ class_embed_type: "projection" })).toThrow(
      '"projection_class_embeddings_input_dim": null is not supported',
    );
  });

  it("of the upscaler's first attentions are as wide as the text", () => {
    const spec = unetParams(readUNet2DConditionConfig({ ...small, only_cross_attention: [true, false] }));
    const key = (block: string) =>
      spec.find(({ name }) => name === `${block}.attentions.0.transformer_blocks.0.attn1.to_k.weight`)?.shape;
    expect(key("down_blocks.0")).toEqual([8, 12]);
    expect(key("down_blocks.1")).toEqual([16, 16]);
    expect(key("up_blocks.1")).toEqual([8, 12]);
    expect(key("mid_block")).toEqual([16, 16]);
  });

  it("of T2I-Adapters follow their type", () => {
    const of = (adapter_type: string) =>
      names(t2iAdapterParams(readT2IAdapterConfig({ adapter_type, channels: [8, 16, 16, 16], num_res_blocks: 1 })));
    expect(of("full_adapter_xl")).toContain("adapter.body.1.in_conv.weight");
    expect(of("light_adapter")).toContain("adapter.body.0.out_conv.weight");
    expect(of("light_adapter")).not.toContain("adapter.conv_in.weight");
  });

  it("of the safety checker are nested twice", () => {
    const config = readClipVisionConfig({
      hidden_size: 8,
      intermediate_size: 8,
      num_attention_heads: 2,
      num_hidden_layers: 1,
    });
    const spec = names(safetyCheckerParams(config));
    expect(spec).toContain("vision_model.vision_model.pre_layrnorm.weight");
    expect(spec).toContain("special_care_embeds_weights");
    expect(spec).toContain("visual_projection.weight");
  });

  it("that are missing, too many or misshapen are listed together", () => {
    const spec = unetParams(readUNet2DConditionConfig(small));
    const weights = new Map(spec.map(({ name, shape }) => [name, { shape, data: new Float32Array() }]));
    expect(() => checkParams(spec, weights, "unet")).not.toThrow();
    weights.delete("conv_in.bias");
    weights.set("conv_extra.weight", { shape: [3], data: new Float32Array() });
    weights.set("conv_out.bias", { shape: [9], data: new Float32Array() });
    expect(() => checkParams(spec, weights, "unet")).toThrow(
      "unet does not fit its configuration: of its tensors 1 missing (conv_in.bias [8]); 1 too many (conv_extra.weight [3]); 1 of another shape (conv_out.bias [9], expected [4]).",
    );
  });
});

const small = {
  block_out_channels: [8, 16],
  down_block_types: ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
  layers_per_block: 1,
  norm_num_groups: 4,
  attention_head_dim: 2,
  cross_attention_dim: 12,
};
