// Samples and figures as the pixels of a canvas.

import type { Image } from "../data/images.ts";

/** For `new ImageData(data, width, height)`. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** RGBA. */
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** Of grey, grey + alpha, RGB or RGBA: what has no alpha is opaque. */
export function toPixels({ width, height, channels, data }: Image): Pixels {
  const [grey, alpha] = [channels < 3, channels % 2 === 0];
  const out = new Uint8ClampedArray(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) out[4 * i + c] = data[channels * i + (grey ? 0 : c)];
    out[4 * i + 3] = alpha ? data[channels * i + channels - 1] : 255;
  }
  return { width, height, data: out };
}
