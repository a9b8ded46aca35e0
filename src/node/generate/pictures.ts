// Pictures that a generation starts from, or is controlled by.
import { toPlanes } from "../../data/images.ts";
import { resizeBicubic } from "../../diffusers/resize.ts";
import type { Image } from "../../diffusers/tiles.ts";
import { decodeImage } from "../decode.ts";
import { UsageError } from "../failure.ts";
import { readRegular } from "../regular.ts";

const LARGEST = 2 ** 28;

/** [1, 3, H, W], 0 to 255. Throws an Error naming the file where it is no picture, or has transparent pixels. */
export async function readPicture(file: string): Promise<Image> {
  const { width, height, channels, data } = await decodeImage(await readRegular(file, LARGEST), file);
  const planes = toPlanes({ width, height, channels, data });
  const area = width * height;
  const alpha = channels % 2 === 0;
  if (alpha && planes.subarray((channels - 1) * area).some((value) => value !== 255))
    throw new Error(`${file} has transparent pixels, expected an opaque picture. Flatten it onto a background.`);
  const grey = channels < 3;
  const out = new Float32Array(3 * area);
  for (let c = 0; c < 3; c++) out.set(planes.subarray(grey ? 0 : c * area, grey ? area : (c + 1) * area), c * area);
  return { shape: [1, 3, height, width], data: out };
}

/** 0 to 255 as -1 to 1: what an autoencoder reads. */
export const signed = ({ shape, data }: Image): Image => ({ shape, data: data.map((value) => value / 127.5 - 1) });
/** 0 to 255 as 0 to 1: what ControlNets and T2I-Adapters read. */
export const unit = ({ shape, data }: Image): Image => ({ shape, data: data.map((value) => value / 255) });

export interface Size {
  readonly width: number;
  readonly height: number;
}

export const sizeOf = ({ shape }: Image): Size => ({ width: shape[3], height: shape[2] });
export const sizeText = ({ width, height }: Size): string => `${width} x ${height}`;

/** The picture in another size. */
export const resized = (picture: Image, { width, height }: Size): Image => resizeBicubic(picture, height, width);

/** Throws UsageError for a side that is no multiple of `factor`. `what`: where the size comes from. */
export function checkMultiple(size: Size, factor: number, what: string): void {
  const { width, height } = size;
  if (width % factor === 0 && height % factor === 0) return;
  const down = (n: number) => Math.max(factor, n - (n % factor));
  throw new UsageError(
    `${what} is ${sizeText(size)}: expected multiples of ${factor}, ${sizeText({ width: down(width), height: down(height) })} say.`,
  );
}

/** Throws an Error for a control picture of another size than the one that is made. */
export function checkSameSize(file: string, picture: Image, size: Size): void {
  const own = sizeOf(picture);
  if (own.width === size.width && own.height === size.height) return;
  throw new UsageError(
    `${file} is ${sizeText(own)}, but the picture will be ${sizeText(size)}: scale it, or give --width ${own.width} --height ${own.height}.`,
  );
}

/** Size of a picture `factor` times as large, in multiples of `step`. */
export const enlarged = ({ width, height }: Size, factor: number, step: number): Size => ({
  width: Math.max(step, Math.round((width * factor) / step) * step),
  height: Math.max(step, Math.round((height * factor) / step) * step),
});
