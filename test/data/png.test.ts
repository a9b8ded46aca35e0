import { encode } from "fast-png";
import { describe, expect, test } from "vitest";
import { encodePng, gridPng, sampleGrid, toBytes } from "../../src/data/png.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { picture } from "./bytes.ts";

test("[-1, 1] becomes 0..255, clipped; NaN is refused", () => {
  expect([...toBytes(Float32Array.of(-1, 0, 1, -3, 7, Infinity))]).toEqual([0, 128, 255, 0, 255, 255]);
  const all = Float32Array.from({ length: 256 }, (_, i) => i / 127.5 - 1);
  expect([...toBytes(all)]).toEqual(Array.from({ length: 256 }, (_, i) => i));
  expect(() => toBytes(Float32Array.of(0, Number.NaN))).toThrow("Value 1 of the image is NaN");
});

describe("PNG", () => {
  test.each([1, 2, 3, 4])("%i channels survive a round trip", async (channels) => {
    const image = await decodePng(picture(5, 3, channels), "p");
    expect(image).toMatchObject({ width: 5, height: 3, channels });
    expect(await decodePng(encodePng(image), "q")).toEqual(image);
  });
  test("16 bits are rounded to 8, a palette becomes color", async () => {
    const deep = encode({ width: 3, height: 1, channels: 1, depth: 16, data: Uint16Array.of(0, 257 * 9 + 100, 65535) });
    expect([...(await decodePng(deep, "p")).data]).toEqual([0, 9, 255]);
  });
  test("garbage is refused", async () => {
    await expect(decodePng(new Uint8Array(30), "p")).rejects.toThrow("p is no readable PNG");
  });
});

describe("grid", () => {
  test("two images of 1 x 2 side by side, each pixel a square of two, one pixel between", () => {
    const grid = sampleGrid(Float32Array.of(-1, 1, 1, -1), [1, 1, 2], {
      columns: 2,
      padding: 1,
      upscale: 2,
      background: 9,
    });
    expect(grid).toMatchObject({ width: 11, height: 4, channels: 1 });
    const edge = [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    const row = [9, 0, 0, 255, 255, 9, 255, 255, 0, 0, 9];
    expect([...grid.data]).toEqual([...edge, ...row, ...row, ...edge]);
  });

  test("planes become color, rows follow columns, missing places stay empty", () => {
    const x = Float32Array.from({ length: 9 }, (_, i) => (i * 20) / 127.5 - 1);
    const grid = sampleGrid(x, [3, 1, 1], { columns: 2, padding: 0, upscale: 1 });
    expect(grid).toMatchObject({ width: 2, height: 2 });
    expect([...grid.data]).toEqual([0, 20, 40, 60, 80, 100, 120, 140, 160, 255, 255, 255]);
  });

  test("small images are enlarged, large ones are not, and the result is a PNG", async () => {
    expect(sampleGrid(new Float32Array(4 * 784), [1, 28, 28])).toMatchObject({ width: 118, height: 118 });
    expect(sampleGrid(new Float32Array(3 * 64 * 64), [3, 64, 64])).toMatchObject({ width: 68, height: 68 });
    expect(await decodePng(gridPng(new Float32Array(784), [1, 28, 28], { upscale: 1 }), "p")).toMatchObject({
      width: 32,
    });
  });

  test("what cannot be shown is refused", () => {
    expect(() => sampleGrid(new Float32Array(8), [2, 2, 2])).toThrow("The images have 2 channels, expected 1 or 3");
    expect(() => sampleGrid(new Float32Array(5), [1, 2, 2])).toThrow("expected a multiple of 1 x 2 x 2 = 4");
    expect(() => sampleGrid(new Float32Array(0), [1, 2, 2])).toThrow("have 0 values");
    expect(() => sampleGrid(new Float32Array(4), [1, 2, 2], { columns: 0 })).toThrow("columns is 0");
    expect(() => sampleGrid(new Float32Array(4), [1, 2, 2], { upscale: 1.5 })).toThrow("upscale is 1.5");
  });
});
