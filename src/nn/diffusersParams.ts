// The parameters that a diffusers or transformers configuration asks for, and whether weights are exactly those.
import { input } from "../graph/index.ts";
import { sameShape } from "../graph/tensor.ts";
import { decodeLatents, encodeMoments } from "./autoencoderKl.ts";
import { type AutoencoderKlConfig, vaeFactor } from "./autoencoderKlConfig.ts";
import { type AutoencoderTinyConfig, decodeTiny, encodeTiny } from "./autoencoderTiny.ts";
import type { ClipTextConfig, ClipVisionConfig } from "./clipConfig.ts";
import { clipText } from "./clipText.ts";
import { clipImageEmbedding, safetyChecker } from "./clipVision.ts";
import { controlNet } from "./controlNet.ts";
import type { ControlNetConfig } from "./controlNetConfig.ts";
import { collectParams, type ParamArray, type ParamSpec } from "./params.ts";
import { type T2IAdapterConfig, t2iAdapter } from "./t2iAdapter.ts";
import { type UNetCondition, unet2dCondition } from "./unet2dCondition.ts";
import type { UNet2DConditionConfig } from "./unet2dConditionConfig.ts";

export function unetParams(c: UNet2DConditionConfig): ParamSpec[] {
  const side = 2 ** (c.block_out_channels.length - 1);
  const x = input("x", [1, c.in_channels, side, side]);
  return collectParams((p) => unet2dCondition(c, p, x, input("tau", [1]), anyCondition(c)));
}

export function controlNetParams(c: ControlNetConfig): ParamSpec[] {
  const side = 2 ** (c.block_out_channels.length - 1);
  const pixels = side * 2 ** (c.conditioning_embedding_out_channels.length - 1);
  const x = input("x", [1, c.in_channels, side, side]);
  const picture = input("picture", [1, c.conditioning_channels, pixels, pixels]);
  return collectParams((p) => controlNet(c, p, x, input("tau", [1]), anyCondition(c), picture));
}

export function t2iAdapterParams(c: T2IAdapterConfig): ParamSpec[] {
  const pixels = c.downscale_factor * 2 ** (c.channels.length - 1);
  return collectParams((p) => t2iAdapter(c, p, input("picture", [1, c.in_channels, pixels, pixels])));
}

export function autoencoderKlParams(c: AutoencoderKlConfig): ParamSpec[] {
  const pixels = vaeFactor(c);
  return collectParams((p) => [
    encodeMoments(c, p, input("image", [1, c.in_channels, pixels, pixels])),
    decodeLatents(c, p, input("latents", [1, c.latent_channels, 1, 1])),
  ]);
}

export function autoencoderTinyParams(c: AutoencoderTinyConfig): ParamSpec[] {
  const pixels = 2 ** (c.encoder_block_out_channels.length - 1);
  return collectParams((p) => [
    encodeTiny(c, p, input("image", [1, c.in_channels, pixels, pixels])),
    decodeTiny(c, p, input("latents", [1, c.latent_channels, 1, 1])),
  ]);
}

export const clipTextParams = (c: ClipTextConfig): ParamSpec[] =>
  collectParams((p) => clipText(c, p, input("ids", [1, 1], "int64"), input("pooledAt", [1], "int64")));

const pixelsOf = (c: ClipVisionConfig) => input("pixels", [1, c.num_channels, c.image_size, c.image_size]);

export const clipVisionParams = (c: ClipVisionConfig): ParamSpec[] =>
  collectParams((p) => clipImageEmbedding(c, p, pixelsOf(c)));

export const safetyCheckerParams = (c: ClipVisionConfig): ParamSpec[] =>
  collectParams((p) => safetyChecker(c, p, pixelsOf(c)));

/** Inputs of the right widths for every condition that a configuration has. */
function anyCondition(c: UNet2DConditionConfig): UNetCondition {
  const width = c.time_embedding_dim ?? 4 * c.block_out_channels[0];
  const projected = c.projection_class_embeddings_input_dim ?? 1;
  const classes = {
    timestep: [1],
    identity: [1, width],
    projection: [1, projected],
    simple_projection: [1, projected],
  };
  const sizes = 6;
  return {
    context: input("context", [1, 1, c.cross_attention_dim]),
    ...(c.class_embed_type !== null ? { labels: input("labels", classes[c.class_embed_type]) } : {}),
    ...(c.class_embed_type === null && c.num_class_embeds !== null ? { labels: input("labels", [1], "int64") } : {}),
    ...(c.time_cond_proj_dim !== null ? { guidance: input("guidance", [1, c.time_cond_proj_dim]) } : {}),
    ...(c.addition_embed_type !== null
      ? {
          textEmbeds: input("textEmbeds", [1, projected - sizes * c.addition_time_embed_dim!]),
          timeIds: input("timeIds", [1, sizes]),
        }
      : {}),
  };
}

/**
 * Throws one RangeError that lists what is missing, what is too much and what has another shape, for weights that are not
 * exactly those in spec. `name` is what the message calls them.
 */
export function checkParams(spec: readonly ParamSpec[], params: ReadonlyMap<string, ParamArray>, name: string): void {
  const want = new Map(spec.map((s) => [s.name, s.shape]));
  const missing = [...want].filter(([key]) => !params.has(key)).map(([key, shape]) => `${key} [${shape}]`);
  const extra = [...params].filter(([key]) => !want.has(key)).map(([key, { shape }]) => `${key} [${shape}]`);
  const misshapen = [...params].flatMap(([key, { shape }]) => {
    const expected = want.get(key);
    return expected && !sameShape(expected, shape) ? [`${key} [${shape}], expected [${expected}]`] : [];
  });
  const said = [
    ...(missing.length ? [`${missing.length} missing (${few(missing)})`] : []),
    ...(extra.length ? [`${extra.length} too many (${few(extra)})`] : []),
    ...(misshapen.length ? [`${misshapen.length} of another shape (${few(misshapen)})`] : []),
  ];
  if (said.length) throw new RangeError(`${name} does not fit its configuration: of its tensors ${said.join("; ")}.`);
}

const SHOWN = 8;
const few = (names: readonly string[]): string =>
  names.length > SHOWN ? `${names.slice(0, SHOWN).join(", ")} and ${names.length - SHOWN} more` : names.join(", ");
