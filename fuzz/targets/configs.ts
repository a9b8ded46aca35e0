// JSON that describes models, networks and samplers.
import { parseJson } from "../../src/data/json.ts";
import { readClipPreprocessing } from "../../src/diffusers/clipPixels.ts";
import { readScheduler } from "../../src/diffusers/scheduler.ts";
import {
  createScheduler,
  runScheduler,
  type SchedulerConfig,
  schedulerNames,
} from "../../src/diffusers/schedulers/index.ts";
import { readAutoencoderKlConfig } from "../../src/nn/autoencoderKlConfig.ts";
import { readAutoencoderTinyConfig } from "../../src/nn/autoencoderTiny.ts";
import { readClassifierConfig } from "../../src/nn/classifier.ts";
import { readClipTextConfig, readClipVisionConfig } from "../../src/nn/clipConfig.ts";
import { readControlNetConfig } from "../../src/nn/controlNetConfig.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { readT2IAdapterConfig } from "../../src/nn/t2iAdapter.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { describeModel, modelOf, parseCard } from "../../src/run/card.ts";
import type { Json } from "../mutate.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { difference, type Input, ofText, type Target, textOf } from "../target.ts";

export const jsonInput = (rng: Rng, seeds: readonly Json[]): Input => {
  const value = rng.chance(0.97) ? mutate.json(rng, rng.pick(seeds), rng.pick(seeds)) : rng.pick(seeds);
  const text = mutate.jsonText(value);
  return ofText(rng.chance(0.05) ? mutate.text(rng, text) : text);
};
const read = (input: Input): unknown => parseJson(input.file, "file.json");

const unet2d: Json = {
  _class_name: "UNet2DModel",
  sample_size: 8,
  in_channels: 1,
  out_channels: 1,
  layers_per_block: 1,
  block_out_channels: [32, 64],
  down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
  norm_num_groups: 8,
  num_class_embeds: 5,
  attention_head_dim: 8,
};
const ticks: Json = { kind: "ticks", total: 8, edges: [8, 5, 0] };
const table: Json = {
  kind: "table",
  between: "logSnr",
  schedule: "linear",
  betaStart: 0.0001,
  betaEnd: 0.02,
  steps: 10,
  zeroSnr: false,
};
const forms: readonly Json[] = [
  { kind: "linear", shift: 1 },
  { kind: "vp", betaMin: 0.1, betaMax: 20 },
  { kind: "cosine" },
  { kind: "subVp", betaMin: 0.1, betaMax: 20 },
  { kind: "ve", sigmaMin: 0.01, sigmaMax: 50 },
  { kind: "edm", sigmaMin: 0.002, sigmaMax: 80, rho: 7 },
  table,
  { kind: "table", between: "floor", schedule: "trained_betas", betas: [0.1, 0.2, 0.4], zeroSnr: true },
  { kind: "table", between: "logSnr", schedule: "alphas_cumprod", alphasCumprod: [0.9, 0.5, 0.1] },
  { kind: "chord", base: table, windows: ticks },
  {
    kind: "chord",
    base: { kind: "chord", base: { kind: "cosine" }, windows: { kind: "uniform", count: 4 } },
    windows: ticks,
  },
];
const networks: readonly Json[] = [
  { family: "mlp", config: { dim: 2, width: 8, depth: 1 } },
  { family: "dit", config: { channels: 1, size: 8, patch: 2, width: 16, depth: 1, heads: 2 } },
  { family: "unet2d", config: unet2d },
];
const cards: readonly Json[] = forms.map(
  (form, i): Json => ({
    format: 2,
    library: "0.1.0",
    form,
    prediction: i % 3 === 0 ? ({ name: "edm", sigmaData: 0.5 } as Json) : { name: i % 2 === 0 ? "eps" : "u" },
    timeInput: { scale: 1000, offset: -1 },
    network: networks[i % 3],
    sampler: {
      solver: "ddim",
      grid: i % 2 === 0 ? ({ kind: "uniform" } as Json) : { kind: "windows", windows: ticks },
      steps: [2, 4],
    },
    guidance: { convention: "null + g*(cond - null)", baked: 1 },
    conditioning: i % 3 === 2 ? { labels: 4, nullLabel: 4 } : { labels: 0, nullLabel: null },
    recipe: { method: "perflow", options: { windows: 4, lr: 0.001 } },
    base: null,
    imagesSeen: 100,
    teacherNfe: 0,
    seed: 3,
  }),
);

