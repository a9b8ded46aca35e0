// Text in a PNG: what a picture was made with. https://www.w3.org/TR/png-3/#11textinfo
import { crc32 } from "./crc.ts";
import { isPng } from "./pngChunks.ts";

export interface PngText {
  /** 1 to 79 characters of Latin-1. */
  readonly keyword: string;
  readonly text: string;
}

const isLatin1 = (text: string): boolean => !/[^\n\x20-\x7e\xa0-\xff]/.test(text);
const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));

/** The picture with these texts behind what it holds: tEXt where Latin-1 is enough, else iTXt (UTF-8). */
export function withText(png: Uint8Array, texts: readonly PngText[]): Uint8Array {
  const chunks = texts.map(({ keyword, text }) =>
    isLatin1(text)
      ? chunk("tEXt", [latin1(`${keyword}\0${text}`)])
      : chunk("iTXt", [latin1(`${keyword}\0\0\0\0\0`), new TextEncoder().encode(text)]),
  );
  const end = firstData(png);
  const out = new Uint8Array(png.length + chunks.reduce((sum, { length }) => sum + length, 0));
  out.set(png.subarray(0, end));
  let at = end;
  for (const one of chunks) {
    out.set(one, at);
    at += one.length;
  }
  out.set(png.subarray(end), at);
  return out;
}

/** The texts of a PNG, compressed ones left out. Throws an Error for what is none. */
export function textOf(png: Uint8Array): PngText[] {
  const found: PngText[] = [];
  for (const { type, body } of chunksOf(png)) {
    const zero = body.indexOf(0);
    if (zero < 1) continue;
    const keyword = fromLatin1(body.subarray(0, zero));
    if (type === "tEXt") found.push({ keyword, text: fromLatin1(body.subarray(zero + 1)) });
    if (type !== "iTXt" || body[zero + 1] !== 0) continue;
    // A language and a translated keyword come before the text.
    const translated = body.indexOf(0, zero + 3);
    const begin = body.indexOf(0, translated + 1) + 1;
    if (translated > 0 && begin > 0) found.push({ keyword, text: new TextDecoder().decode(body.subarray(begin)) });
  }
  return found;
}

const fromLatin1 = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

function* chunksOf(png: Uint8Array): Generator<{ type: string; body: Uint8Array; from: number }> {
  if (!isPng(png)) throw new Error("The bytes are no PNG.");
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  for (let at = 8; at + 12 <= png.length; ) {
    const length = view.getUint32(at);
    if (length > png.length - at - 12) return;
    yield { type: fromLatin1(png.subarray(at + 4, at + 8)), body: png.subarray(at + 8, at + 8 + length), from: at };
    at += 12 + length;
  }
}

function firstData(png: Uint8Array): number {
  for (const { type, from } of chunksOf(png)) if (type === "IDAT") return from;
  throw new Error("The PNG has no pixels.");
}

function chunk(type: string, pieces: readonly Uint8Array[]): Uint8Array {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const out = new Uint8Array(12 + length);
  const view = new DataView(out.buffer);
  view.setUint32(0, length);
  out.set(latin1(type), 4);
  let at = 8;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  view.setUint32(at, crc32(out.subarray(4, at)));
  return out;
}
