// EXIF orientation: how a camera was held. https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf (0x0112)
import type { Image } from "./images.ts";

/** The picture upright; `orientation` is 1 (as it is) to 8. */
export function upright(image: Image, orientation: number): Image {
  if (orientation < 2 || orientation > 8) return image;
  const { width, height, channels, data } = image;
  const turned = orientation >= 5;
  const [w, h] = turned ? [height, width] : [width, height];
  const mirrorX = [2, 3, 7, 8].includes(orientation);
  const mirrorY = [3, 4, 6, 7].includes(orientation);
  const out = new Uint8Array(data.length);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const [a, b] = turned ? [y, x] : [x, y];
      const from = ((mirrorY ? height - 1 - b : b) * width + (mirrorX ? width - 1 - a : a)) * channels;
      for (let c = 0; c < channels; c++) out[(y * w + x) * channels + c] = data[from + c];
    }
  }
  return { width: w, height: h, channels, data: out };
}

/** The orientation in EXIF data (a TIFF header and one directory); 1 where they do not say. */
export function exifOrientation(exif: Uint8Array): number {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.byteLength);
  if (exif.length < 14) return 1;
  const little = view.getUint16(0) === 0x4949;
  const directory = view.getUint32(4, little);
  if (directory + 2 > exif.length) return 1;
  const entries = view.getUint16(directory, little);
  for (let i = 0; i < entries; i++) {
    const at = directory + 2 + 12 * i;
    if (at + 12 > exif.length) return 1;
    if (view.getUint16(at, little) === 0x0112) {
      const value = view.getUint16(at + 8, little);
      return value >= 1 && value <= 8 ? value : 1;
    }
  }
  return 1;
}
