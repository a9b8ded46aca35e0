// What a text-to-image pipeline is made of. Where weights come from is the caller's choice: every part brings its Params.
import type { AutoencoderKlConfig } from "../nn/autoencoderKlConfig.ts";
import type { AutoencoderTinyConfig } from "../nn/autoencoderTiny.ts";
import type { ClipTextConfig, ClipVisionConfig } from "../nn/clipConfig.ts";
import type { ControlNetConfig } from "../nn/controlNetConfig.ts";
import type { Params } from "../nn/params.ts";
import type { T2IAdapterConfig } from "../nn/t2iAdapter.ts";
import type { UNet2DConditionConfig } from "../nn/unet2dConditionConfig.ts";
import type { ClipPreprocessing } from "./clipPixels.ts";
import type { SchedulerConfig } from "./schedulers/index.ts";
import type { ClipTokenizer } from "./tokenizer.ts";

export interface Part<Config> {
  readonly config: Config;
  readonly params: Params;
}

export interface TextPart extends Part<ClipTextConfig> {
  readonly tokenizer: ClipTokenizer;
}

export interface SafetyPart extends Part<ClipVisionConfig> {
  readonly preprocessing: ClipPreprocessing;
}

export type VaePart =
  | ({ readonly kind: "kl" } & Part<AutoencoderKlConfig>)
  | ({ readonly kind: "tiny" } & Part<AutoencoderTinyConfig>);

export interface PipelineParts {
  /** One encoder (SD 1, SD 2), or two, the second with projection (SDXL). */
  readonly text: readonly [TextPart] | readonly [TextPart, TextPart];
  /** With the parameters of IP-Adapters among its own, where such are used. */
  readonly unet: Part<UNet2DConditionConfig>;
  readonly vae: VaePart;
  /** scheduler_config.json. */
  readonly scheduler: SchedulerConfig;
  readonly controlNets?: readonly Part<ControlNetConfig>[];
  readonly adapter?: Part<T2IAdapterConfig>;
  /** SDXL's model_index.json: no negative prompt means zeros, not the empty prompt. Default true with two encoders. */
  readonly zerosForEmptyPrompt?: boolean;
  /** Pictures that it calls unsafe become black. */
  readonly safety?: SafetyPart;
}

/** An autoencoder without its parameters. */
export type VaeShape =
  | { readonly kind: "kl"; readonly config: AutoencoderKlConfig }
  | { readonly kind: "tiny"; readonly config: AutoencoderTinyConfig };

/** Pixels of a latent's side. */
export const factorOf = (vae: VaeShape): number =>
  vae.kind === "kl"
    ? 2 ** (vae.config.block_out_channels.length - 1)
    : vae.config.upsampling_scaling_factor ** (vae.config.decoder_block_out_channels.length - 1);
