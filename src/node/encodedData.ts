// Pictures with captions as latents and text states: encoded once, kept by content, and read from disk while training.
import { join } from "node:path";
import { brief, counted } from "../core/show.ts";
import { type CaptionedPicture, type CaptionedPictures, openCaptioned } from "../data/captioned.ts";
import type { Dataset } from "../data/dataset.ts";
import { type Image as Decoded, toPlanes } from "../data/images.ts";
import { toLatents } from "../diffusers/latents.ts";
import { factorOf, type PipelineParts } from "../diffusers/pipelineParts.ts";
import { resizeBicubic } from "../diffusers/resize.ts";
import type { Sessions } from "../diffusers/sessions.ts";
import { textConditions } from "../diffusers/textConditions.ts";
import { sha256 } from "../hash.ts";
import { fold, key, normal } from "../random.ts";
import { type Context, checkInterrupt } from "./context.ts";
import { decodeImage } from "./decode.ts";
import { type EncodedStore, encodedStore, type ItemShapes } from "./encodedStore.ts";
import { folderSource, tarSource } from "./folderSource.ts";

export interface Encoders {
  readonly parts: PipelineParts;
  readonly sessions: Sessions;
  /** Hashes of the weights and settings that latents, and text states, depend on. */
  readonly identity: { readonly vae: string; readonly text: string };
  /** Of latents [C, h, w]. */
  readonly sampleShape: readonly number[];
}

export interface EncodeOptions {
  readonly path: string;
  /** Pixels of the pictures' sides: the shorter one is brought to it, and the middle cut out. */
  readonly resolution: number;
  readonly cache: string;
}

const hashOf = (bytes: Uint8Array): Promise<string> => sha256(bytes);
const textHash = (text: string): Promise<string> => sha256(new TextEncoder().encode(text));
const again = "What was encoded so far is kept and used when the run goes on.";

/**
 * A dataset of latents [C, h, w] in the scaled space, each drawn once from its posterior, with its text's states, for SDXL also
 * its pooled text and sizes. Throws an Error for data without pictures or captions, and one naming a picture that
 * cannot be read or encoded.
 */
export async function encodedData(encoders: Encoders, o: EncodeOptions, context: Context): Promise<Dataset> {
  const data = await openCaptioned(/\.tar$/i.test(o.path) ? tarSource(o.path, true) : folderSource(o.path));
  const { parts, identity, sampleShape } = encoders;
  const empty = await textItem(encoders, "");
  const textShapes: ItemShapes = {
    text: empty.context.shape.slice(1),
    ...(empty.pooled ? { pooled: empty.pooled.shape.slice(1) } : {}),
  };
  const pictureKey = (await textHash(`${identity.vae} ${o.resolution}`)).slice(0, 32);
  const pictures = await encodedStore(join(o.cache, "latents", pictureKey), { x: sampleShape, timeIds: [6] }, context);
  const texts = await encodedStore(join(o.cache, "texts", identity.text.slice(0, 32)), textShapes, context);
  const items = await listItems(data, pictures, texts, context);
  await encodeMissing(data, items, { pictures, texts, encoders, resolution: o.resolution }, context);
  const captions = items.map(({ caption }) => caption);
  const cut = await tooLong(encoders, new Set(captions));
  const two = parts.text.length === 2;
  const [c, h, w] = sampleShape;
  return {
    name: o.path,
    size: items.length,
    shape: [c, h, w],
    classes: 0,
    captions,
    notes: [
      ...data.notes,
      ...(cut > 0
        ? [
            `${counted(cut, "caption")} of ${brief(o.path)} had more tokens than the text encoder reads: their ends were cut off.`,
          ]
        : []),
    ],
    identity: await textHash([pictureKey, identity.text, ...items.map((i) => `${i.picture} ${i.text}`)].join("\n")),
    batch(indices) {
      const rows = (store: EncodedStore, of: "picture" | "text", column: string) =>
        joined(Array.from(indices, (i) => store.read(items[i][of], column)));
      return {
        x: rows(pictures, "picture", "x"),
        labels: new BigInt64Array(indices.length),
        cond: {
          text: rows(texts, "text", "text"),
          ...(two ? { pooled: rows(texts, "text", "pooled"), timeIds: rows(pictures, "picture", "timeIds") } : {}),
        },
      };
    },
  };
}

interface ItemKeys {
  readonly caption: string;
  /** Hashes of the file of the picture, and of the caption. */
  readonly picture: string;
  readonly text: string;
}

/** All samples by what they hold; the same picture twice is two samples that are encoded once. */
async function listItems(
  data: CaptionedPictures,
  pictures: EncodedStore,
  texts: EncodedStore,
  context: Context,
): Promise<readonly ItemKeys[]> {
  const items: ItemKeys[] = [];
  for await (const { bytes, caption } of data.read()) {
    checkInterrupt(context, again);
    items.push({ caption, picture: await hashOf(bytes), text: await textHash(caption) });
  }
  if (items.length === 0) throw new Error(`${brief(data.name)} has no pictures with captions.`);
  const known = items.filter(({ picture, text }) => pictures.has(picture) && texts.has(text)).length;
  if (known > 0)
    context.report.note(`${known.toLocaleString("en-US")} of ${counted(items.length, "picture")} are encoded already.`);
  return items;
}

