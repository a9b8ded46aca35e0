// Decodes PNG, JPEG and WebP with sharp.
import type { Image } from "../data/images.ts";

/** 8-bit pixels, grey or color as in the file. Throws an Error naming `name` where the bytes are no such picture. */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<Image> {
  const { default: sharp } = await import("sharp");
  try {
    const input = sharp(bytes, { failOn: "warning" });
    const { space } = await input.metadata();
    const { data, info } = await input.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    const image = { width: info.width, height: info.height, channels: info.channels, data };
    return space === "b-w" || space === "grey16" ? toGrey(image) : image;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new Error(`${name} is no readable PNG, JPEG or WebP: ${why}.`, { cause });
  }
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
