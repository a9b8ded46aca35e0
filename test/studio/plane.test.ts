import { expect, it } from "vitest";
import { drawPoints, fill, nearest, REACH, readColor, toPixel, toPlane } from "../../studio/src/lib/plane.ts";

const image = (width: number, height = width) => {
  const pixels = { width, height, data: new Uint32Array(width * height) };
  fill(pixels, [0, 0, 0]);
  return pixels;
};
const red = (pixels: { width: number; data: Uint32Array }, x: number, y: number) =>
  pixels.data[y * pixels.width + x] & 255;
const lit = ({ data }: { data: Uint32Array }) => [...data].filter((p) => (p & 0xffffff) !== 0).length;

it("places a point where it belongs: y goes up", () => {
  const pixels = image(60);
  // 60 pixels for 6 units: the pixel of (1.05, 2.05) is 40 from the left and 9 from the top.
  expect(drawPoints(pixels, [1.05, 2.05], [200, 0, 0], 1, 1)).toBe(1);
  expect(lit(pixels)).toBe(1);
  expect(red(pixels, 40, 9)).toBe(200);
});

it("draws squares of a side, blends by opacity and keeps pixels opaque", () => {
  const pixels = image(60);
  drawPoints(pixels, [0, 0], [200, 100, 40], 0.5, 2);
  expect(lit(pixels)).toBe(4);
  const at = pixels.data[30 * 60 + 30];
  expect([at & 255, (at >> 8) & 255, (at >> 16) & 255, at >>> 24]).toEqual([100, 50, 20, 255]);
  drawPoints(pixels, [0, 0], [200, 100, 40], 0.5, 2);
  expect(red(pixels, 30, 30)).toBe(150);
});

it("leaves out what is outside or no number, and cuts what reaches over the edge", () => {
  const pixels = image(60);
  expect(drawPoints(pixels, [Number.NaN, 0, 99, 0, 0, -99, Number.POSITIVE_INFINITY, 1], [9, 9, 9], 1)).toBe(0);
  expect(lit(pixels)).toBe(0);
  expect(drawPoints(pixels, [-REACH, REACH], [9, 9, 9], 1, 2)).toBe(1);
  expect(lit(pixels)).toBe(1);
});

it("has a plane whose pixels go back and forth", () => {
  for (const value of [-3, -0.7, 0, 2.2]) expect(toPlane(toPixel(value, 321), 321)).toBeCloseTo(value, 12);
});

it("finds the nearest point within reach", () => {
  const points = [0, 0, 1, 1, 1.1, 1];
  expect(nearest(points, 1.09, 1, 0.5)).toBe(2);
  expect(nearest(points, -0.2, 0, 0.5)).toBe(0);
  expect(nearest(points, 3, 3, 0.5)).toBe(-1);
});

it("reads colors as they are written and as a build shortens them", () => {
  expect(readColor(" #33415c")).toEqual([0x33, 0x41, 0x5c]);
  expect(readColor("#fA0")).toEqual([255, 170, 0]);
  expect(() => readColor("white")).toThrow('"white" is no color like #33415c.');
});