interface Encoding {
  readonly pictures: EncodedStore;
  readonly texts: EncodedStore;
  readonly encoders: Encoders;
  readonly resolution: number;
}

async function encodeMissing(data: CaptionedPictures, items: readonly ItemKeys[], e: Encoding, context: Context) {
  const lacking = items.filter((i) => !e.pictures.has(i.picture) || !e.texts.has(i.text));
  const missing = new Set(lacking.map(({ picture, text }) => `${picture} ${text}`)).size;
  if (missing === 0) return;
  const line = context.report.progress("encode");
  let [i, done] = [0, 0];
  try {
    for await (const one of data.read()) {
      const item = items[i++];
      const [newPicture, newText] = [!e.pictures.has(item.picture), !e.texts.has(item.text)];
      if (!newPicture && !newText) continue;
      checkInterrupt(context, again);
      if ((await hashOf(one.bytes)) !== item.picture)
        throw new Error(`${brief(one.name)} changed while it was read. Start again when the data are complete.`);
      if (newPicture)
        await e.pictures.add(item.picture, await pictureItem(e.encoders, one, item.picture, e.resolution));
      if (newText) {
        const { context: states, pooled } = await textItem(e.encoders, one.caption);
        await e.texts.add(item.text, { text: states.data, ...(pooled ? { pooled: pooled.data } : {}) });
      }
      line.update({ done: Math.min(missing, ++done), total: missing, unit: "pictures" });
      context.report.event({ kind: "encoded", done, total: missing });
    }
  } finally {
    line.end();
    await e.pictures.flush();
    await e.texts.flush();
    await e.encoders.sessions.end("vae.encode");
    await e.encoders.sessions.end("text");
  }
}

const textItem = ({ parts, sessions }: Encoders, caption: string) => textConditions(sessions, parts, [caption], {});

/** Captions of which the end is not read. */
async function tooLong({ parts }: Encoders, captions: ReadonlySet<string>): Promise<number> {
  const [{ tokenizer }] = parts.text;
  return [...captions].filter((caption) => tokenizer.encode(caption).length > tokenizer.length - 2).length;
}

/** The latents of a picture, and the sizes that SDXL is told: original, crop (top, left), target. */
async function pictureItem(
  { parts, sessions, sampleShape }: Encoders,
  { name, bytes }: CaptionedPicture,
  hash: string,
  resolution: number,
) {
  const { values, timeIds } = cutOut(colored(await decodeImage(bytes, name), name), resolution);
  // The noise of the posterior is the picture's own, whatever stands around it.
  const noise = (count: number) => normal(fold(key(0), "posterior", hash), count);
  const { data, shape } = await toLatents(
    sessions,
    parts.vae,
    { shape: [1, 3, resolution, resolution], data: values },
    noise,
  );
  if (shape.slice(1).join() !== sampleShape.join())
    throw new Error(`The VAE makes latents of ${shape.slice(1).join(" x ")}, expected ${sampleShape.join(" x ")}.`);
  const broken = data.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0)
    throw new Error(`The VAE made ${data[broken]} of ${brief(name)}. Its weights may be made for another precision.`);
  return { x: data, timeIds };
}

/** Three channels; grey pictures have the same in all. Throws an Error for transparency, which has no color. */
function colored({ width, height, channels, data }: Decoded, name: string): Decoded {
  const out = new Uint8Array(width * height * 3);
  const alpha = channels % 2 === 0;
  for (let i = 0; i < width * height; i++) {
    if (alpha && data[i * channels + channels - 1] !== 255)
      throw new Error(`${brief(name)} has transparent pixels, expected an opaque image. Flatten it onto a background.`);
    for (let c = 0; c < 3; c++) out[3 * i + c] = data[i * channels + (channels < 3 ? 0 : c)];
  }
  return { width, height, channels: 3, data: out };
}

/** [3, side, side] in [-1, 1]: the shorter side is brought to `side`, and the middle of the longer one kept. */
function cutOut(image: Decoded, side: number): { values: Float32Array; timeIds: Float32Array } {
  const { width, height } = image;
  const scale = side / Math.min(width, height);
  const [w, h] = [Math.max(side, Math.round(width * scale)), Math.max(side, Math.round(height * scale))];
  const planes = Float32Array.from(toPlanes(image));
  const { data } = resizeBicubic({ shape: [1, 3, height, width], data: planes }, h, w);
  const [top, left] = [Math.floor((h - side) / 2), Math.floor((w - side) / 2)];
  const values = new Float32Array(3 * side * side);
  for (let c = 0; c < 3; c++)
    for (let y = 0; y < side; y++)
      for (let x = 0; x < side; x++)
        values[(c * side + y) * side + x] = data[(c * h + top + y) * w + left + x] / 127.5 - 1;
  return { values, timeIds: Float32Array.of(height, width, top, left, side, side) };
}

function joined(rows: readonly Float32Array[]): Float32Array {
  const size = rows[0]?.length ?? 0;
  const out = new Float32Array(rows.length * size);
  rows.forEach((row, i) => {
    out.set(row, i * size);
  });
  return out;
}

/** The side of pictures whose latents have this shape. Throws a RangeError for latents that are not square. */
export function resolutionOf(parts: PipelineParts, [, height, width]: readonly number[]): number {
  if (height !== width)
    throw new RangeError(
      `Latents of ${height} x ${width} are not square: give --resolution, the side of square pictures.`,
    );
  return height * factorOf(parts.vae);
}
