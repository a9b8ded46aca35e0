// What a text-to-image folder is made of, checked: configurations, the parameters that they ask for, and whether the weights
// are those. Loading is the caller's: from memory, or from the files where they lie.
import type { TensorIndex } from "../data/tensorIndex.ts";
import { type AutoencoderKlConfig, readAutoencoderKlConfig } from "../nn/autoencoderKlConfig.ts";
import { type AutoencoderTinyConfig, readAutoencoderTinyConfig } from "../nn/autoencoderTiny.ts";
import {
  type ClipTextConfig,
  type ClipVisionConfig,
  readClipTextConfig,
  readClipVisionConfig,
} from "../nn/clipConfig.ts";
import {
  autoencoderKlParams,
  autoencoderTinyParams,
  clipTextParams,
  safetyCheckerParams,
  unetParams,
} from "../nn/diffusersParams.ts";
import type { ParamSpec, Params } from "../nn/params.ts";
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from "../nn/unet2dConditionConfig.ts";
import { type ClipPreprocessing, readClipPreprocessing } from "./clipPixels.ts";
import type { PartFiles, PipelineFiles } from "./pipelineFolder.ts";
import type { PipelineParts, TextPart, VaePart } from "./pipelineParts.ts";
import type { SchedulerConfig } from "./schedulers/index.ts";
import { type ClipTokenizer, clipTokenizer, type TokenizerFiles } from "./tokenizer.ts";
import { checkWeights } from "./weights.ts";

export interface PartOutline<Config> {
  readonly name: string;
  readonly config: Config;
  readonly spec: readonly ParamSpec[];
  readonly weights: TensorIndex;
}

export type VaeOutline =
  | ({ readonly kind: "kl" } & PartOutline<AutoencoderKlConfig>)
  | ({ readonly kind: "tiny" } & PartOutline<AutoencoderTinyConfig>);

export interface PipelineOutline {
  readonly name: string;
  readonly text: readonly (PartOutline<ClipTextConfig> & { readonly tokenizer: TokenizerFiles })[];
  readonly unet: PartOutline<UNet2DConditionConfig>;
  readonly vae: VaeOutline;
  readonly scheduler: SchedulerConfig;
  readonly zerosForEmptyPrompt: boolean;
  readonly safety?: PartOutline<ClipVisionConfig> & { readonly preprocessing: ClipPreprocessing };
}

