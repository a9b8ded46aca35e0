// Pictures out: a grid of samples as PNG.
import { encode } from "fast-png";
import type { Image } from "./images.ts";

export interface GridOptions {
  /** Images per row; default: about as many as rows. */
  readonly columns?: number;
  /** Pixels between images, after enlarging. Default 2. */
  readonly padding?: number;
  /** Every pixel becomes a square of this side; default: what brings a small image to about 64 pixels. */
  readonly upscale?: number;
  /** The grey between images, 0..255. Default 255. */
  readonly background?: number;
}

type Shape = readonly [channels: number, height: number, width: number];

/** Grey (1 channel), grey + alpha, RGB or RGBA to PNG, signed. */
export function encodePng({ width, height, channels, data }: Image): Uint8Array {
  return signPng(encode({ width, height, channels, data, depth: 8 }));
}

const chars = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
/** The text chunk "Software: fewstep": its length, its type with the text, its CRC. https://www.w3.org/TR/png/#11tEXt */
const signature = Uint8Array.of(0, 0, 0, 16, ...chars("tEXtSoftware\0fewstep"), 0x2c, 0x5e, 0x43, 0xd7);
/** Where the first chunk, IHDR, ends. */
const afterHeader = 33;

/** A PNG file that says in a text chunk that this library wrote it. */
export function signPng(png: Uint8Array): Uint8Array {
  const out = new Uint8Array(png.length + signature.length);
  out.set(png.subarray(0, afterHeader));
  out.set(signature, afterHeader);
  out.set(png.subarray(afterHeader), afterHeader + signature.length);
  return out;
}

/** Whether `signPng` signed a file that begins with these bytes (61 are enough). */
export const isSignedPng = (begin: Uint8Array): boolean =>
  begin.length >= afterHeader + signature.length && signature.every((byte, i) => begin[afterHeader + i] === byte);

/** [-1, 1] -> 0..255, clipped. Throws an Error on NaN, which would show as black. */
export function toBytes(x: Float32Array): Uint8Array {
  return Uint8Array.from(x, (v, i) => {
    if (Number.isNaN(v)) throw new Error(`Value ${i} of the image is NaN, expected numbers around [-1, 1].`);
    return Math.round(Math.min(1, Math.max(0, v / 2 + 0.5)) * 255);
  });
}

/**
 * The n images of x, [n, C, H, W] in [-1, 1] with one or three channels, side by side, row by row.
 * Throws a RangeError where x does not fit the shape.
 */
export function sampleGrid(x: Float32Array, shape: Shape, options: GridOptions = {}): Image {
  const [channels, height, width] = shape;
  const per = channels * height * width;
  const n = x.length / per;
  if (channels !== 1 && channels !== 3) {
    throw new RangeError(`The images have ${channels} channels, expected 1 or 3 to show them.`);
  }
  if (!Number.isInteger(n) || n === 0) {
    throw new RangeError(`The images have ${x.length} values, expected a multiple of ${shape.join(" x ")} = ${per}.`);
  }
  const columns = Math.min(n, positive("columns", options.columns ?? Math.ceil(Math.sqrt(n))));
  const upscale = positive("upscale", options.upscale ?? Math.max(1, Math.round(64 / Math.max(height, width))));
  const padding = options.padding ?? 2;
  const rows = Math.ceil(n / columns);
  const out = {
    width: columns * (width * upscale + padding) + padding,
    height: rows * (height * upscale + padding) + padding,
    channels,
  };
  const data = new Uint8Array(out.width * out.height * channels).fill(options.background ?? 255);
  const bytes = toBytes(x);
  for (let i = 0; i < n; i++) {
    const left = padding + (i % columns) * (width * upscale + padding);
    const top = padding + Math.floor(i / columns) * (height * upscale + padding);
    for (let y = 0; y < height * upscale; y++) {
      for (let column = 0; column < width * upscale; column++) {
        const from = i * per + Math.floor(y / upscale) * width + Math.floor(column / upscale);
        const to = ((top + y) * out.width + left + column) * channels;
        for (let c = 0; c < channels; c++) data[to + c] = bytes[from + c * height * width];
      }
    }
  }
  return { ...out, data };
}

/** The grid of `sampleGrid` as the bytes of a PNG file. */
export const gridPng = (x: Float32Array, shape: Shape, options?: GridOptions): Uint8Array =>
  encodePng(sampleGrid(x, shape, options));

function positive(option: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value;
  throw new RangeError(`The grid's ${option} is ${value}, expected a whole number from 1.`);
}