const card = async (): Promise<Target> => ({
  make: (rng) => jsonInput(rng, cards),
  read(input) {
    const json = read(input);
    const found = parseCard(json, "card.json");
    const lost = difference(found, json, "the card");
    if (lost) return lost;
    const built = modelOf(found);
    collect(built.network);
    const { network, conditioning, prediction, ...own } = describeModel(built);
    const wrong = difference(
      { ...own },
      Object.fromEntries(Object.keys(own).map((key) => [key, (found as Record<string, unknown>)[key]])),
      "the model",
    );
    if (wrong) return wrong;
    if (prediction.name !== found.prediction.name)
      return `the prediction ${found.prediction.name} became ${prediction.name}`;
    const asked = found.network.config;
    return difference(conditioning, found.conditioning, "conditioning") ?? kept(network.config, asked);
  },
});

/** Every key that a configuration gives is in what was read of it. */
function kept(config: object, asked: object): string | undefined {
  for (const [key, value] of Object.entries(asked)) {
    if (key.startsWith("_") || value === null) continue;
    if (!Object.hasOwn(config, key)) return `"${key}" is lost`;
    const wrong = difference((config as Record<string, unknown>)[key], value, key);
    // Some keys take one value for all levels.
    if (wrong && !Array.isArray((config as Record<string, unknown>)[key])) return wrong;
  }
  return undefined;
}

const network = async (): Promise<Target> => ({
  make: (rng) => jsonInput(rng, networks),
  read(input) {
    const spec = Object(read(input)) as { family: string; config: object };
    const built = buildNetwork({ family: String(spec.family), config: spec.config });
    collect(built);
    return kept(built.config, spec.config);
  },
});

