import { expect, it } from "vitest";
import { type Image, sliced, tiled, tileSizes } from "../../src/diffusers/tiles.ts";
import { key, normal } from "../../src/random.ts";

const image = (batch: number, height: number, width: number): Image => ({
  shape: [batch, 2, height, width],
  data: normal(key(height * width), batch * 2 * height * width),
});
/** Nearest to twice the size: what an autoencoder does to sizes. */
const doubled = async ({ shape, data }: Image): Promise<Image> => {
  const [batch, channels, h, w] = shape;
  const out = new Float32Array(4 * data.length);
  for (let i = 0; i < out.length; i++) {
    const [plane, y, x] = [Math.floor(i / (4 * h * w)), Math.floor(i / (2 * w)) % (2 * h), i % (2 * w)];
    out[i] = data[(plane * h + (y >> 1)) * w + (x >> 1)];
  }
  return { shape: [batch, channels, 2 * h, 2 * w], data: out };
};

it("tiles of a map that works pixel by pixel are the whole", async () => {
  for (const [height, width] of [
    [8, 8],
    [9, 8],
    [13, 22],
    [8, 17],
    [30, 5],
  ])
    for (const overlap of [0, 0.25, 0.5]) {
      const x = image(2, height, width);
      const sizes: number[][] = [];
      const have = await tiled(x, { input: 8, output: 16, overlap }, (tile) => {
        sizes.push(tile.shape.slice(2));
        return doubled(tile);
      });
      const want = await doubled(x);
      expect(have.shape).toEqual(want.shape);
      const worst = have.data.reduce((w, v, i) => Math.max(w, Math.abs(v - want.data[i])), 0);
      expect(worst, `${height} x ${width}, ${overlap}`).toBeLessThan(1e-6);
      expect(sizes.length === 1).toBe(height <= 8 && width <= 8);
      expect(Math.max(...sizes.flat()) <= 8).toBe(true);
    }
});

it("slices are done one at a time", async () => {
  const x = image(3, 2, 3);
  const batches: number[] = [];
  const have = await sliced(x, (one) => {
    batches.push(one.shape[0]);
    return doubled(one);
  });
  expect(batches).toEqual([1, 1, 1]);
  expect(have).toEqual(await doubled(x));
});

it("has diffusers' sizes, and refuses tiles that do not move on", async () => {
  expect(tileSizes(512, 4)).toEqual({
    encode: { input: 512, output: 64, overlap: 0.25 },
    decode: { input: 64, output: 512, overlap: 0.25 },
  });
  for (const overlap of [1, -0.1, 0.95, Number.NaN])
    await expect(tiled(image(1, 20, 20), { input: 8, output: 16, overlap }, doubled)).rejects.toThrow("do not move on");
});
