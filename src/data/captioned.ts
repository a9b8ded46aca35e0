// Pictures with captions: name.txt beside name.png, a metadata.jsonl as Hugging Face's imagefolder has it, or WebDataset tars
// with .txt or .json. Pictures may have any size; they are read one after the other.
import { brief, counted, listed } from "../core/show.ts";
import { isImageName, isOtherImageName, MAX_IMAGE_BYTES } from "./images.ts";
import { parseJson } from "./json.ts";
import { type FileSource, isVisible } from "./source.ts";
import { forSplit, isPartName, splitOf } from "./split.ts";
import { readTar } from "./tar.ts";

export interface CaptionedPicture {
  /** The file, and inside which tar. */
  readonly name: string;
  /** As it is stored. */
  readonly bytes: Uint8Array;
  readonly caption: string;
}

export interface CaptionedPictures {
  readonly name: string;
  /** All of them, in an order that depends on names alone; every call reads them again. */
  read(): AsyncGenerator<CaptionedPicture>;
  /** What was left out, in sentences. */
  readonly notes: readonly string[];
}

/** Longer texts are no captions. */
const largestCaption = 1 << 16;
const largestMetadata = 1 << 28;
const METADATA = "metadata.jsonl";

/**
 * The training part of a folder, or all of it where it has no parts; tars where there are such. Throws an Error for a folder
 * without pictures, and `read` one for a picture without a caption or with two.
 */
export async function openCaptioned(source: FileSource): Promise<CaptionedPictures> {
  const all = (await source.list()).filter(isVisible).sort();
  const place = brief(source.name);
  const tars = all.filter((name) => /\.tar$/i.test(name));
  const chosen = trainingPart(tars.length > 0 ? tars : all);
  const foreign = all.filter(isOtherImageName);
  if (foreign.length > 0)
    throw new Error(
      `${place} has ${counted(foreign.length, "picture")} of a kind that is not read (${listed(foreign, 3)}), expected PNG, JPEG or WebP. Convert or remove them.`,
    );
  const images = tars.length > 0 ? [] : chosen.filter(isImageName);
  if (tars.length === 0 && images.length === 0)
    throw new Error(
      `${place} has no PNG, JPEG or WebP files, expected pictures with captions: name.txt beside name.png, ${METADATA}, or .tar files.`,
    );
  const left = all.filter((name) => isImageName(name) && !chosen.includes(name));
  const notes = left.length > 0 ? [`${place}: ${counted(left.length, "picture")} left out: ${listed(left)}.`] : [];
  if (tars.length > 0) return { name: source.name, read: () => inTars(source, chosen), notes };
  const captions = await captionsOf(source, images, new Set(all));
  async function* read(): AsyncGenerator<CaptionedPicture> {
    for (const name of images)
      yield { name, bytes: await source.read(name, MAX_IMAGE_BYTES), caption: await captions(name) };
  }
  return { name: source.name, read, notes };
}

/** Of names in folders or shards that say so the training ones; else all. */
function trainingPart(names: readonly string[]): readonly string[] {
  const tops = [...new Set(names.flatMap((name) => (name.includes("/") ? [name.slice(0, name.indexOf("/"))] : [])))];
  const inParts = tops.length > 0 && tops.every(isPartName) && names.some((name) => splitOf(name) === "train");
  const shards = names.every((name) => /\.tar$/i.test(name)) && names.some((name) => splitOf(name) === "train");
  return inParts || shards ? forSplit(names, "train") : names;
}

const stem = (name: string): string => name.slice(0, name.lastIndexOf("."));
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).trim();

