// WebDataset: tars whose files belong together by name: 0001.jpg and 0001.cls (or 0001.txt). Shards follow in order of name.
// https://github.com/webdataset/webdataset

import { brief, counted, listed, show } from "../core/show.ts";
import { sortNames } from "./classFolders.ts";
import { type Dataset, imageDataset, MAX_CLASSES } from "./dataset.ts";
import { type Decode, isImageName, isOtherImageName, MAX_IMAGE_BYTES, type PackOptions, packImages } from "./images.ts";
import { type FileSource, isVisible } from "./source.ts";
import { readTar } from "./tar.ts";

const isTextName = (name: string) => /\.(cls|txt)$/i.test(name);
/** Longer texts are no captions. */
const largestText = 1 << 16;
/** Names of classes are shorter. */
const longestName = 200;

interface Texts {
  cls?: string;
  txt?: string;
}

export interface WebDatasetOptions extends PackOptions {
  /** Tars of the training part where these are of another: their classes are numbered like its. */
  readonly training?: readonly string[];
  readonly notes?: readonly string[];
}

/**
 * The samples of all tars of `source`. Classes come from `.cls` (a number, or the name of a class), else from `.txt` where
 * every text is a number; other texts become captions. Throws an Error for a sample that lacks its image or, while others
 * have one, its text; for two images or texts under one key; and for labels that are no classes.
 */
export async function openWebDataset(
  source: FileSource,
  decode: Decode,
  { training = [], notes = [], ...options }: WebDatasetOptions = {},
): Promise<Dataset> {
  const tars = (await source.list()).filter((name) => /\.tar$/i.test(name)).sort();
  if (tars.length === 0) throw new Error(`${brief(source.name)} has no .tar files.`);
  const keys: string[] = [];
  const images = new Set<string>();
  const texts = new Map<string, Texts>();
  const leftOut: string[] = [];
  async function* pictures() {
    for (const tar of tars) {
      for await (const { name, bytes, archive } of readTar(
        piecesOf(source, tar),
        tar,
        isWanted(leftOut),
        MAX_IMAGE_BYTES,
      )) {
        const key = keyOf(tar, archive, name);
        if (isOtherImageName(name)) {
          throw new Error(
            `${key} is a picture of a kind that is not read (${brief(name, 60)}), expected PNG, JPEG or WebP.`,
          );
        }
        if (isImageName(name)) {
          if (images.has(key)) throw new Error(`${key} has two images, expected one per sample.`);
          images.add(key);
          keys.push(key);
          yield { name: `${tar}: ${name}`, bytes };
        } else addText(texts, key, name, bytes);
      }
    }
  }
  const packed = await packImages(pictures(), decode, { name: source.name, ...options });
  const alone = [...texts].find(([key, { cls }]) => cls !== undefined && !images.has(key));
  if (alone) throw new Error(`${alone[0]} has a .cls but no PNG, JPEG or WebP beside it.`);
  const captionsAlone = [...texts.keys()].filter((key) => !images.has(key));
  const rest = [...leftOut, ...captionsAlone.map((key) => `${key}.txt`)];
  const said =
    rest.length > 0 ? [`${brief(source.name)}: ${counted(rest.length, "file")} left out: ${listed(rest, 3)}.`] : [];
  const known = training.length > 0 && texts.size > 0 ? await trainingClasses(source, training) : undefined;
  return imageDataset({ name: source.name, ...packed, ...labelsOf(keys, texts, known), notes: [...notes, ...said] });
}

const keyOf = (tar: string, archive: number, name: string) => {
  const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
  return `${brief(tar, 80)}${archive > 0 ? `#${archive + 1}` : ""}: ${brief(name.slice(0, dot))}`;
};

function addText(texts: Map<string, Texts>, key: string, name: string, bytes: Uint8Array): void {
  const kind = /\.cls$/i.test(name) ? "cls" : "txt";
  const found = texts.get(key) ?? {};
  if (found[kind] !== undefined) throw new Error(`${key} has two .${kind}, expected one per sample.`);
  const most = kind === "cls" ? longestName : largestText;
  if (bytes.length > most) throw new Error(`${key} has a .${kind} of ${bytes.length} bytes, expected at most ${most}.`);
  texts.set(key, { ...found, [kind]: new TextDecoder().decode(bytes).trim() });
}

interface Classes {
  readonly labels: readonly number[];
  readonly labelNames?: readonly string[];
  readonly classes: number;
}

function labelsOf(keys: readonly string[], texts: ReadonlyMap<string, Texts>, known?: Classes) {
  const cls = column(keys, texts, "cls");
  const txt = column(keys, texts, "txt");
  const captions = txt && !txt.every(isClassNumber) ? txt : undefined;
  const values = cls ?? (captions ? undefined : txt);
  if (!values) return { captions };
  return { captions, ...numbered(keys, values, known) };
}

