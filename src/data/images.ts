// From encoded pictures to one block of bytes [n, C, H, W]; all pictures must have one size.

import { brief } from "../core/show.ts";
import { joined } from "./byteReader.ts";

/** Interleaved 8-bit pixels [height, width, channels]: grey, grey + alpha, RGB or RGBA. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/**
 * Decodes a PNG, JPEG or WebP, upright; throws an Error naming `name` where it cannot, and before it takes memory for one of
 * more than `most` pixels. Injected, as platforms differ.
 */
export type Decode = (bytes: Uint8Array, name: string, most?: number) => Promise<Image>;

export const isImageName = (name: string): boolean => /\.(png|jpe?g|jpe|jfif|webp)$/i.test(name);

/** Pictures of kinds that are not read: they are named, never left out. */
export const isOtherImageName = (name: string): boolean =>
  /\.(bmp|dib|gif|tiff?|avif|hei[cf]|jp2|j2k|jxl|p[pgbna]m|tga|exr|hdr|ico|svg|psd|dng|cr2|nef|apng)$/i.test(name);

/** The most pixels of a picture, 4096 x 4096. */
export const MAX_PIXELS = 1 << 24;
/** The largest file of a picture, in bytes. */
export const MAX_IMAGE_BYTES = 1 << 28;

/** Throws an Error for a picture of more than `most` pixels. */
export function checkPixels({ width, height }: Pick<Image, "width" | "height">, name: string, most = MAX_PIXELS): void {
  if (width * height > most)
    throw new Error(`${brief(name)} is ${width} x ${height}, expected at most ${most} pixels. Scale it down.`);
}

/** 0..65535 -> 0..255, to nearest. */
export const to8bit = (value: number): number => Math.round(value / 257);

export interface PackOptions {
  /** Where the pictures are from, for messages. */
  readonly name?: string;
  /** The [C, H, W] that the pictures must have; without it the first one decides. */
  readonly shape?: readonly [number, number, number];
}

export interface PackedImages {
  readonly pixels: Uint8Array;
  readonly shape: readonly [number, number, number];
}

/** Pictures decoded at a time: enough to keep the decoder's threads busy, and no more than these bytes. */
const together = 32;
const inFlight = 1 << 25;
const blockBytes = 1 << 22;

/** Decodes pictures in order. Throws an Error naming the first picture that has another size or number of channels. */
export async function packImages(
  items: AsyncIterable<{ readonly name: string; readonly bytes: Uint8Array }>,
  decode: Decode,
  options: PackOptions = {},
): Promise<PackedImages> {
  let expected = options.shape && { shape: options.shape, source: "the model" };
  const blocks: Uint8Array[] = [];
  let room = new Uint8Array(0);
  const add = ({ name, image }: { name: string; image: Image }) => {
    const opaque = withoutAlpha(image, name);
    const shape = [opaque.channels, opaque.height, opaque.width] as const;
    expected ??= { shape, source: name };
    if (shape.some((n, i) => n !== expected?.shape[i])) {
      throw new Error(
        `${brief(name)} is ${describe(shape)}, expected ${describe(expected.shape)} like ${brief(expected.source)}. Bring all images to one size and kind.`,
      );
    }
    const per = opaque.data.length;
    if (room.length < per) {
      room = new Uint8Array(per * Math.max(1, Math.floor(blockBytes / per)));
      blocks.push(room);
    }
    toPlanes(opaque, room.subarray(0, per));
    room = room.subarray(per);
  };
  let pending: Promise<{ name: string; image: Image }>[] = [];
  const flush = async () => {
    for (const done of await Promise.all(pending)) add(done);
    pending = [];
  };
  /** The first picture is decoded alone, as it says how large the others are. */
  const atOnce = () => {
    if (!expected) return 1;
    return Math.min(together, Math.max(1, Math.floor(inFlight / expected.shape.reduce((a, b) => a * b))));
  };
  const most = () => expected && Math.min(MAX_PIXELS, Math.max(1 << 20, 4 * expected.shape[1] * expected.shape[2]));
  try {
    for await (const { name, bytes } of items) {
      const decoded = decode(bytes, name, most()).then((image) => ({ name, image }));
      // One that fails while others are awaited must not count as unhandled; it is reported by the next flush.
      decoded.catch(() => {});
      pending.push(decoded);
      if (pending.length >= atOnce()) await flush();
    }
    await flush();
  } finally {
    await Promise.allSettled(pending);
  }
  if (!expected || blocks.length === 0)
    throw new Error(`${brief(options.name ?? "The dataset")} has no PNG, JPEG or WebP images.`);
  const last = blocks.length - 1;
  blocks[last] = blocks[last].subarray(0, blocks[last].length - room.length);
  return { pixels: joined(blocks), shape: expected.shape };
}

/** [H, W, C] -> [C, H, W]. */
export function toPlanes({ width, height, channels, data }: Image, out = new Uint8Array(data.length)): Uint8Array {
  const area = width * height;
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < area; i++) out[c * area + i] = data[i * channels + c];
  }
  return out;
}

/** Drops an alpha channel that hides nothing; throws an Error for transparency, which has no color to train on. */
function withoutAlpha(image: Image, name: string): Image {
  const { width, height, channels, data } = image;
  if (channels !== 2 && channels !== 4) return image;
  const colors = channels - 1;
  const kept = new Uint8Array(width * height * colors);
  for (let i = 0; i < width * height; i++) {
    if (data[i * channels + colors] !== 255) {
      throw new Error(`${brief(name)} has transparent pixels, expected an opaque image. Flatten it onto a background.`);
    }
    for (let c = 0; c < colors; c++) kept[i * colors + c] = data[i * channels + c];
  }
  return { width, height, channels: colors, data: kept };
}

const describe = ([channels, height, width]: readonly [number, number, number]) =>
  `${width} x ${height} with ${channels} ${channels === 1 ? "channel" : "channels"}`;
