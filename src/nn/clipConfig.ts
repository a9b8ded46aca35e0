// Configurations of transformers' CLIP text and vision models, with their defaults.

import * as z from "zod";
import { show } from "../core/show.ts";
import { gelu, quickGelu, type Tensor } from "../graph/index.ts";
import { few, pixels, readConfig, refused, width } from "./config.ts";

const activations: Readonly<Record<"quick_gelu" | "gelu", (x: Tensor) => Tensor>> = {
  quick_gelu: quickGelu,
  gelu: (x) => gelu(x, "none"),
};

const tower = {
  hidden_size: width,
  intermediate_size: width,
  num_hidden_layers: few,
  num_attention_heads: few,
  hidden_act: z.enum(["quick_gelu", "gelu"]).default("quick_gelu"),
  layer_norm_eps: z.number().positive().default(1e-5),
  projection_dim: width.default(512),
};

const textSchema = z.object({
  ...tower,
  hidden_size: width.default(512),
  intermediate_size: width.default(2048),
  num_hidden_layers: few.default(12),
  num_attention_heads: few.default(8),
  vocab_size: width.default(49408),
  max_position_embeddings: width.default(77),
  eos_token_id: z.int().nonnegative().default(49407),
});
const visionSchema = z.object({
  ...tower,
  hidden_size: width.default(768),
  intermediate_size: width.default(3072),
  num_hidden_layers: few.default(12),
  num_attention_heads: few.default(12),
  image_size: pixels.default(224),
  patch_size: pixels.default(32),
  num_channels: width.default(3),
});

export interface ClipTextConfig extends Readonly<z.output<typeof textSchema>> {
  /** CLIPTextModelWithProjection, whose pooled state is projected. */
  readonly projected: boolean;
}
export type ClipVisionConfig = Readonly<z.output<typeof visionSchema>>;

/** Reads a text_encoder/config.json. Throws RangeError with one sentence for anything that is not supported. */
export function readClipTextConfig(config: unknown): ClipTextConfig {
  const family = "CLIPTextModel";
  const given = objectOf(family, config);
  const name = architecture(given);
  if (name !== undefined && !["CLIPTextModel", "CLIPTextModelWithProjection", "CLIPModel"].includes(name))
    throw refused(family, "architectures", name, "expected CLIPTextModel or CLIPTextModelWithProjection");
  const c = known(family, textSchema, nested(given, "text_config"));
  return { ...c, projected: name === "CLIPTextModelWithProjection" };
}

/** Reads an image_encoder/config.json (or the vision_config inside one). Throws RangeError as the above. */
export function readClipVisionConfig(config: unknown): ClipVisionConfig {
  const family = "CLIPVisionModel";
  const given = objectOf(family, config);
  const c = known(family, visionSchema, {
    ...nested(given, "vision_config"),
    // Models of text and image keep the width of their common space at the top.
    ...("vision_config" in given && "projection_dim" in given ? { projection_dim: given.projection_dim } : {}),
  });
  if (c.image_size % c.patch_size !== 0)
    throw refused(family, "image_size", c.image_size, `expected a multiple of patch_size, ${c.patch_size}`);
  return c;
}

/** The activation of a CLIP model by its name. */
export const clipActivation = (name: ClipTextConfig["hidden_act"], x: Tensor): Tensor => activations[name](x);

function known<T extends z.ZodObject>(family: string, schema: T, config: Record<string, unknown>): z.output<T> {
  // transformers' files are full of keys without effect here (generation, initialization, dropout): only these are read.
  const kept = Object.fromEntries(Object.entries(config).filter(([key]) => key in schema.shape));
  const c = readConfig(family, schema, kept);
  const { hidden_size: width, num_attention_heads: heads } = c as z.output<typeof textSchema>;
  if (width % heads !== 0)
    throw refused(family, "num_attention_heads", heads, `expected a divisor of hidden_size, ${width}`);
  return c;
}

const architecture = (config: Record<string, unknown>): string | undefined =>
  Array.isArray(config.architectures) && typeof config.architectures[0] === "string"
    ? config.architectures[0]
    : undefined;

const nested = (config: Record<string, unknown>, key: string): Record<string, unknown> => {
  const inner = config[key];
  return typeof inner === "object" && inner !== null ? { ...config, ...inner } : config;
};

function objectOf(family: string, config: unknown): Record<string, unknown> {
  if (typeof config !== "object" || config === null || Array.isArray(config))
    throw new RangeError(`The configuration of a ${family} must be an object, got ${show(config)}.`);
  return { ...config };
}