/** The caption of a picture, from its own file or the metadata of its folder. */
async function captionsOf(
  source: FileSource,
  images: readonly string[],
  files: ReadonlySet<string>,
): Promise<(name: string) => Promise<string>> {
  const listed_ = new Map<string, string>();
  for (const file of files)
    if (file === METADATA || file.endsWith(`/${METADATA}`))
      for (const [name, caption] of metadata(
        new TextDecoder().decode(await source.read(file, largestMetadata)),
        `${source.name}/${file}`,
      )) {
        const full = `${file.slice(0, -METADATA.length)}${name}`;
        if (!files.has(full))
          throw new Error(`${brief(source.name)}/${file} names "${brief(name)}", which is not there.`);
        listed_.set(full, caption);
      }
  const textOf = (name: string) => (files.has(`${stem(name)}.txt`) ? `${stem(name)}.txt` : undefined);
  const lacking = images.filter((name) => !listed_.has(name) && !textOf(name));
  if (lacking.length > 0)
    throw new Error(
      `${brief(source.name)} has ${counted(lacking.length, "picture")} without a caption (${listed(lacking, 3)}), expected ${brief(stem(lacking[0]))}.txt or a line in ${METADATA}. An empty file is a picture without words.`,
    );
  return async (name) => {
    const text = textOf(name);
    const known = listed_.get(name);
    if (text === undefined) return known ?? "";
    const caption = decode(await source.read(text, largestCaption));
    if (known !== undefined && known !== caption)
      throw new Error(`${brief(name)} has two captions, in ${METADATA} and in ${brief(text)}. Remove one of them.`);
    return caption;
  };
}

/** Lines {"file_name": …, "text": …}; the caption is "text", "caption" or "prompt", or the only other text. */
function* metadata(text: string, file: string): Generator<[name: string, caption: string]> {
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const where = `${brief(file)}, line ${i + 1}`;
    const value = parseJson(line, where);
    if (typeof value !== "object" || value === null || !("file_name" in value) || typeof value.file_name !== "string")
      throw new Error(`${where} has no "file_name", expected {"file_name": "0001.png", "text": "a caption"}.`);
    yield [value.file_name, captionIn(value, ["file_name"], where)];
  }
}

const CAPTION_KEYS = ["text", "caption", "prompt", "txt"];

function captionIn(value: object, besides: readonly string[], where: string): string {
  const texts = Object.entries(value).filter(([key, v]) => typeof v === "string" && !besides.includes(key));
  const found =
    CAPTION_KEYS.flatMap((key) => texts.filter(([name]) => name === key))[0] ??
    (texts.length === 1 ? texts[0] : undefined);
  if (!found)
    throw new Error(
      `${where} has no caption: it has ${listed(Object.keys(value)) || "nothing"}, expected "text", "caption" or "prompt".`,
    );
  return String(found[1]).trim();
}

async function* inTars(source: FileSource, tars: readonly string[]): AsyncGenerator<CaptionedPicture> {
  for (const tar of tars) {
    // The files of a sample follow each other; one sample is held at a time.
    let sample: { key: string; image?: { name: string; bytes: Uint8Array }; caption?: string } | undefined;
    const finish = (): CaptionedPicture | undefined => {
      if (!sample?.image) return undefined;
      const name = `${tar}: ${sample.image.name}`;
      if (sample.caption === undefined)
        throw new Error(`${brief(name)} has no caption, expected a .txt or .json beside it.`);
      return { name, bytes: sample.image.bytes, caption: sample.caption };
    };
    const wanted = (name: string) => isVisible(name) && (isImageName(name) || /\.(txt|json)$/i.test(name));
    const pieces = source.stream ? source.stream(tar) : whole(source, tar);
    for await (const { name, bytes, archive } of readTar(pieces, tar, wanted, MAX_IMAGE_BYTES)) {
      const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
      const key = `${archive} ${name.slice(0, dot)}`;
      if (sample?.key !== key) {
        const done = finish();
        if (done) yield done;
        sample = { key };
      }
      const where = `${brief(tar)}: ${brief(name)}`;
      if (isImageName(name)) {
        if (sample.image) throw new Error(`${where} is a second picture of its sample, expected one.`);
        sample.image = { name, bytes };
        continue;
      }
      if (bytes.length > largestCaption) throw new Error(`${where} has ${bytes.length} bytes, too many for a caption.`);
      const json = /\.json$/i.test(name) ? parseJson(bytes, where) : undefined;
      const caption =
        json === undefined ? decode(bytes) : captionIn(Object(json) as object, ["key", "url", "__key__"], where);
      if (sample.caption !== undefined && sample.caption !== caption)
        throw new Error(`${where} is a second caption of its sample, and another. Remove one of them.`);
      sample.caption = caption;
    }
    const done = finish();
    if (done) yield done;
  }
}

async function* whole(source: FileSource, name: string): AsyncGenerator<Uint8Array> {
  yield await source.read(name);
}
