// Folders of diffusers as small as they can be, with random weights: written as diffusers writes them.
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeSafetensors } from "../../src/data/safetensors.ts";
import { readAutoencoderKlConfig } from "../../src/nn/autoencoderKlConfig.ts";
import { type ClipTextConfig, readClipTextConfig, readClipVisionConfig } from "../../src/nn/clipConfig.ts";
import { readControlNetConfig } from "../../src/nn/controlNetConfig.ts";
import {
  autoencoderKlParams,
  clipTextParams,
  clipVisionParams,
  controlNetParams,
  safetyCheckerParams,
  t2iAdapterParams,
  unetParams,
} from "../../src/nn/diffusersParams.ts";
import { crossAttentions } from "../../src/nn/ipAdapter.ts";
import type { ParamMap, ParamSpec } from "../../src/nn/params.ts";
import { readT2IAdapterConfig } from "../../src/nn/t2iAdapter.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { randomWeights, tinyWords } from "./tinyDiffusion.ts";

const width = 8;
/** Latents of 4 x 4, pictures of 8 x 8. */
export const tinyUNetKeys = {
  _class_name: "UNet2DConditionModel",
  sample_size: 4,
  block_out_channels: [8, 8],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  layers_per_block: 1,
  norm_num_groups: 4,
  attention_head_dim: 2,
  cross_attention_dim: width,
};
const xlKeys = {
  cross_attention_dim: 2 * width,
  addition_embed_type: "text_time",
  addition_time_embed_dim: 4,
  projection_class_embeddings_input_dim: 6 + 24,
};
const vaeKeys = {
  _class_name: "AutoencoderKL",
  block_out_channels: [4, 8],
  down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
  up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
  norm_num_groups: 2,
  sample_size: 8,
};
const textKeys = {
  architectures: ["CLIPTextModel"],
  hidden_size: width,
  intermediate_size: 16,
  num_attention_heads: 2,
  num_hidden_layers: 3,
  vocab_size: tinyWords.length,
  eos_token_id: 2,
  projection_dim: 6,
};
const visionKeys = {
  hidden_size: 8,
  intermediate_size: 16,
  num_attention_heads: 2,
  num_hidden_layers: 2,
  image_size: 8,
  patch_size: 4,
  projection_dim: 6,
};
export const tinySchedulerKeys = {
  _class_name: "DDIMScheduler",
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  beta_end: 0.012,
  num_train_timesteps: 1000,
  clip_sample: false,
  set_alpha_to_one: false,
  steps_offset: 1,
};

const json = (path: string, value: unknown) => writeFileSync(path, JSON.stringify(value, null, 2));

/** float32 tensors in a file. */
export function writeWeights(path: string, weights: ParamMap): void {
  const tensors = new Map(
    [...weights].map(([name, { shape, data }]) => [name, { dtype: "F32" as const, shape, data }] as const),
  );
  writeFileSync(path, writeSafetensors(tensors, { format: "pt" }));
}

/** A part's folder. */
export function writePart(
  folder: string,
  config: object,
  spec: readonly ParamSpec[],
  seed: number,
  file = "model",
): void {
  mkdirSync(folder, { recursive: true });
  json(join(folder, "config.json"), config);
  writeWeights(join(folder, `${file}.safetensors`), randomWeights(spec, seed));
}
const stem = "diffusion_pytorch_model";

export interface TinyFolderOptions {
  readonly xl?: boolean;
  readonly unet?: object;
  readonly scheduler?: object;
  /** A folder with a safety checker and feature extractor, to be copied. */
  readonly safety?: string;
  /** Of the U-Net's weights. */
  readonly seed?: number;
}

