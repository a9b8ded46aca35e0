// Makes folders of diffusers with U-Nets of the size of Stable Diffusion 1.5 or SDXL and random weights, for timings and for
// tests of scale: npx tsx scripts/makeSdFolders.ts sd15|sdxl <folder> [F32|F16] [shards] [whole]
// whole, of sd15: with text encoder, VAE and a tokenizer of letters, so that it makes pictures.
// What such a network computes means nothing. One tensor is held at a time.
import { join } from "node:path";
import { type LazyTensor, lazyChunks } from "../src/data/safetensors.ts";
import { unetParameters } from "../src/diffusers/unetParameters.ts";
import { sizeOf } from "../src/graph/index.ts";
import { readAutoencoderKlConfig } from "../src/nn/autoencoderKlConfig.ts";
import { readClipTextConfig } from "../src/nn/clipConfig.ts";
import { autoencoderKlParams, clipTextParams } from "../src/nn/diffusersParams.ts";
import { type ParamSpec, readUNet2DConditionConfig } from "../src/nn/index.ts";
import { writeAtomic } from "../src/node/atomic.ts";
import { writeJson } from "../src/node/files.ts";

/** What the published models say of themselves, where it is not the default. */
export const sizes = {
  sd15: { sample_size: 64, cross_attention_dim: 768, attention_head_dim: 8 },
  sdxl: {
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
} as const;

/** Values of about the spread that PyTorch starts with; ones for what scales. The same name gets the same values. */
function random({ name, shape, init }: ParamSpec): Float32Array {
  const data = new Float32Array(sizeOf(shape));
  if (init === "ones" || init === "zeros") return data.fill(init === "ones" ? 1 : 0);
  const scale = 1 / Math.sqrt(shape.length > 1 ? sizeOf(shape.slice(1)) : 1024) / 2 ** 31;
  let state = [...name].reduce((hash, letter) => Math.imul(hash ^ letter.charCodeAt(0), 16777619), 0x811c9dc5) | 1;
  for (let i = 0; i < data.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data[i] = state * scale;
  }
  return data;
}

export async function makeFolder(size: keyof typeof sizes, folder: string, dtype: "F32" | "F16", shards: number) {
  const spec = unetParameters(readUNet2DConditionConfig(sizes[size]));
  const lazy = spec.map((s): LazyTensor => ({ key: s.name, dtype, shape: s.shape, data: async () => random(s) }));
  await writeJson(join(folder, "unet/config.json"), { _class_name: "UNet2DConditionModel", ...sizes[size] });
  await writeJson(join(folder, "scheduler/scheduler_config.json"), {
    ...{ _class_name: "DDIMScheduler", beta_schedule: "scaled_linear", beta_start: 0.00085, beta_end: 0.012 },
    ...{ num_train_timesteps: 1000, prediction_type: "epsilon", clip_sample: false, set_alpha_to_one: false },
    ...{ steps_offset: 1 },
  });
  const base = "diffusion_pytorch_model";
  const map: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const part = lazy.slice((shard * lazy.length) / shards, ((shard + 1) * lazy.length) / shards);
    const number = (n: number) => String(n).padStart(5, "0");
    const name = shards === 1 ? `${base}.safetensors` : `${base}-${number(shard + 1)}-of-${number(shards)}.safetensors`;
    await writeAtomic(join(folder, "unet", name), lazyChunks(part, { format: "pt" }));
    for (const { key } of part) map[key] = name;
  }
  const values = spec.reduce((sum, s) => sum + sizeOf(s.shape), 0);
  if (shards > 1)
    await writeJson(join(folder, "unet", `${base}.safetensors.index.json`), {
      metadata: { total_size: values * (dtype === "F32" ? 4 : 2) },
      weight_map: map,
    });
  console.log(`${folder}: ${spec.length} tensors with ${values.toLocaleString("en-US")} values`);
}

const clip = {
  architectures: ["CLIPTextModel"],
  ...{ hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12, num_hidden_layers: 12 },
  ...{ vocab_size: 49408, projection_dim: 768, eos_token_id: 2 },
};
const vae = {
  _class_name: "AutoencoderKL",
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array(4).fill("DownEncoderBlock2D"),
  up_block_types: Array(4).fill("UpDecoderBlock2D"),
  ...{ layers_per_block: 2, latent_channels: 4, norm_num_groups: 32, sample_size: 512, scaling_factor: 0.18215 },
};

/** What a U-Net of Stable Diffusion 1.5 needs beside it. */
export async function makeRest(folder: string, dtype: "F32" | "F16"): Promise<void> {
  const parts = [
    ["vae", "diffusion_pytorch_model", vae, autoencoderKlParams(readAutoencoderKlConfig(vae))],
    ["text_encoder", "model", clip, clipTextParams(readClipTextConfig(clip))],
  ] as const;
  for (const [part, file, config, spec] of parts) {
    await writeJson(join(folder, part, "config.json"), config);
    const lazy = spec.map((s): LazyTensor => ({ key: s.name, dtype, shape: s.shape, data: async () => random(s) }));
    await writeAtomic(join(folder, part, `${file}.safetensors`), lazyChunks(lazy, { format: "pt" }));
  }
  const letters = [..."abcdefghijklmnopqrstuvwxyz"];
  const words = [...letters, ...letters.map((c) => `${c}</w>`), "<|startoftext|>", "<|endoftext|>"];
  await writeJson(join(folder, "tokenizer/vocab.json"), Object.fromEntries(words.map((word, id) => [word, id])));
  await writeAtomic(join(folder, "tokenizer/merges.txt"), "#version: 0.2\n");
  await writeJson(join(folder, "model_index.json"), {
    _class_name: "StableDiffusionPipeline",
    unet: ["diffusers", "UNet2DConditionModel"],
  });
}

if (import.meta.filename === process.argv[1]) {
  const [size, folder, dtype = "F32", shards = "1", whole] = process.argv.slice(2);
  const count = Number(shards);
  if ((size !== "sd15" && size !== "sdxl") || !folder || (dtype !== "F32" && dtype !== "F16") || !(count >= 1)) {
    console.error("Usage: npx tsx scripts/makeSdFolders.ts sd15|sdxl <folder> [F32|F16] [shards] [whole]");
    process.exitCode = 2;
  } else {
    await makeFolder(size, folder, dtype, Math.floor(count));
    if (whole === "whole") await makeRest(folder, dtype);
  }
}
