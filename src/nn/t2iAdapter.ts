// diffusers' T2IAdapter (Mou et al. 2023, arXiv:2302.08453): a small network from a picture to one feature per level.
import * as z from "zod";
import { add, avgPool2d, relu, reshape, type Tensor, transpose } from "../graph/index.ts";
import { few, LEVELS, readConfig, refused, width } from "./config.ts";
import { conv2d } from "./layers.ts";
import { type Params, seen } from "./params.ts";

const schema = z.object({
  in_channels: width.default(3),
  channels: z.array(width).min(1).max(LEVELS).default([320, 640, 1280, 1280]),
  num_res_blocks: few.default(2),
  downscale_factor: few.default(8),
  adapter_type: z.enum(["full_adapter", "full_adapter_xl", "light_adapter"]).default("full_adapter"),
});

export type T2IAdapterConfig = Readonly<z.output<typeof schema>>;

const family = "T2IAdapter";

/** Reads an adapter's config.json. Throws RangeError with one sentence for anything that is not supported. */
export function readT2IAdapterConfig(config: unknown): T2IAdapterConfig {
  const c = readConfig(family, schema, config);
  if (c.adapter_type === "full_adapter_xl" && c.channels.length !== 4)
    throw refused(family, "channels", c.channels, '"adapter_type": "full_adapter_xl" has four levels');
  return c;
}

/** picture [B, in_channels, H, W] in 0 to 1; the features, one per level, [B, channels[i], …]. */
export function t2iAdapter(c: T2IAdapterConfig, p: Params, picture: Tensor): Tensor[] {
  const [, channels, height, width] = picture.shape;
  const factor = c.downscale_factor;
  if (channels !== c.in_channels || height % factor !== 0 || width % factor !== 0)
    throw new RangeError(
      `The adapter's picture has shape [${picture.shape}], expected [B, ${c.in_channels}, H, W] with H and W multiples of ${factor}.`,
    );
  const packed = pixelUnshuffle(picture, factor);
  const light = c.adapter_type === "light_adapter";
  let h = light ? packed : conv2d(p, "adapter.conv_in", packed, { out: c.channels[0] });
  return c.channels.map((out, i) => {
    const name = `adapter.body.${i}`;
    const halved = c.adapter_type === "full_adapter_xl" ? i === 2 : i > 0;
    if (halved) h = halve(h);
    h = light ? lightBlock(c, p, name, h, out) : block(c, p, name, h, out);
    return seen(p, name, h);
  });
}

/** Of every factor x factor square of pixels one pixel with factor² times the channels, as PyTorch orders them. */
function pixelUnshuffle(x: Tensor, factor: number): Tensor {
  const [b, c, h, w] = x.shape;
  const split = reshape(x, [b, c, h / factor, factor, w / factor, factor]);
  return reshape(transpose(split, [0, 1, 3, 5, 2, 4]), [b, c * factor * factor, h / factor, w / factor]);
}

function halve(x: Tensor): Tensor {
  if (x.shape[2] % 2 !== 0 || x.shape[3] % 2 !== 0)
    throw new RangeError(
      `A T2I-Adapter halves ${x.shape[2]} x ${x.shape[3]} pixels, which are odd; use a larger multiple for the picture's sides.`,
    );
  return avgPool2d(x, { kernel: [2, 2] });
}

function block(c: T2IAdapterConfig, p: Params, name: string, x: Tensor, out: number): Tensor {
  let h = x.shape[1] === out ? x : conv2d(p, `${name}.in_conv`, x, { out, kernel: 1 });
  for (let k = 0; k < c.num_res_blocks; k++) {
    const inner = relu(conv2d(p, `${name}.resnets.${k}.block1`, h, { out }));
    h = add(conv2d(p, `${name}.resnets.${k}.block2`, inner, { out, kernel: 1 }), h);
  }
  return h;
}

/** A bottleneck of a quarter of the channels. */
function lightBlock(c: T2IAdapterConfig, p: Params, name: string, x: Tensor, out: number): Tensor {
  const middle = Math.floor(out / 4);
  let h = conv2d(p, `${name}.in_conv`, x, { out: middle, kernel: 1 });
  for (let k = 0; k < c.num_res_blocks; k++) {
    const inner = relu(conv2d(p, `${name}.resnets.${k}.block1`, h, { out: middle }));
    h = add(conv2d(p, `${name}.resnets.${k}.block2`, inner, { out: middle }), h);
  }
  return conv2d(p, `${name}.out_conv`, h, { out, kernel: 1 });
}
