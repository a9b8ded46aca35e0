// The two readers of PNG agree, value for value, on everything that the format allows.
import { deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { exifOrientation } from "../../src/data/orient.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { decodeImage } from "../../src/node/decode.ts";

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});
function chunk(type: string, body: Uint8Array): Uint8Array {
  const typed = Buffer.concat([Buffer.from(type, "latin1"), body]);
  const sum = ~typed.reduce((c, byte) => crcTable[(c ^ byte) & 255] ^ (c >>> 8), 0xffffffff) >>> 0;
  const [length, end] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(body.length);
  end.writeUInt32BE(sum);
  return Buffer.concat([length, typed, end]);
}
interface Options {
  readonly width?: number;
  readonly height?: number;
  readonly interlaced?: boolean;
  readonly extra?: readonly Uint8Array[];
  readonly raw?: Uint8Array;
}
const samples: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const adam7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

/** A PNG of pseudorandom samples, each line with another filter. */
function png(
  color: number,
  depth: number,
  { width = 11, height = 9, interlaced = false, extra = [], raw }: Options = {},
): Uint8Array {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([depth, color, 0, 0, interlaced ? 1 : 0], 8);
  const lines: Buffer[] = [];
  let seed = 7;
  for (const [x, y, dx, dy] of interlaced ? adam7 : [[0, 0, 1, 1]]) {
    const [w, h] = [Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)];
    if (w <= 0 || h <= 0) continue;
    for (let row = 0; row < h; row++) {
      const line = Buffer.alloc(Math.ceil((w * depth * samples[color]) / 8) + 1);
      for (let i = 1; i < line.length; i++) {
        seed = (seed * 1103515245 + 12345) % 2147483648;
        line[i] = seed >> 16;
      }
      // The indices of a palette of 16 must fit it, so nothing is added to them.
      line[0] = color === 3 ? 0 : row % 5;
      if (color === 3 && depth === 8) for (let i = 1; i < line.length; i++) line[i] &= 15;
      lines.push(line);
    }
  }
  const palette =
    color === 3
      ? [
          chunk(
            "PLTE",
            Uint8Array.from({ length: 3 * Math.min(16, 2 ** depth) }, (_, i) => (i * 37) % 256),
          ),
        ]
      : [];
  return new Uint8Array(
    Buffer.concat([
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10),
      chunk("IHDR", head),
      ...palette,
      ...extra,
      chunk("IDAT", deflateSync(raw ?? Buffer.concat(lines))),
      chunk("IEND", new Uint8Array(0)),
    ]),
  );
}
const kinds = [
  [0, 1],
  [0, 2],
  [0, 4],
  [0, 8],
  [0, 16],
  [2, 8],
  [2, 16],
  [3, 1],
  [3, 2],
  [3, 4],
  [3, 8],
  [4, 8],
  [4, 16],
  [6, 8],
  [6, 16],
];
const exif = (orientation: number) =>
  chunk(
    "eXIf",
    Uint8Array.of(0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0),
  );

async function both(bytes: Uint8Array) {
  const [own, other] = [await decodePng(bytes, "p"), await decodeImage(bytes, "p")];
  expect({ ...own, data: [...own.data] }).toEqual({ ...other, data: [...other.data] });
  return own;
}

describe("both readers agree on", () => {
  test.each(
    kinds.flatMap(([color, depth]) => [false, true].map((interlaced) => [color, depth, interlaced] as const)),
  )("color type %i with %i bits, interlaced: %s", async (color, depth, interlaced) => {
    for (const [width, height] of [
      [11, 9],
      [1, 1],
      [3, 2],
      [8, 8],
    ])
      expect(await both(png(color, depth, { interlaced, width, height }))).toMatchObject({ width, height });
  });

  test.each([
    ["grey", 0, 8, Uint8Array.of(0, 100)],
    ["grey of 4 bits", 0, 4, Uint8Array.of(0, 3)],
    ["color", 2, 8, Uint8Array.of(0, 1, 0, 2, 0, 3)],
    ["a palette", 3, 4, Uint8Array.of(0, 128, 255)],
  ])("a transparent color of %s", async (_, color, depth, body) => {
    expect((await both(png(color, depth, { extra: [chunk("tRNS", body)] }))).channels).toBe(color === 0 ? 2 : 4);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])("orientation %i", async (orientation) => {
    const image = await both(png(2, 8, { extra: [exif(orientation)] }));
    expect([image.width, image.height]).toEqual(orientation < 5 ? [11, 9] : [9, 11]);
  });
});

test("16 bits are rounded to nearest: round(v / 257)", async () => {
  const values = [0, 128, 129, 385, 386, 1000, 20_000, 32_896, 40_000, 65_000, 65_406, 65_407, 65_535];
  const line = Buffer.from([0, ...values.flatMap((v) => [v >> 8, v & 255])]);
  const image = await both(png(0, 16, { width: values.length, height: 1, raw: line }));
  expect([...image.data]).toEqual(values.map((v) => Math.round(v / 257)));
});