/** Classes by number, or by the place of their names in order: that of all, or in `known`, the classes of the training part. */
function numbered(keys: readonly string[], values: readonly string[], known?: Classes): Classes {
  const numbers = values.filter(isNumber);
  if (numbers.length === values.length) {
    const wrong = values.findIndex((value) => !isClassNumber(value));
    if (wrong >= 0) {
      throw new Error(`${keys[wrong]} has the label ${show(values[wrong])}, expected a whole number from 0 to 65535.`);
    }
    if (known?.labelNames)
      throw new Error(`${keys[0]} has a number as label, expected a name as in the training part.`);
    const labels = values.map(Number);
    const largest = labels.reduce((a, b) => Math.max(a, b), 0);
    const above = known ? labels.findIndex((label) => label >= known.classes) : -1;
    if (known && above >= 0) {
      throw new Error(
        `${keys[above]} has the label ${labels[above]}, expected 0 to ${known.classes - 1} as in the training part.`,
      );
    }
    return { labels, classes: known?.classes ?? largest + 1 };
  }
  const odd = values.findIndex((value) => isNumber(value) || !isClassName(value));
  if (odd >= 0) {
    const other = values.find((value) => !isNumber(value) && isClassName(value));
    throw new Error(
      `${keys[odd]} has the label ${show(values[odd])}, expected the name of a class${other === undefined ? "" : ` like ${show(other)}`}.`,
    );
  }
  if (known && !known.labelNames)
    throw new Error(`${keys[0]} has a name as label, expected a number as in the training part.`);
  const labelNames = known?.labelNames ?? sortNames(new Set(values));
  const position = new Map(labelNames.map((name, i) => [name, i]));
  const labels = values.map((value, i) => {
    const label = position.get(value);
    if (label === undefined) {
      throw new Error(
        `${keys[i]} has the label ${show(value)}, which the training part lacks (${listed(labelNames)}).`,
      );
    }
    return label;
  });
  return { labelNames, classes: labelNames.length, labels };
}

/** The classes of other tars, of which only the texts are read; undefined if they have none. */
async function trainingClasses(source: FileSource, tars: readonly string[]): Promise<Classes | undefined> {
  const texts = new Map<string, Texts>();
  for (const tar of tars) {
    for await (const { name, bytes, archive } of readTar(
      piecesOf(source, tar),
      tar,
      (n) => isVisibleMember(n) && isTextName(n),
    ))
      addText(texts, keyOf(tar, archive, name), name, bytes);
  }
  const cls = [...texts].flatMap(([key, text]) => (text.cls === undefined ? [] : [[key, text.cls] as const]));
  const txt = [...texts].flatMap(([key, text]) => (text.txt === undefined ? [] : [[key, text.txt] as const]));
  const found = cls.length > 0 || !txt.every(([, value]) => isClassNumber(value)) ? cls : txt;
  if (found.length === 0) return undefined;
  return numbered(
    found.map(([key]) => key),
    found.map(([, value]) => value),
  );
}

/** The texts of one kind, one per sample, or undefined if no sample has one. Throws an Error if only some have. */
function column(keys: readonly string[], texts: ReadonlyMap<string, Texts>, kind: keyof Texts): string[] | undefined {
  const values = keys.map((key) => texts.get(key)?.[kind]);
  const missing = values.indexOf(undefined);
  if (missing < 0) return values as string[];
  if (values.every((value) => value === undefined)) return undefined;
  throw new Error(`${keys[missing]} has no .${kind} beside its image, while other samples have one.`);
}

const isNumber = (value: string) =>
  /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(value) || /^[-+]?(nan|inf(inity)?)$/i.test(value);
const isClassNumber = (value: string) => /^\d{1,5}$/.test(value) && Number(value) < MAX_CLASSES;
const isClassName = (value: string) => value !== "" && !/[\p{Cc}\ufffd]/u.test(value);
const isVisibleMember = (name: string) => isVisible(name.replace(/^(\.\/)+/, ""));

/** Picks pictures and texts, and notes what else there is. */
const isWanted = (leftOut: string[]) => (name: string) => {
  if (!isVisibleMember(name) || name.endsWith("/")) return false;
  if (isImageName(name) || isOtherImageName(name) || isTextName(name)) return true;
  leftOut.push(name);
  return false;
};

async function* piecesOf(source: FileSource, name: string): AsyncGenerator<Uint8Array> {
  if (source.stream) yield* source.stream(name);
  else yield await source.read(name);
}
