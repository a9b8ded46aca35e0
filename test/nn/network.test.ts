// Networks from JSON: counts, the variants of U-Nets, and the sentences that refuse what is not supported.
import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/index.ts";
import { classifier, readClassifierConfig } from "../../src/nn/classifier.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { collectParams, countParams } from "../../src/nn/params.ts";
import { unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";

const small = {
  sample_size: 8,
  block_out_channels: [4, 8],
  down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
  norm_num_groups: 2,
};
const namesOf = (config: object) =>
  collect(buildNetwork({ family: "unet2d", config: { ...small, ...config } })).map((s) => s.name);

describe("buildNetwork", () => {
  it("gives a spec that rebuilds the same network", () => {
    const network = buildNetwork({ family: "dit", config: { size: 8, width: 16, heads: 2, depth: 1 } });
    const again = buildNetwork(JSON.parse(JSON.stringify({ family: network.family, config: network.config })));
    expect(again.config).toEqual(network.config);
    expect(collect(again)).toEqual(collect(network));
  });

  it("counts: DDPM's CIFAR-10 network has 35,746,307 parameters", () => {
    // https://huggingface.co/google/ddpm-cifar10-32: unet/config.json
    const config = {
      sample_size: 32,
      block_out_channels: [128, 256, 256, 256],
      down_block_types: ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
      up_block_types: ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
      attention_head_dim: null,
      downsample_padding: 0,
      flip_sin_to_cos: false,
      freq_shift: 1,
      norm_eps: 1e-6,
    };
    expect(countParams(collect(buildNetwork({ family: "unet2d", config })))).toBe(35_746_307);
  });

  it("counts: DiT-S/2 has 33 million parameters", () => {
    // Peebles and Xie 2023, table 1; 384,384 of them embed the 1,001 labels. Ours has no learned variance.
    const config = { channels: 4, size: 32, patch: 2, width: 384, depth: 12, heads: 6, classes: 1000 };
    expect(countParams(collect(buildNetwork({ family: "dit", config })))).toBe(32_474_512 + 384_384);
  });

  it("refuses labels without classes, and classes without labels", () => {
    const x = input("x", [1, 2]);
    const tau = input("tau", [1]);
    const labels = input("labels", [1], "int64");
    const run = (classes: number | null, given: boolean) => () =>
      collectParams((p) =>
        buildNetwork({ family: "mlp", config: { classes } }).apply(p, x, tau, given ? { labels } : {}),
      );
    expect(run(3, false)).toThrow("labels [B] int64 are needed");
    expect(run(null, true)).toThrow("labels cannot be given");
  });

  it.each<[string, string, object, string]>([
    [
      "an unknown family",
      "vit",
      {},
      'There is no network family "vit"; known are mlp, dit, unet2d, unet2d-condition, exact and onnx.',
    ],
    ["an unknown option", "mlp", { widht: 4 }, 'mlp: "widht": 4 is not supported; remove the key if it has no effect.'],
    [
      "a wrong type",
      "mlp",
      { width: "4" },
      'mlp: "width": "4" is not supported (Invalid input: expected number, received string).',
    ],
    [
      "a block",
      "unet2d",
      { down_block_types: ["SkipDownBlock2D"] },
      'UNet2DModel: "down_block_types.0": "SkipDownBlock2D" is not supported',
    ],
    [
      "levels",
      "unet2d",
      { block_out_channels: [4] },
      '"down_block_types": ["DownBlock2D","AttnDownBlock2D","AttnDownBlock2D","AttnDownBlock2D"] is not supported (block_out_channels has 1 levels',
    ],
    ["a patch", "dit", { size: 7 }, 'dit: "size": 7 is not supported (it must be a multiple of patch = 2).'],
    [
      "heads",
      "dit",
      { width: 16, heads: 3 },
      'dit: "width": 16 is not supported (it must be a multiple of heads = 3).',
    ],
  ])("refuses %s", (_, family, config, sentence) => {
    expect(() => buildNetwork({ family, config })).toThrow(sentence);
  });
});

describe("variants of UNet2DModel", () => {
  it("refuses images that cannot be halved often enough", () => {
    expect(() => namesOf({ sample_size: 7 })).toThrow("height and width must be multiples of 2, got 7 x 7");
  });

  it("names of a Fourier network, a learned time, residual resampling", () => {
    expect(namesOf({ time_embedding_type: "fourier" })).toContain("time_proj.weight");
    expect(namesOf({ time_embedding_type: "learned", num_train_timesteps: 10 })).toContain("time_proj.weight");
    const plain = namesOf({ attention_head_dim: 4 });
    expect(plain).toContain("down_blocks.0.downsamplers.0.conv.weight");
    expect(plain).toContain("up_blocks.0.upsamplers.0.conv.weight");
    const residual = namesOf({
      attention_head_dim: 4,
      upsample_type: "resnet",
      down_block_types: ["ResnetDownsampleBlock2D", "DownBlock2D"],
    });
    expect(residual).toContain("down_blocks.0.downsamplers.0.time_emb_proj.weight");
    expect(residual).toContain("up_blocks.0.upsamplers.0.conv2.weight");
  });

  it("the norm in front of the middle attention follows the style of time", () => {
    const norm = "mid_block.attentions.0.group_norm.weight";
    expect(namesOf({ attention_head_dim: 4 })).toContain(norm);
    expect(namesOf({ attention_head_dim: 4, resnet_time_scale_shift: "scale_shift" })).not.toContain(norm);
    expect(
      namesOf({ attention_head_dim: 4, resnet_time_scale_shift: "scale_shift", attn_norm_num_groups: 2 }),
    ).toContain(norm);
    expect(namesOf({ attention_head_dim: 4, add_attention: false })).not.toContain(norm);
  });

  it("refuses heads that do not fit", () => {
    expect(() => namesOf({ attention_head_dim: 16 })).toThrow("heads of width 16 do not fit into 8 channels");
  });
});

describe("UNet2DConditionModel", () => {
  it("counts: Stable Diffusion 1.5 has 859,520,964 parameters", () => {
    const spec = collectCondition({ sample_size: 64, cross_attention_dim: 768 }, 768);
    expect(countParams(spec)).toBe(859_520_964);
  });

  it("counts: Stable Diffusion XL has 2,567,463,684 parameters", () => {
    const spec = collectCondition(
      {
        sample_size: 128,
        block_out_channels: [320, 640, 1280],
        down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        transformer_layers_per_block: [1, 2, 10],
        attention_head_dim: [5, 10, 20],
        cross_attention_dim: 2048,
        use_linear_projection: true,
        addition_embed_type: "text_time",
        addition_time_embed_dim: 256,
        projection_class_embeddings_input_dim: 2816,
      },
      2048,
    );
    expect(countParams(spec)).toBe(2_567_463_684);
  });

  it("takes the guidance of LCM, and refuses conditions that are missing", () => {
    const lcm = collectCondition({ time_cond_proj_dim: 256, cross_attention_dim: 768 }, 768, 256);
    expect(lcm.map((s) => s.name)).toContain("time_embedding.cond_proj.weight");
    expect(() => collectCondition({ time_cond_proj_dim: 256 }, 1280)).toThrow(
      'The condition that "time_cond_proj_dim" stands for is missing.',
    );
    expect(() => readUNet2DConditionConfig({ dual_cross_attention: true })).toThrow(
      '"dual_cross_attention": true is not supported',
    );
    expect(() => readUNet2DConditionConfig({ addition_embed_type: "text_time" })).toThrow(
      '"addition_time_embed_dim": null is not supported',
    );
  });
});

it("the classifier has 64 features and ten logits", () => {
  const x = input("x", [5, 1, 28, 28]);
  const spec = collectParams((p) => {
    const { features, logits } = classifier(readClassifierConfig({}), p, x);
    expect([features.shape, logits.shape]).toEqual([
      [5, 64],
      [5, 10],
    ]);
  });
  expect(countParams(spec)).toBe(224_938);
});

function collectCondition(config: object, contextWidth: number, guidanceWidth?: number) {
  const c = readUNet2DConditionConfig(config);
  const sdxl = c.addition_embed_type !== null;
  return collectParams((p) =>
    unet2dCondition(c, p, input("x", [1, 4, 32, 32]), input("tau", [1]), {
      context: input("context", [1, 77, contextWidth]),
      textEmbeds: sdxl ? input("text", [1, 1280]) : undefined,
      timeIds: sdxl ? input("ids", [1, 6]) : undefined,
      guidance: guidanceWidth ? input("guidance", [1, guidanceWidth]) : undefined,
    }),
  );
}
