import { describe, expect, it } from "vitest";
import { clipPixels, readClipPreprocessing } from "../../src/diffusers/clipPixels.ts";
import { resizeBicubic } from "../../src/diffusers/resize.ts";
import type { Image } from "../../src/diffusers/tiles.ts";
import { unsafe } from "../../src/nn/clipVision.ts";

const picture = (height: number, width: number, channels = 1): Image => ({
  shape: [1, channels, height, width],
  data: Float32Array.from({ length: channels * height * width }, (_, i) => {
    const [y, x] = [Math.floor(i / width) % height, i % width];
    return (x * 37 + y * 91 + x * y * 13) % 256;
  }),
});

describe("bicubic resizing", () => {
  // Image.resize(size, BICUBIC) of Pillow 12.3.0 on the same 5 x 7 picture.
  it("is Pillow's, byte for byte", () => {
    expect([...resizeBicubic(picture(5, 7), 2, 3).data]).toEqual([108, 140, 144, 124, 144, 137]);
    expect([...resizeBicubic(picture(5, 7), 3, 7).data]).toEqual([
      40, 82, 123, 165, 100, 142, 183, 128, 191, 115, 178, 115, 187, 102, 68, 152, 87, 171, 150, 84, 169,
    ]);
    expect([...resizeBicubic(picture(5, 7), 9, 10).data]).toEqual([
      0, 9, 37, 62, 86, 120, 160, 185, 213, 231, 21, 40, 74, 109, 143, 140, 112, 140, 178, 204, 77, 101, 143, 186, 238,
      176, 35, 68, 117, 149, 142, 179, 190, 134, 175, 161, 95, 142, 123, 78, 178, 228, 209, 56, 83, 137, 181, 243, 155,
      36, 82, 127, 153, 120, 173, 168, 112, 183, 180, 142, 12, 54, 112, 159, 231, 191, 69, 107, 174, 223, 72, 129, 148,
      73, 127, 170, 162, 79, 103, 165, 110, 175, 171, 22, 65, 157, 217, 67, 63, 128,
    ]);
  });
});

describe("CLIP's preprocessing", () => {
  it("resizes the shorter edge, cuts the middle out and normalizes every color", () => {
    const config = readClipPreprocessing({ size: { shortest_edge: 4 }, crop_size: { height: 4, width: 4 } });
    const wide = clipPixels(config, picture(8, 12, 3));
    expect(wide.shape).toEqual([1, 3, 4, 4]);
    const resized = resizeBicubic(picture(8, 12, 3), 4, 6).data;
    for (const [k, [mean, std]] of [
      [0.48145466, 0.26862954],
      [0.4578275, 0.26130258],
      [0.40821073, 0.27577711],
    ].entries())
      expect(wide.data[k * 16]).toBeCloseTo((resized[k * 24 + 1] / 255 - mean) / std, 5);
    expect(clipPixels(config, picture(12, 8, 3)).shape).toEqual([1, 3, 4, 4]);
  });

  it("refuses what it does not do", () => {
    expect(() => readClipPreprocessing({ resample: 2 })).toThrow('"resample": 2 is not supported');
    const config = readClipPreprocessing({ do_resize: false, crop_size: 9 });
    expect(() => clipPixels(config, picture(8, 8, 3))).toThrow("A picture of 8 x 8 cannot be cropped to 9 x 9");
    expect(() => clipPixels(config, picture(8, 8))).toThrow("expected [1, 3, H, W]");
  });
});

describe("the safety checker's judgment", () => {
  it("calls a picture unsafe above a threshold, and sooner where a special concept is seen", () => {
    const none = [-0.1, -0.2];
    expect(unsafe(none, [-0.1])).toBe(false);
    expect(unsafe([-0.1, 0.001], [-0.1])).toBe(true);
    expect(unsafe([-0.1, 0.0004], [-0.1])).toBe(false); // rounded to three digits
    expect(unsafe([-0.1, -0.005], [-0.1])).toBe(false);
    expect(unsafe([-0.1, -0.005], [0.01])).toBe(true);
  });
});
