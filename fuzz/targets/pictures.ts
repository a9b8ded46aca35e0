// Pictures: PNG in both readers, JPEG and WebP.
import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import { decodePng } from "../../src/data/pngDecode.ts";
import { decodeImage } from "../../src/node/decode.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { one, otherValues, type Target } from "../target.ts";

const samples: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const passes = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

interface Chunk {
  readonly type: string;
  readonly body: Uint8Array;
}

/** The bytes of a file; a wrong sum now and then. */
function written(rng: Rng, chunks: readonly Chunk[]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10)];
  for (const { type, body } of chunks) {
    const typed = Buffer.concat([Buffer.from(type, "latin1"), body]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(
      rng.chance(0.005) ? Math.abs(Math.trunc(mutate.number(rng, body.length) || 0)) % 2 ** 32 : body.length,
    );
    sum.writeUInt32BE(rng.chance(0.005) ? rng.int(2 ** 32) : crc32(typed));
    parts.push(length, typed, sum);
  }
  return new Uint8Array(Buffer.concat(parts));
}

const size32 = (rng: Rng, near: number): number => {
  const value = rng.chance(0.9) ? near : Math.trunc(mutate.number(rng, near));
  return Number.isFinite(value) ? ((value % 2 ** 32) + 2 ** 32) % 2 ** 32 : 0;
};

function makePng(rng: Rng): Uint8Array {
  const color = rng.pick([0, 2, 3, 4, 6]);
  const depth = rng.pick(color === 0 ? [1, 2, 4, 8, 16] : color === 3 ? [1, 2, 4, 8] : [8, 16]);
  const [width, height] = [1 + rng.int(12), 1 + rng.int(12)];
  const interlaced = rng.chance(0.3);
  const lines: Uint8Array[] = [];
  for (const [x, y, dx, dy] of interlaced ? passes : [[0, 0, 1, 1]]) {
    const [w, h] = [Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)];
    if (w <= 0 || h <= 0) continue;
    for (let row = 0; row < h; row++) {
      const line = Uint8Array.from({ length: 1 + Math.ceil((w * depth * samples[color]) / 8) }, () => rng.int(256));
      line[0] = rng.chance(0.01) ? rng.int(256) : rng.int(5);
      lines.push(line);
    }
  }
  let raw: Uint8Array = Buffer.concat(lines);
  if (rng.chance(0.1)) raw = mutate.bytes(rng, raw);
  let packed: Uint8Array = deflateSync(raw, { level: rng.pick([0, 1, 9]) });
  if (rng.chance(0.1)) packed = mutate.bytes(rng, packed);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size32(rng, width), 0);
  head.writeUInt32BE(size32(rng, height), 4);
  head.set([depth, color, 0, 0, interlaced ? 1 : 0], 8);
  if (rng.chance(0.05)) head[8 + rng.int(5)] = rng.int(20);
  const random = (n: number) => Uint8Array.from({ length: n }, () => rng.int(256));
  const cut = rng.int(packed.length);
  const pieces = rng.chance(0.2) ? [packed.subarray(0, cut), packed.subarray(cut)] : [packed];
  const chunks: Chunk[] = [
    { type: "IHDR", body: rng.chance(0.01) ? mutate.bytes(rng, head) : head },
    ...(color === 3 || rng.chance(0.03)
      ? [{ type: "PLTE", body: random(rng.chance(0.9) ? 3 * 2 ** Math.min(depth, 8) : rng.int(800)) }]
      : []),
    ...(rng.chance(0.15)
      ? [
          {
            type: "tRNS",
            body: random(rng.chance(0.7) ? (color === 3 ? 1 + rng.int(2 ** depth) : 2 * samples[color]) : rng.int(9)),
          },
        ]
      : []),
    ...(rng.chance(0.1) ? [{ type: "eXIf", body: exif(rng) }] : []),
    ...(rng.chance(0.03) ? [{ type: "acTL", body: Uint8Array.of(0, 0, 0, rng.int(3), 0, 0, 0, 0) }] : []),
    ...(rng.chance(0.1)
      ? [
          {
            type: rng.pick(["tEXt", "gAMA", "sRGB", "iCCP", "pHYs", "zTXt", "sBIT", "bKGD", "ABCD", "abcd"]),
            body: random(rng.pick([0, 1, 4, 9, 13, 100])),
          },
        ]
      : []),
    ...pieces.map((body) => ({ type: "IDAT", body })),
    { type: "IEND", body: new Uint8Array(0) },
  ];
  for (let k = rng.chance(0.1) ? 1 + rng.int(2) : 0; k > 0; k--) {
    const [a, b] = [rng.int(chunks.length), rng.int(chunks.length)];
    const kind = rng.int(3);
    if (kind === 0) chunks.splice(a, 1);
    else if (kind === 1) chunks.splice(b, 0, chunks[a]);
    else [chunks[a], chunks[b]] = [chunks[b], chunks[a]];
    if (chunks.length === 0) break;
  }
  const file = written(rng, chunks);
  return rng.chance(0.15) ? mutate.bytes(rng, file) : file;
}

