// diffusers' AutoencoderTiny (TAESD, https://github.com/madebyollin/taesd) under its own parameter names.
import * as z from "zod";
import { add, clamp, div, mul, relu, sub, type Tensor, tanh, upsampleNearest } from "../graph/index.ts";
import { activate, activationNames } from "./activations.ts";
import { few, LEVELS, readConfig, refused, width } from "./config.ts";
import { conv2d } from "./layers.ts";
import { type Params, seen } from "./params.ts";

const schema = z.object({
  in_channels: width.default(3),
  out_channels: width.default(3),
  encoder_block_out_channels: z.array(width).min(1).max(LEVELS).default([64, 64, 64, 64]),
  decoder_block_out_channels: z.array(width).min(1).max(LEVELS).default([64, 64, 64, 64]),
  act_fn: z.enum(activationNames).default("relu"),
  upsample_fn: z.literal("nearest").default("nearest"),
  latent_channels: width.default(4),
  upsampling_scaling_factor: few.default(2),
  num_encoder_blocks: z.array(z.int().nonnegative().max(256)).min(1).max(LEVELS).default([1, 3, 3, 3]),
  num_decoder_blocks: z.array(z.int().nonnegative().max(256)).min(1).max(LEVELS).default([3, 3, 3, 1]),
  latent_magnitude: z.number().positive().default(3),
  latent_shift: z.number().default(0.5),
  force_upcast: z.boolean().default(false),
  scaling_factor: z.number().positive().default(1),
  shift_factor: z.number().nullable().default(null),
  // Only named by some files; they follow from the above.
  block_out_channels: z.array(width).min(1).max(LEVELS).nullish(),
});

export type AutoencoderTinyConfig = Readonly<z.output<typeof schema>>;

const family = "AutoencoderTiny";

/** Reads a config.json. Throws RangeError with one sentence for anything that is not supported. */
export function readAutoencoderTinyConfig(config: unknown): AutoencoderTinyConfig {
  const c = readConfig(family, schema, config);
  for (const [blocks, channels] of [
    ["num_encoder_blocks", "encoder_block_out_channels"],
    ["num_decoder_blocks", "decoder_block_out_channels"],
  ] as const) {
    if (c[blocks].length !== c[channels].length)
      throw refused(family, blocks, c[blocks], `${channels} has ${c[channels].length} entries, expected as many`);
    if (c[channels].some((width) => width !== c[channels][0]))
      throw refused(family, channels, c[channels], "all levels of this network are equally wide");
  }
  return c;
}

/** image [B, in_channels, H, W] in -1 to 1; latents [B, latent_channels, H/f, W/f], already in the scaled space. */
export function encodeTiny(c: AutoencoderTinyConfig, p: Params, image: Tensor): Tensor {
  if (image.shape[1] !== c.in_channels)
    throw new RangeError(`The picture has shape [${image.shape}], expected [B, ${c.in_channels}, H, W].`);
  const name = (k: number) => `encoder.layers.${k}`;
  let k = 0;
  let h = div(add(image, 1), 2);
  c.num_encoder_blocks.forEach((blocks, i) => {
    const out = c.encoder_block_out_channels[i];
    h = conv2d(p, name(k++), h, i === 0 ? { out } : { out, stride: 2, bias: false });
    for (let j = 0; j < blocks; j++) h = tinyBlock(c, p, name(k++), h);
  });
  return seen(p, "encoder", conv2d(p, name(k), h, { out: c.latent_channels }));
}

/** latents [B, latent_channels, h, w] in the scaled space; the picture [B, out_channels, f h, f w], about -1 to 1. */
export function decodeTiny(c: AutoencoderTinyConfig, p: Params, latents: Tensor): Tensor {
  if (latents.shape[1] !== c.latent_channels)
    throw new RangeError(`The latents have shape [${latents.shape}], expected [B, ${c.latent_channels}, h, w].`);
  const name = (k: number) => `decoder.layers.${k}`;
  const soft = mul(tanh(div(latents, 3)), 3);
  let h = activate(c.act_fn, conv2d(p, name(0), soft, { out: c.decoder_block_out_channels[0] }));
  let k = 2; // The activation counts.
  c.num_decoder_blocks.forEach((blocks, i) => {
    const final = i === c.num_decoder_blocks.length - 1;
    for (let j = 0; j < blocks; j++) h = tinyBlock(c, p, name(k++), h);
    if (!final) {
      h = upsampleNearest(h, c.upsampling_scaling_factor);
      k++;
    }
    const out = final ? c.out_channels : c.decoder_block_out_channels[i];
    h = conv2d(p, name(k++), h, { out, bias: final });
  });
  return seen(p, "decoder", sub(mul(h, 2), 1));
}

/** Latents in 0 to 1, as they are stored in an 8-bit picture. */
export const scaleTiny = (c: AutoencoderTinyConfig, latents: Tensor): Tensor =>
  clamp(add(div(latents, 2 * c.latent_magnitude), c.latent_shift), { min: 0, max: 1 });

/** Three convolutions and a residual connection, ReLU last whatever act_fn says. */
function tinyBlock(c: AutoencoderTinyConfig, p: Params, name: string, x: Tensor): Tensor {
  const out = x.shape[1];
  let h = activate(c.act_fn, conv2d(p, `${name}.conv.0`, x, { out }));
  h = activate(c.act_fn, conv2d(p, `${name}.conv.2`, h, { out }));
  return relu(add(conv2d(p, `${name}.conv.4`, h, { out }), x));
}
