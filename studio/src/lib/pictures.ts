// Samples as pixels of a canvas.
import { sampleGrid } from "fewstep/browser";

/** Whether samples of this shape can be shown as pictures. */
export const isPicture = (shape: readonly number[]): shape is readonly [number, number, number] =>
  shape.length === 3 && (shape[0] === 1 || shape[0] === 3) && shape[1] > 1 && shape[2] > 1;

export const isPoint = (shape: readonly number[]): boolean => shape.reduce((a, b) => a * b, 1) === 2;

/** Samples [n, C, H, W] in rows of `columns`. Throws a RangeError for what is no picture. */
export function gridOf(x: Float32Array, shape: readonly [number, number, number], columns: number): ImageData {
  const { width, height, channels, data } = sampleGrid(x, shape, { columns, upscale: 1, padding: 1, background: 128 });
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = data[channels * i + (channels === 1 ? 0 : c)];
    image.data[4 * i + 3] = 255;
  }
  return image;
}