/** A TIFF header with one entry, the orientation. */
function exif(rng: Rng): Uint8Array {
  const little = rng.chance(0.5);
  const out = new DataView(new ArrayBuffer(26));
  out.setUint16(0, little ? 0x4949 : 0x4d4d);
  out.setUint16(2, 42, little);
  out.setUint32(4, 8, little);
  out.setUint16(8, 1, little);
  out.setUint16(10, 0x0112, little);
  out.setUint16(12, 3, little);
  out.setUint32(14, 1, little);
  out.setUint16(18, rng.int(10), little);
  const bytes = new Uint8Array(out.buffer);
  return rng.chance(0.3) ? mutate.bytes(rng, bytes) : bytes;
}

/** Both readers; what one of them takes is compared with what the other says. */
const png = async (): Promise<Target> => ({
  make: (rng) => one(makePng(rng)),
  async read({ file }) {
    const [own, other] = await Promise.allSettled([decodePng(file, "a.png"), decodeImage(file, "a.png")]);
    if (own.status === "rejected") throw own.reason;
    if (other.status === "rejected") throw other.reason;
    const [a, b] = [own.value, other.value];
    if (a.width !== b.width || a.height !== b.height || a.channels !== b.channels)
      return `${a.width} x ${a.height} x ${a.channels} in one reader, ${b.width} x ${b.height} x ${b.channels} in the other`;
    return otherValues(a.data, b.data, "The first reader's picture");
  },
});

async function encoded(kind: "jpeg" | "webp"): Promise<Uint8Array[]> {
  const out: Uint8Array[] = [];
  for (let k = 0; k < 8; k++) {
    const channels = k % 3 === 0 ? 1 : 3;
    const [width, height] = [5 + 3 * k, 20 - 2 * k];
    const data = Uint8Array.from(
      { length: width * height * channels },
      (_, i) => (i * 37 + k * 11 + (i % 7) * 23) % 256,
    );
    const picture = sharp(data, { raw: { width, height, channels } }).withMetadata({ orientation: 1 + (k % 8) });
    const file =
      kind === "jpeg"
        ? picture.jpeg({
            progressive: k % 2 === 1,
            quality: 40 + 10 * (k % 5),
            chromaSubsampling: k % 4 < 2 ? "4:2:0" : "4:4:4",
          })
        : picture.webp({ lossless: k % 2 === 1, quality: 60 });
    out.push(new Uint8Array(await file.toBuffer()));
  }
  return out;
}

/** Segments of a JPEG (marker and length), or chunks of a WebP, taken out, doubled, exchanged. */
function pieces(rng: Rng, file: Uint8Array, cuts: readonly number[]): Uint8Array {
  const parts = cuts.map((from, i) => file.subarray(from, cuts[i + 1] ?? file.length));
  const [a, b] = [1 + rng.int(parts.length - 1), 1 + rng.int(parts.length - 1)];
  const kind = rng.int(3);
  if (kind === 0) parts.splice(a, 1);
  else if (kind === 1) parts.splice(b, 0, parts[a]);
  else parts[a] = mutate.bytes(rng, parts[a], parts[b]);
  return new Uint8Array(Buffer.concat(parts));
}

function cutsOf(kind: "jpeg" | "webp", file: Uint8Array): number[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const cuts = [0];
  if (kind === "jpeg")
    for (let at = 2; at + 4 < file.length && file[at] === 0xff; at += 2 + view.getUint16(at + 2)) cuts.push(at);
  else
    for (
      let at = 12;
      at + 8 <= file.length;
      at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) % 2)
    )
      cuts.push(at);
  return cuts;
}

/** No second reader is at hand: the size must be the one that the file says, and a file that is cut off is refused. */
const packed = (kind: "jpeg" | "webp") => async (): Promise<Target> => {
  const seeds = await encoded(kind);
  return {
    make(rng) {
      const seed = rng.pick(seeds);
      const changed = rng.chance(0.5)
        ? pieces(rng, seed, cutsOf(kind, seed))
        : mutate.bytes(rng, seed, rng.pick(seeds));
      return one(changed);
    },
    async read({ file }) {
      const { width, height, channels, data } = await decodeImage(file, `a.${kind}`);
      if (data.length !== width * height * channels)
        return `${data.length} bytes for ${width} x ${height} x ${channels}`;
      if (kind === "webp" && new DataView(file.buffer, file.byteOffset).getUint32(4, true) + 8 > file.length)
        return "it is cut off, and was read";
      if (kind === "jpeg" && !file.some((byte, i) => byte === 0xff && file[i + 1] === 0xd9))
        return "it has no end, and was read";
      return undefined;
    },
  };
};

export const pictures = { png, jpeg: packed("jpeg"), webp: packed("webp") };
