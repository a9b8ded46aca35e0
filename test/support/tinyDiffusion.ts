// The parts of a text-to-image pipeline, as small as they can be, with random weights and an alphabet for a vocabulary.

import type { PipelineParts } from "../../src/diffusers/pipelineParts.ts";
import { clipTokenizer } from "../../src/diffusers/tokenizer.ts";
import { readAutoencoderKlConfig } from "../../src/nn/autoencoderKlConfig.ts";
import { readClipTextConfig } from "../../src/nn/clipConfig.ts";
import { readControlNetConfig } from "../../src/nn/controlNetConfig.ts";
import {
  autoencoderKlParams,
  clipTextParams,
  controlNetParams,
  t2iAdapterParams,
  unetParams,
} from "../../src/nn/diffusersParams.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { crossAttentions } from "../../src/nn/ipAdapter.ts";
import { fromConstants, type ParamArray, type ParamMap, type ParamSpec, unflatten } from "../../src/nn/params.ts";
import { readT2IAdapterConfig } from "../../src/nn/t2iAdapter.ts";
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { fold, key, normal } from "../../src/random.ts";

/** Random, also where a network starts at zero. */
export function randomWeights(spec: readonly ParamSpec[], seed: number): Map<string, ParamArray> {
  const start = initialize(spec, key(seed));
  const noise = normal(fold(key(seed), "noise"), start.length);
  return unflatten(
    spec,
    start.map((value, i) => value + 0.1 * noise[i]),
  );
}

const letters = [..."abcdefghijklmnopqrstuvwxyz"];
export const tinyWords = [...letters, ...letters.map((c) => `${c}</w>`), "<|startoftext|>", "<|endoftext|>"];
export const tinyTokenizer = clipTokenizer({
  vocab: Object.fromEntries(tinyWords.map((word, id) => [word, id])),
  merges: "#version: 0.2\n",
});

const width = 8;
export const tinyText = readClipTextConfig({
  architectures: ["CLIPTextModel"],
  hidden_size: width,
  intermediate_size: 16,
  num_attention_heads: 2,
  num_hidden_layers: 2,
  vocab_size: tinyWords.length,
  eos_token_id: 2,
  projection_dim: 6,
});
const unetKeys = {
  sample_size: 4,
  block_out_channels: [8, 8],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  layers_per_block: 1,
  norm_num_groups: 4,
  attention_head_dim: 2,
  cross_attention_dim: width,
};
export const tinyUNet = (keys: object = {}): UNet2DConditionConfig =>
  readUNet2DConditionConfig({ ...unetKeys, up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"], ...keys });
const vaeConfig = readAutoencoderKlConfig({
  block_out_channels: [4, 8],
  down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
  up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
  norm_num_groups: 2,
  sample_size: 8,
});
const { sample_size: _, ...controlKeys } = unetKeys;
export const tinyControlNet = readControlNetConfig({ ...controlKeys, conditioning_embedding_out_channels: [4, 8] });
export const tinyAdapter = readT2IAdapterConfig({ channels: [8, 8], num_res_blocks: 1, downscale_factor: 2 });

const part = <Config>(config: Config, weights: ParamMap) => ({ config, params: fromConstants(weights) });

/** Keys and values of one IP-Adapter for a U-Net. */
export const ipWeights = (config: UNet2DConditionConfig, seed: number): Map<string, ParamArray> =>
  randomWeights(
    crossAttentions(config).flatMap((name) =>
      ["to_k_ip", "to_v_ip"].map((of) => ({
        name: `${name}.processor.${of}.0.weight`,
        shape: [8, width],
        init: "default" as const,
      })),
    ),
    seed,
  );

/** SD-shaped; `xl` adds a second text encoder and the size conditions. */
export function tinyParts(options: { readonly xl?: boolean; readonly unet?: object } = {}): PipelineParts {
  const { xl = false, unet: keys = {} } = options;
  const unet = tinyUNet({
    ...(xl
      ? {
          cross_attention_dim: 2 * width,
          addition_embed_type: "text_time",
          addition_time_embed_dim: 4,
          projection_class_embeddings_input_dim: 6 + 24,
        }
      : {}),
    ...keys,
  });
  const first = { ...part(tinyText, randomWeights(clipTextParams(tinyText), 1)), tokenizer: tinyTokenizer };
  const projected = { ...tinyText, projected: true };
  const second = { ...part(projected, randomWeights(clipTextParams(projected), 2)), tokenizer: tinyTokenizer };
  return {
    text: xl ? [first, second] : [first],
    unet: part(unet, randomWeights(unetParams(unet), 3)),
    vae: { kind: "kl", ...part(vaeConfig, randomWeights(autoencoderKlParams(vaeConfig), 4)) },
    scheduler: {
      _class_name: "DDIMScheduler",
      beta_schedule: "scaled_linear",
      beta_start: 0.00085,
      beta_end: 0.012,
      clip_sample: false,
    },
  };
}

export const tinyControl = () => part(tinyControlNet, randomWeights(controlNetParams(tinyControlNet), 5));
export const tinyT2I = () => part(tinyAdapter, randomWeights(t2iAdapterParams(tinyAdapter), 6));