const readers: Readonly<Record<string, (config: unknown) => object>> = {
  UNet2DConditionModel: (config) => readUNet2DConditionConfig(config),
  AutoencoderKL: readAutoencoderKlConfig,
  AutoencoderTiny: readAutoencoderTinyConfig,
  CLIPTextModel: readClipTextConfig,
  CLIPVisionModel: readClipVisionConfig,
  ControlNetModel: readControlNetConfig,
  T2IAdapter: readT2IAdapterConfig,
  classifier: readClassifierConfig,
  CLIPImageProcessor: readClipPreprocessing,
};
const condition = {
  sample_size: 8,
  in_channels: 4,
  out_channels: 4,
  layers_per_block: 1,
  block_out_channels: [32, 64],
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  cross_attention_dim: 32,
  attention_head_dim: 8,
  norm_num_groups: 8,
  flip_sin_to_cos: true,
  freq_shift: 0,
};
const seeds: readonly Json[] = [
  { _class_name: "UNet2DConditionModel", ...condition, up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"] },
  {
    _class_name: "AutoencoderKL",
    in_channels: 3,
    out_channels: 3,
    latent_channels: 4,
    block_out_channels: [32, 64],
    down_block_types: ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    up_block_types: ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    layers_per_block: 1,
    norm_num_groups: 8,
    scaling_factor: 0.18,
  },
  {
    _class_name: "AutoencoderTiny",
    in_channels: 3,
    out_channels: 3,
    latent_channels: 4,
    encoder_block_out_channels: [64, 64],
    decoder_block_out_channels: [64, 64],
    num_encoder_blocks: [1, 3],
    num_decoder_blocks: [3, 1],
  },
  {
    _class_name: "CLIPTextModel",
    vocab_size: 1000,
    hidden_size: 32,
    intermediate_size: 37,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    max_position_embeddings: 77,
    hidden_act: "quick_gelu",
    projection_dim: 32,
    eos_token_id: 2,
  },
  {
    _class_name: "CLIPVisionModel",
    hidden_size: 32,
    intermediate_size: 37,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    image_size: 30,
    patch_size: 15,
    hidden_act: "gelu",
    projection_dim: 32,
  },
  { _class_name: "ControlNetModel", ...condition, conditioning_embedding_out_channels: [16, 32] },
  {
    _class_name: "T2IAdapter",
    in_channels: 3,
    channels: [32, 64],
    num_res_blocks: 1,
    downscale_factor: 8,
    adapter_type: "full_adapter",
  },
  { _class_name: "classifier", channels: 1, size: 28, classes: 10 },
  {
    _class_name: "CLIPImageProcessor",
    size: { shortest_edge: 224 },
    crop_size: { height: 224, width: 224 },
    do_resize: true,
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
    resample: 3,
  },
];
const config = async (): Promise<Target> => ({
  make: (rng) => jsonInput(rng, seeds),
  read(input) {
    const value = Object(read(input)) as Record<string, unknown>;
    const name =
      typeof value._class_name === "string" && Object.hasOwn(readers, value._class_name)
        ? value._class_name
        : "CLIPTextModel";
    const found = readers[name](value);
    // CLIP's files have many keys that only training reads.
    return /^CLIP/.test(name) ? undefined : kept(found, value);
  },
});

const scheduler: { [key: string]: Json } = {
  num_train_timesteps: 100,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  prediction_type: "epsilon",
  timestep_spacing: "leading",
  steps_offset: 1,
  set_alpha_to_one: false,
};
const options: readonly Json[] = [
  {
    solver_order: 2,
    algorithm_type: "dpmsolver++",
    solver_type: "midpoint",
    lower_order_final: true,
    use_karras_sigmas: true,
    final_sigmas_type: "zero",
  },
  {
    beta_schedule: "squaredcos_cap_v2",
    rescale_betas_zero_snr: true,
    prediction_type: "v_prediction",
    timestep_spacing: "trailing",
  },
  { trained_betas: [0.1, 0.2, 0.3, 0.4], clip_sample: true, thresholding: false, use_exponential_sigmas: false },
  {
    shift: 3,
    use_dynamic_shifting: false,
    shift_terminal: null,
    sigma_min: 0.002,
    sigma_max: 80,
    sigma_data: 0.5,
    rho: 7,
  },
];
const schedulers = async (): Promise<Target> => ({
  make(rng) {
    const plain: Json = {
      ...scheduler,
      ...(Object(rng.pick(options)) as object),
      _class_name: rng.pick(schedulerNames),
    };
    return jsonInput(rng, [{ config: plain, steps: 1 + rng.int(12) }]);
  },
  async read(input) {
    const { config, steps } = Object(read(input)) as { config: SchedulerConfig; steps: number };
    let form: Error | undefined;
    try {
      readScheduler(config);
    } catch (error) {
      form = error as Error;
    }
    if (form instanceof TypeError) throw form;
    const found = createScheduler(Object(config) as SchedulerConfig, steps, { mu: 1 });
    if (!found.timesteps.every(Number.isFinite)) return `timesteps ${found.timesteps.slice(0, 8)}`;
    if (found.timesteps.length > 100) return undefined;
    const start = Float32Array.of(0.3, -1).map((v) => v * found.initNoiseSigma);
    const x = await runScheduler(found, {
      x: start,
      predict: async (v, t) => v.map((a) => 0.4 * a + 1e-4 * t),
      noise: () => Float32Array.of(0.2, -0.4),
    });
    return x.every(Number.isFinite) ? undefined : `${found.name} in ${steps} steps ends at ${x}`;
  },
});

const json = async (): Promise<Target> => ({
  make(rng) {
    const input = jsonInput(rng, [...cards, ...seeds]);
    return rng.chance(0.5) ? ofText(mutate.text(rng, textOf(input))) : input;
  },
  read(input) {
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(input.file).replace(/^\ufeff/, "");
    const found = read(input);
    let plain: unknown;
    try {
      plain = JSON.parse(text);
    } catch {
      return /NaN|Infinity/.test(text) ? undefined : "what is no JSON was read";
    }
    return difference(found, plain);
  },
});

export const configs = { card, network, config, scheduler: schedulers, json };
