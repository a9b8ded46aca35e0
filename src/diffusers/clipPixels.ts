// transformers' CLIPImageProcessor: a picture as a CLIP vision model wants it.
import * as z from "zod";
import { show } from "../core/show.ts";
import { firstIssue } from "../nn/config.ts";
import { resizeBicubic } from "./resize.ts";
import type { Image } from "./tiles.ts";

/** Pixels of a side, far above what any encoder takes. */
const count = z.int().positive().max(4096);
const sides = z.object({ height: count, width: count });
const three = z.array(z.number()).length(3);
const threePositive = z.array(z.number().positive()).length(3);
const schema = z.object({
  do_resize: z.boolean().default(true),
  size: z.union([count, z.object({ shortest_edge: count }), sides]).default(224),
  /** PIL's number of the filter: bicubic. */
  resample: z.literal(3).default(3),
  do_center_crop: z.boolean().default(true),
  crop_size: z.union([count, sides]).default(224),
  do_rescale: z.boolean().default(true),
  rescale_factor: z.number().default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: three.default([0.48145466, 0.4578275, 0.40821073]),
  image_std: threePositive.default([0.26862954, 0.26130258, 0.27577711]),
});

export type ClipPreprocessing = Readonly<z.output<typeof schema>>;

/** Reads a preprocessor_config.json. Throws RangeError, one sentence, for what is not supported. */
export function readClipPreprocessing(config: unknown): ClipPreprocessing {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const { key, value, why } = firstIssue(parsed.error, config);
  throw new RangeError(`preprocessor_config.json: "${key}": ${show(value)} is not supported (${why}).`);
}

/** picture [1, 3, H, W], 0 to 255; the model's pixels [1, 3, crop, crop]. Throws RangeError where the crop is larger. */
export function clipPixels(c: ClipPreprocessing, picture: Image): Image {
  const [batch, channels] = picture.shape;
  if (picture.shape.length !== 4 || batch !== 1 || channels !== 3)
    throw new RangeError(`The picture has shape [${picture.shape}], expected [1, 3, H, W].`);
  const resized = c.do_resize ? resizeBicubic(picture, ...targetSize(c.size, picture.shape)) : picture;
  const cropped = c.do_center_crop ? centerCrop(resized, c.crop_size) : resized;
  const plane = cropped.data.length / 3;
  const factor = c.do_rescale ? c.rescale_factor : 1;
  const data = cropped.data.map((value, i) => {
    const scaled = value * factor;
    const k = Math.floor(i / plane);
    return c.do_normalize ? (scaled - c.image_mean[k]) / c.image_std[k] : scaled;
  });
  return { shape: cropped.shape, data };
}

function targetSize(size: ClipPreprocessing["size"], [, , height, width]: readonly number[]): [number, number] {
  if (typeof size === "object" && "height" in size) return [size.height, size.width];
  const short = typeof size === "number" ? size : size.shortest_edge;
  return height <= width
    ? [short, Math.trunc((short * width) / height)]
    : [Math.trunc((short * height) / width), short];
}

function centerCrop({ shape, data }: Image, size: ClipPreprocessing["crop_size"]): Image {
  const [h, w] = typeof size === "number" ? [size, size] : [size.height, size.width];
  const [, channels, height, width] = shape;
  if (height < h || width < w)
    throw new RangeError(`A picture of ${height} x ${width} cannot be cropped to ${h} x ${w}; use a larger one.`);
  const [top, left] = [Math.floor((height - h) / 2), Math.floor((width - w) / 2)];
  const out = new Float32Array(channels * h * w);
  for (let plane = 0; plane < channels; plane++)
    for (let y = 0; y < h; y++) {
      const from = (plane * height + top + y) * width + left;
      out.set(data.subarray(from, from + w), (plane * h + y) * w);
    }
  return { shape: [1, channels, h, w], data: out };
}