test.each([2, 3, 4, 5, 6, 7, 8])("a JPEG and a WebP of orientation %i are upright", async (orientation) => {
  // Quarters of black and white tell the eight orientations apart: one is white.
  const stored = Uint8Array.from({ length: 32 * 16 }, (_, i) => (i % 32 < 16 && i < 256 ? 255 : 0));
  const raw = sharp(stored, { raw: { width: 32, height: 16, channels: 1 } }).withMetadata({ orientation });
  for (const bytes of [await raw.clone().jpeg().toBuffer(), await raw.clone().webp({ lossless: true }).toBuffer()]) {
    const { width, height, channels, data } = await decodeImage(bytes, "p");
    expect([width, height]).toEqual(orientation < 5 ? [32, 16] : [16, 32]);
    const at = (x: number, y: number) => data[(y * width + x) * channels] > 128;
    const [right, low] = [width - 3, height - 3];
    // Where the stored top left corner is seen: EXIF's own table.
    const corner = {
      2: [right, 2],
      3: [right, low],
      4: [2, low],
      5: [2, 2],
      6: [right, 2],
      7: [right, low],
      8: [2, low],
    }[orientation];
    for (const [x, y] of [
      [2, 2],
      [right, 2],
      [2, low],
      [right, low],
    ])
      expect(at(x, y)).toBe(x === corner?.[0] && y === corner[1]);
  }
});

test("EXIF data that say nothing, or nonsense, leave a picture as it is", () => {
  expect(exifOrientation(new Uint8Array(0))).toBe(1);
  expect(exifOrientation(new Uint8Array(40).fill(255))).toBe(1);
  expect(
    exifOrientation(Uint8Array.of(0x49, 0x49, 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0)),
  ).toBe(6);
});

describe("refused in a sentence by both", () => {
  const head = (width: number, height: number) =>
    png(2, 8, { width: 1, height: 1 }).map((b, i) => {
      const view = Buffer.alloc(8);
      view.writeUInt32BE(width, 0);
      view.writeUInt32BE(height, 4);
      return i >= 16 && i < 24 ? view[i - 16] : b;
    });
  const withSum = (bytes: Uint8Array) =>
    Buffer.concat([bytes.subarray(0, 8), chunk("IHDR", bytes.subarray(16, 29)), bytes.subarray(33)]);
  test.each([
    ["a huge width", withSum(head(4294967295, 2)), "p is 4294967295 x 2, expected at most 16777216 pixels"],
    ["no width", withSum(head(0, 2)), "0 x 2 pixels"],
    ["a palette without colors", png(3, 8, { extra: [chunk("PLTE", new Uint8Array(0))] }), "its palette has 0 bytes"],
    [
      "an animation",
      png(2, 8, { extra: [chunk("acTL", Uint8Array.of(0, 0, 0, 3, 0, 0, 0, 0))] }),
      "p is an animation of 3 pictures",
    ],
    ["a damaged sum", png(2, 8).map((b, i) => (i === 60 ? b ^ 1 : b)), "is damaged"],
    ["a cut", png(2, 8).subarray(0, 70), "is cut off at byte 70"],
    ["an odd depth", withSum(png(2, 8).map((b, i) => (i === 24 ? 3 : b))), "color type 2 with 3 bits"],
    ["nothing", new Uint8Array(0), "p is no readable PNG"],
  ])("%s", async (_, bytes, message) => {
    for (const decode of [decodePng, decodeImage]) await expect(decode(bytes, "p")).rejects.toThrow(message);
  });

  test("pixels that unpack to less or more than the header says", async () => {
    await expect(decodePng(png(0, 8, { raw: Buffer.alloc(5) }), "p")).rejects.toThrow(
      "its pixels unpack to 5 bytes, expected 108",
    );
    await expect(decodePng(png(0, 8, { raw: Buffer.alloc(30_000_000) }), "p")).rejects.toThrow("more than 108 bytes");
    await expect(decodePng(png(3, 8, { raw: Buffer.alloc(108, 200) }), "p")).rejects.toThrow(/filter 200|color 200/);
  });

  test("more pixels than asked for, and other kinds of pictures", async () => {
    for (const decode of [decodePng, decodeImage])
      await expect(decode(png(0, 8), "p", 50)).rejects.toThrow("p is 11 x 9, expected at most 50 pixels");
    const gif = await sharp(new Uint8Array(48), { raw: { width: 4, height: 4, channels: 3 } })
      .gif()
      .toBuffer();
    await expect(decodeImage(gif, "p.png")).rejects.toThrow(
      "p.png is no readable PNG, JPEG or WebP: it does not start like one.",
    );
    await expect(
      decodeImage(Buffer.from("<svg xmlns='http://www.w3.org/2000/svg' width='4' height='4'/>"), "p.png"),
    ).rejects.toThrow("no readable");
  });
});
