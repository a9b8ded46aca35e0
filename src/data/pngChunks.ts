// The chunks of a PNG, checked: sizes, order and sums. https://www.w3.org/TR/png-3/#5DataRep

import { show } from "../core/show.ts";
import { crc32 } from "./crc.ts";
import { MAX_PIXELS } from "./images.ts";
import { exifOrientation } from "./orient.ts";

export interface PngParts {
  readonly width: number;
  readonly height: number;
  /** Bits per sample: 1, 2, 4, 8 or 16. */
  readonly depth: number;
  /** 0 grey, 2 color, 3 palette, 4 grey + alpha, 6 color + alpha. */
  readonly color: number;
  readonly interlaced: boolean;
  /** [n, 3] */
  readonly palette?: Uint8Array;
  readonly transparency?: Uint8Array;
  /** EXIF's, 1 to 8. */
  readonly orientation: number;
  /** Pictures of an animation; 1 for a plain PNG. */
  readonly frames: number;
  /** The pieces of the compressed pixels. */
  readonly data: readonly Uint8Array[];
}

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const depths: Readonly<Record<number, readonly number[]>> = {
  0: [1, 2, 4, 8, 16],
  2: [8, 16],
  3: [1, 2, 4, 8],
  4: [8, 16],
  6: [8, 16],
};

export const isPng = (bytes: Uint8Array): boolean => signature.every((byte, i) => bytes[i] === byte);

/** Throws an Error that says, without the file's name, what is wrong. Pixels are not unpacked. */
export function readPng(bytes: Uint8Array): PngParts {
  if (!isPng(bytes)) throw new Error("it does not start like one");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let head: Head | undefined;
  let palette: Uint8Array | undefined;
  let transparency: Uint8Array | undefined;
  let orientation = 1;
  let frames = 1;
  const data: Uint8Array[] = [];
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) throw new Error(`it is cut off at byte ${bytes.length}`);
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (!/^[A-Za-z]{4}$/.test(type)) throw new Error(`it has no chunk at byte ${at}`);
    if (length > bytes.length - at - 12) throw new Error(`its chunk ${type} is cut off at byte ${bytes.length}`);
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
      throw new Error(`its chunk ${type} at byte ${at} is damaged (its sum is wrong)`);
    }
    at += 12 + length;
    if (!head) {
      if (type !== "IHDR") throw new Error(`it starts with the chunk ${type}, expected IHDR`);
      head = readHead(body);
    } else if (type === "PLTE") {
      if (length === 0 || length % 3 !== 0 || length > 768)
        throw new Error(`its palette has ${length} bytes, expected 3 for each of 1 to 256 colors`);
      palette = body;
      // For a palette it may say nothing, and then all colors are solid.
    } else if (type === "tRNS") transparency = head.color === 3 && length === 0 ? undefined : body;
    else if (type === "IDAT") data.push(body);
    else if (type === "eXIf") orientation = exifOrientation(body);
    else if (type === "acTL" && length >= 4) frames = new DataView(body.buffer, body.byteOffset).getUint32(0);
    else if (type === "IEND") break;
    // The first letter in upper case: a picture cannot be shown without it.
    else if (/^[A-Z]/.test(type))
      throw new Error(`it has ${type === "IHDR" ? "two chunks IHDR" : `the unknown chunk ${type}`}`);
  }
  if (data.length === 0) throw new Error("it has no pixels (no chunk IDAT)");
  if (head.color === 3 && !palette) throw new Error("it has no palette, which its color type needs");
  checkPacked(head, data);
  return { ...head, palette: head.color === 3 ? palette : undefined, transparency, orientation, frames, data };
}

type Head = Pick<PngParts, "width" | "height" | "depth" | "color" | "interlaced">;

/** Starts and steps of the seven passes of an interlaced picture. https://www.w3.org/TR/png-3/#8Interlace */
const adam7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

export const samplesOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** The lines that pixels are stored in: w pixels each in `line` bytes, h of them, behind a byte for the filter. */
export function passesOf({ width, height, depth, color, interlaced }: Head) {
  const bits = depth * samplesOf[color];
  return (interlaced ? adam7 : [[0, 0, 1, 1] as const])
    .map(([x, y, stepX, stepY]) => {
      const [w, h] = [Math.ceil((width - x) / stepX), Math.ceil((height - y) / stepY)];
      return { x, y, stepX, stepY, w, h, line: Math.ceil((w * bits) / 8) };
    })
    .filter(({ w, h }) => w > 0 && h > 0);
}

/** Bytes of all lines. */
export const unpackedSize = (head: Head): number =>
  passesOf(head).reduce((sum, { h, line }) => sum + h * (line + 1), 0);

/** A byte of deflate holds at most about 1032 bytes: a decoder that believes the header spends seconds on nothing. */
function checkPacked(head: Head, data: readonly Uint8Array[]): void {
  // Those are refused by their size.
  if (head.width * head.height > MAX_PIXELS) return;
  const packed = data.reduce((sum, piece) => sum + piece.length, 0);
  if (unpackedSize(head) > 1040 * packed + 1024)
    throw new Error(`its pixels unpack to at most ${1032 * packed} bytes, expected ${unpackedSize(head)}`);
}

function readHead(body: Uint8Array) {
  if (body.length !== 13) throw new Error(`its chunk IHDR has ${body.length} bytes, expected 13`);
  const view = new DataView(body.buffer, body.byteOffset, 13);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, color, compression, filter, interlace] = body.subarray(8);
  if (width === 0 || height === 0) throw new Error(`it is ${width} x ${height} pixels`);
  if (!depths[color]?.includes(depth)) throw new Error(`it has the color type ${color} with ${show(depth)} bits`);
  if (compression !== 0 || filter !== 0 || interlace > 1)
    throw new Error(
      `it has compression ${compression}, filter ${filter} and interlace ${interlace}, which are not known`,
    );
  return { width, height, depth, color, interlaced: interlace === 1 };
}
