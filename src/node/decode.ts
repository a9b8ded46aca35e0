// Decodes PNG, JPEG and WebP with sharp.

import { brief } from "../core/show.ts";
import { checkPixels, type Image, to8bit } from "../data/images.ts";
import { upright } from "../data/orient.ts";
import { isPng, readPng } from "../data/pngChunks.ts";

/**
 * 8-bit pixels, grey or color as in the file, upright; 16 bits are rounded. `most`: pixels above which it is refused.
 * Throws an Error naming `name` where the bytes are no such picture, or an animation.
 */
export async function decodeImage(bytes: Uint8Array, name: string, most?: number): Promise<Image> {
  const { default: sharp } = await import("sharp");
  const unreadable = (cause: unknown): never => {
    throw new Error(`${brief(name)} is no readable PNG, JPEG or WebP: ${reason(cause)}.`, { cause });
  };
  const { width, height, frames, grey, deep, orientation } = await headOf(bytes, sharp).catch(unreadable);
  checkPixels({ width, height }, name, most);
  if (frames > 1) throw new Error(`${brief(name)} is an animation of ${frames} pictures, expected a single one.`);
  const input = sharp(bytes, { failOn: "warning" });
  if (orientation === undefined) input.autoOrient();
  if (deep) {
    const raw = input.toColorspace(grey ? "grey16" : "rgb16").raw({ depth: "ushort" });
    const { data, info } = await raw.toBuffer({ resolveWithObject: true }).catch(unreadable);
    const values = new Uint16Array(data.buffer, data.byteOffset, data.length / 2);
    const { width, height, channels } = info;
    return upright({ width, height, channels, data: Uint8Array.from(values, to8bit) }, orientation ?? 1);
  }
  const raw = input.raw({ depth: "uchar" });
  const { data, info } = await raw.toBuffer({ resolveWithObject: true }).catch(unreadable);
  const image = { width: info.width, height: info.height, channels: info.channels, data };
  return upright(grey ? toGrey(image) : image, orientation ?? 1);
}

interface Head {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly grey: boolean;
  /** 16 bits per sample. */
  readonly deep: boolean;
  /** As our own reader finds it, so that both say the same; undefined: sharp turns the picture. */
  readonly orientation?: number;
}

/** Nothing is unpacked. The kind is told by the first bytes: sharp reads others too, of which some name files to load. */
async function headOf(bytes: Uint8Array, sharp: typeof import("sharp")["default"]): Promise<Head> {
  if (isPng(bytes)) {
    const { width, height, frames, color, depth, orientation } = readPng(bytes);
    return { width, height, frames, grey: color === 0 || color === 4, deep: depth === 16, orientation };
  }
  const is = (text: string, at: number) => [...text].every((char, i) => bytes[at + i] === char.charCodeAt(0));
  if (!is("\xff\xd8\xff", 0) && !(is("RIFF", 0) && is("WEBP", 8))) {
    throw new Error(bytes.length === 0 ? "it is empty" : "it does not start like one");
  }
  // The decoder makes up the end of a file that is cut off there.
  if (
    is("\xff\xd8", 0) &&
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).lastIndexOf("\xff\xd9", undefined, "latin1") < 0
  )
    throw new Error("it is cut off: it has no end marker");
  const { width, height, pages = 1, space } = await sharp(bytes, { failOn: "warning" }).metadata();
  return { width, height, frames: pages, grey: space === "b-w", deep: false };
}

function reason(cause: unknown): string {
  const message = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
  return brief(message.slice(0, 120).replace(/\.$/, ""));
}

/** sharp turns grey into RGB, and its conversion back would lose the alpha channel; so one of the three is picked. */
function toGrey({ width, height, channels, data }: Image): Image {
  const kept = channels - 2;
  const out = new Uint8Array(width * height * kept);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < kept; c++) out[i * kept + c] = data[i * channels + 2 + c];
  }
  return { width, height, channels: kept, data: out };
}
