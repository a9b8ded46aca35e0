// Pictures in, where no faster decoder is at hand: every PNG of the standard, with no more memory than its header promises.
import { Unzlib } from "fflate";
import { brief } from "../core/show.ts";
import { checkPixels, type Image, to8bit } from "./images.ts";
import { upright } from "./orient.ts";
import { type PngParts, passesOf, readPng, samplesOf, unpackedSize } from "./pngChunks.ts";

/**
 * Decodes a PNG to 8 bits (16 are rounded, fewer are spread over 0..255), upright. `most`: pixels above which it is refused.
 * Throws an Error naming `name` on anything else, and on animations.
 */
export async function decodePng(bytes: Uint8Array, name: string, most?: number): Promise<Image> {
  const file = brief(name);
  let parts: PngParts;
  try {
    parts = readPng(bytes);
  } catch (cause) {
    throw new Error(`${file} is no readable PNG: ${cause instanceof Error ? cause.message : "it is damaged"}.`, {
      cause,
    });
  }
  checkPixels(parts, file, most);
  if (parts.frames > 1) throw new Error(`${file} is an animation of ${parts.frames} pictures, expected a single one.`);
  try {
    return upright(pixelsOf(parts), parts.orientation);
  } catch (cause) {
    throw new Error(`${file} is no readable PNG: ${cause instanceof Error ? cause.message : "it is damaged"}.`, {
      cause,
    });
  }
}

function pixelsOf(parts: PngParts): Image {
  const { width, height, depth, color, palette, transparency } = parts;
  const samples = samplesOf[color];
  const raw = inflate(parts.data, unpackedSize(parts));
  const channels = (palette ? 3 : samples) + (transparency ? 1 : 0);
  const data = new Uint8Array(width * height * channels);
  const put = writer(parts, samples, data);
  let at = 0;
  for (const { x, y, stepX, stepY, w, h, line } of passesOf(parts)) {
    unfilter(raw, at, h, line, Math.max(1, (depth * samples) >> 3));
    for (let row = 0; row < h; row++, at += line + 1) {
      for (let column = 0; column < w; column++) {
        put(raw, at + 1, column, ((y + row * stepY) * width + x + column * stepX) * channels);
      }
    }
  }
  return { width, height, channels, data };
}

/** Writes one pixel: the one in `column` of the line at `start` of `raw`, to `to` of `data`. */
function writer({ depth, color, palette, transparency }: PngParts, samples: number, data: Uint8Array) {
  const sample = (raw: Uint8Array, start: number, index: number): number => {
    if (depth === 8) return raw[start + index];
    if (depth === 16) return (raw[start + 2 * index] << 8) | raw[start + 2 * index + 1];
    const bit = index * depth;
    return (raw[start + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
  };
  if (palette) {
    const colors = palette.length / 3;
    if (transparency && transparency.length > colors)
      throw new Error(`it has ${transparency.length} transparencies for ${colors} colors`);
    return (raw: Uint8Array, start: number, column: number, to: number) => {
      const index = sample(raw, start, column);
      if (index >= colors) throw new Error(`it has the color ${index} of a palette of ${colors}`);
      for (let c = 0; c < 3; c++) data[to + c] = palette[3 * index + c];
      if (transparency) data[to + 3] = transparency[index] ?? 255;
    };
  }
  if (transparency && (color > 2 || transparency.length !== 2 * samples))
    throw new Error(`it has a transparent color of ${transparency.length} bytes, which does not fit its color type`);
  // Of the 16 bits of a transparent color those count that the samples have.
  const bitsOf = (c: number, from: Uint8Array) => ((from[2 * c] << 8) | from[2 * c + 1]) & ((1 << depth) - 1);
  const clear = transparency && Array.from({ length: samples }, (_, c) => bitsOf(c, transparency));
  const scale = 255 / ((1 << depth) - 1);
  return (raw: Uint8Array, start: number, column: number, to: number) => {
    let hidden = clear !== undefined;
    for (let c = 0; c < samples; c++) {
      const value = sample(raw, start, column * samples + c);
      if (clear && value !== clear[c]) hidden = false;
      data[to + c] = depth === 16 ? to8bit(value) : value * scale;
    }
    if (clear) data[to + samples] = hidden ? 0 : 255;
  };
}

/** Undoes the filters of `lines` lines in place, each with its filter's number in front. */
function unfilter(raw: Uint8Array, from: number, lines: number, line: number, step: number): void {
  for (let row = 0, at = from; row < lines; row++, at += line + 1) {
    const filter = raw[at];
    if (filter > 4) throw new Error(`it has the filter ${filter}, expected 0 to 4`);
    if (filter === 0) continue;
    for (let i = 1; i <= line; i++) {
      const left = i > step ? raw[at + i - step] : 0;
      const up = row > 0 ? raw[at + i - line - 1] : 0;
      const corner = row > 0 && i > step ? raw[at + i - step - line - 1] : 0;
      raw[at + i] +=
        filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner);
    }
  }
}

function paeth(a: number, b: number, c: number): number {
  const p = a + b - c;
  const [pa, pb, pc] = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/** Bytes fed at a time: they unpack to at most about a thousand times as many. */
const mouthful = 4096;

function inflate(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const short = (held: string) => new Error(`its pixels unpack to ${held} bytes, expected ${size}`);
  const out = new Uint8Array(size);
  let at = 0;
  const unzip = new Unzlib((piece) => {
    if (at + piece.length > size) throw short(`more than ${size}`);
    out.set(piece, at);
    at += piece.length;
  });
  try {
    for (const piece of pieces)
      for (let i = 0; i < piece.length; i += mouthful) unzip.push(piece.subarray(i, i + mouthful));
    unzip.push(new Uint8Array(0), true);
  } catch (cause) {
    if (cause instanceof Error && cause.message.startsWith("its pixels")) throw cause;
    throw new Error("its compressed pixels are damaged", { cause });
  }
  if (at !== size) throw short(String(at));
  return out;
}