/** Puts the part's name in front of what cannot know it. */
export function named<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new Error(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/**
 * Throws an Error, one sentence, for a part of another class or configuration, and for weights that do not fit. `classes`: of
 * diffusers; transformers' configurations name theirs elsewhere, so those have none.
 */
export function outlinePart<Config>(
  part: PartFiles,
  classes: readonly string[],
  read: (config: unknown) => Config,
  spec: (config: Config) => readonly ParamSpec[],
): PartOutline<Config> {
  const kind = classNameOf(part.config);
  if (kind !== undefined && classes.length > 0 && !classes.includes(kind))
    throw new Error(`${part.name} is a ${kind.slice(0, 80)}, expected ${classes.join(" or ")}.`);
  const config = named(`${part.name}/config.json`, () => read(part.config));
  const wanted = named(`${part.name}/config.json`, () => spec(config));
  checkWeights(wanted, part.weights);
  return { name: part.name, config, spec: wanted, weights: part.weights };
}

const classNameOf = (config: unknown): string | undefined =>
  typeof config === "object" && config !== null && "_class_name" in config && typeof config._class_name === "string"
    ? config._class_name
    : undefined;

/** Throws an Error, one sentence, for anything that does not fit: before any weight is read. */
export function outlinePipeline(files: PipelineFiles): PipelineOutline {
  const { name, index } = files;
  const unet = outlinePart(files.unet, ["UNet2DConditionModel"], readUNet2DConditionConfig, unetParams);
  const text = files.text.map((part, k) => ({
    ...outlinePart(part, [], readClipTextConfig, clipTextParams),
    tokenizer: files.tokenizers[k],
  }));
  const vae = outlineVae(files.vae);
  const { safety } = files;
  const outline: PipelineOutline = {
    ...{ name, text, unet, vae, scheduler: files.scheduler },
    zerosForEmptyPrompt: index.force_zeros_for_empty_prompt === false ? false : text.length === 2,
    ...(safety
      ? {
          safety: {
            ...outlinePart(safety, [], readClipVisionConfig, safetyCheckerParams),
            preprocessing: named(`${name}/feature_extractor`, () => readClipPreprocessing(safety.preprocessing)),
          },
        }
      : {}),
  };
  checkTogether(outline);
  return outline;
}

function outlineVae(part: PartFiles): VaeOutline {
  return classNameOf(part.config) === "AutoencoderTiny"
    ? { kind: "tiny", ...outlinePart(part, ["AutoencoderTiny"], readAutoencoderTinyConfig, autoencoderTinyParams) }
    : { kind: "kl", ...outlinePart(part, ["AutoencoderKL"], readAutoencoderKlConfig, autoencoderKlParams) };
}

/** The same with another autoencoder. Throws an Error for one that does not fit. */
export function replaceVae(outline: PipelineOutline, vae: PartFiles): PipelineOutline {
  const replaced = { ...outline, vae: outlineVae(vae) };
  checkTogether(replaced);
  return replaced;
}

/** What one part gives and another takes. */
function checkTogether({ name, unet, text, vae }: PipelineOutline): void {
  const { config } = unet;
  const width = text.reduce((sum, one) => sum + one.config.hidden_size, 0);
  const widths = text.map((one) => one.config.hidden_size).join(" + ");
  const wrong = (what: string) => new Error(`${name}: ${what}; these parts are not of one model.`);
  if (width !== config.cross_attention_dim)
    throw wrong(
      `the text encoder${text.length > 1 ? "s give" : " gives"} states of width ${widths}, but the U-Net's cross_attention_dim is ${config.cross_attention_dim}`,
    );
  if (vae.config.latent_channels !== config.out_channels)
    throw wrong(
      `the VAE has ${vae.config.latent_channels} latent channels, but the U-Net gives ${config.out_channels}`,
    );
  if (config.class_embed_type !== null || config.num_class_embeds !== null)
    throw new Error(
      `${unet.name} is told classes or cameras (class_embed_type, num_class_embeds), which a prompt does not give. Only text-conditional models generate here.`,
    );
  if (config.addition_embed_type === null) {
    if (text.length === 2) throw wrong("there are two text encoders, but the U-Net takes one");
    return;
  }
  if (text.length !== 2 || !text[1].config.projected)
    throw new Error(
      `${unet.name} is SDXL-shaped and needs two text encoders, the second with projection (text_encoder_2); the SDXL refiner does not run here.`,
    );
  const given = text[1].config.projection_dim + 6 * (config.addition_time_embed_dim ?? 0);
  if (given !== config.projection_class_embeddings_input_dim)
    throw wrong(
      `the second text encoder and six sizes make ${given} values, but the U-Net takes ${config.projection_class_embeddings_input_dim}`,
    );
}

export type PartName = "unet" | "vae" | "text_encoder" | "text_encoder_2" | "safety_checker";

/** How a caller turns weights into parameters. */
export type LoadParams = (part: PartOutline<unknown>, name: PartName) => Promise<Params>;

/** Throws an Error where tokenizer and encoder do not belong together. */
export function tokenizerOf({ config, name, tokenizer }: PipelineOutline["text"][number]): ClipTokenizer {
  const words = clipTokenizer(tokenizer);
  if (words.size > config.vocab_size)
    throw new Error(
      `${tokenizer.name} has ${words.size} ids, but ${name} knows ${config.vocab_size}: they do not belong together.`,
    );
  return words;
}

/** Reads, or opens, the weights of every part. `text`: of the text encoders, where they are not as in the folder. */
export async function loadPipeline(
  outline: PipelineOutline,
  load: LoadParams,
  text?: PipelineParts["text"],
): Promise<PipelineParts> {
  const { vae, safety } = outline;
  const encoders: TextPart[] = [];
  for (const [k, one] of text ? [] : outline.text.entries()) {
    const params = await load(one, k === 0 ? "text_encoder" : "text_encoder_2");
    encoders.push({ config: one.config, params, tokenizer: tokenizerOf(one) });
  }
  const vaePart: VaePart =
    vae.kind === "kl"
      ? { kind: "kl", config: vae.config, params: await load(vae, "vae") }
      : { kind: "tiny", config: vae.config, params: await load(vae, "vae") };
  return {
    text: text ?? (encoders.length === 2 ? [encoders[0], encoders[1]] : [encoders[0]]),
    unet: { config: outline.unet.config, params: await load(outline.unet, "unet") },
    vae: vaePart,
    scheduler: outline.scheduler,
    zerosForEmptyPrompt: outline.zerosForEmptyPrompt,
    ...(safety
      ? {
          safety: {
            config: safety.config,
            params: await load(safety, "safety_checker"),
            preprocessing: safety.preprocessing,
          },
        }
      : {}),
  };
}