/** A whole text-to-image folder. */
export function writeTinyFolder(
  folder: string,
  { xl = false, unet = {}, scheduler, safety, seed = 3 }: TinyFolderOptions = {},
): string {
  const keys = { ...tinyUNetKeys, ...(xl ? xlKeys : {}), ...unet };
  writePart(join(folder, "unet"), keys, unetParams(readUNet2DConditionConfig(keys)), seed, stem);
  writePart(join(folder, "vae"), vaeKeys, autoencoderKlParams(readAutoencoderKlConfig(vaeKeys)), 4, stem);
  const text = (name: string, config: object, seed: number) =>
    writePart(join(folder, name), config, clipTextParams(readClipTextConfig(config) as ClipTextConfig), seed);
  text("text_encoder", textKeys, 1);
  if (xl) text("text_encoder_2", { ...textKeys, architectures: ["CLIPTextModelWithProjection"] }, 2);
  for (const name of xl ? ["tokenizer", "tokenizer_2"] : ["tokenizer"]) {
    mkdirSync(join(folder, name), { recursive: true });
    json(join(folder, name, "vocab.json"), Object.fromEntries(tinyWords.map((word, id) => [word, id])));
    writeFileSync(join(folder, name, "merges.txt"), "#version: 0.2\n");
  }
  mkdirSync(join(folder, "scheduler"), { recursive: true });
  json(join(folder, "scheduler/scheduler_config.json"), scheduler ?? tinySchedulerKeys);
  const index: Record<string, unknown> = {
    _class_name: xl ? "StableDiffusionXLPipeline" : "StableDiffusionPipeline",
    unet: ["diffusers", "UNet2DConditionModel"],
  };
  if (safety !== undefined) {
    for (const part of ["safety_checker", "feature_extractor"])
      cpSync(join(safety, part), join(folder, part), { recursive: true });
    index.safety_checker = ["stable_diffusion", "StableDiffusionSafetyChecker"];
  }
  json(join(folder, "model_index.json"), index);
  return folder;
}

export function writeTinyControlNet(folder: string, keys: object = {}): string {
  const { sample_size: _, up_block_types: __, ...unet } = tinyUNetKeys;
  const config = { ...unet, _class_name: "ControlNetModel", conditioning_embedding_out_channels: [4, 8], ...keys };
  writePart(folder, config, controlNetParams(readControlNetConfig(config)), 5, stem);
  return folder;
}

export function writeTinyT2IAdapter(folder: string): string {
  const config = { _class_name: "T2IAdapter", channels: [8, 8], num_res_blocks: 1, downscale_factor: 2 };
  writePart(folder, config, t2iAdapterParams(readT2IAdapterConfig(config)), 6, stem);
  return folder;
}

/** An IP-Adapter's file of the base variant with two tokens, and its vision model in image_encoder/ beside it. */
export function writeTinyIpAdapter(folder: string): string {
  writePart(
    join(folder, "image_encoder"),
    { architectures: ["CLIPVisionModelWithProjection"], ...visionKeys },
    clipVisionParams(readClipVisionConfig(visionKeys)),
    7,
  );
  const init = "default" as const;
  const spec: ParamSpec[] = [
    { name: "image_proj.proj.weight", shape: [2 * width, visionKeys.projection_dim], init },
    { name: "image_proj.proj.bias", shape: [2 * width], init },
    { name: "image_proj.norm.weight", shape: [width], init: "ones" },
    { name: "image_proj.norm.bias", shape: [width], init: "zeros" },
    ...crossAttentions(readUNet2DConditionConfig(tinyUNetKeys)).flatMap((_, k) =>
      ["to_k_ip", "to_v_ip"].map((part) => ({
        name: `ip_adapter.${2 * k + 1}.${part}.weight`,
        shape: [width, width],
        init,
      })),
    ),
  ];
  writeWeights(join(folder, "ip-adapter.safetensors"), randomWeights(spec, 8));
  return join(folder, "ip-adapter.safetensors");
}

/** A safety checker that finds everything unsafe, or nothing. */
export function writeTinySafety(folder: string, unsafe: boolean): string {
  const config = { architectures: ["StableDiffusionSafetyChecker"], projection_dim: 6, vision_config: visionKeys };
  const spec = safetyCheckerParams(readClipVisionConfig(config));
  const weights = randomWeights(spec, 9);
  for (const name of ["concept_embeds_weights", "special_care_embeds_weights"])
    weights.get(name)!.data.fill(unsafe ? -2 : 2);
  mkdirSync(join(folder, "safety_checker"), { recursive: true });
  mkdirSync(join(folder, "feature_extractor"), { recursive: true });
  json(join(folder, "safety_checker/config.json"), config);
  writeWeights(join(folder, "safety_checker/model.safetensors"), weights);
  json(join(folder, "feature_extractor/preprocessor_config.json"), { size: 8, crop_size: 8 });
  return folder;
}
