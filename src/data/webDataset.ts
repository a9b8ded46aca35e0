// WebDataset: tars whose files belong together by name: 0001.jpg and 0001.cls (or 0001.txt). Shards follow in order of name.
// https://github.com/webdataset/webdataset
import { sortNames } from "./classFolders.ts";
import { type Dataset, imageDataset } from "./dataset.ts";
import { type Decode, isImageName, type PackOptions, packImages } from "./images.ts";
import type { FileSource } from "./source.ts";
import { readTar } from "./tar.ts";

const isTextName = (name: string) => /\.(cls|txt)$/i.test(name);

interface Texts {
  cls?: string;
  txt?: string;
}

/**
 * The samples of all tars of `source`. Classes come from `.cls` (a number, or the name of a class), else from `.txt` where
 * every text is a number; other texts become captions.
 */
export async function openWebDataset(source: FileSource, decode: Decode, options: PackOptions = {}): Promise<Dataset> {
  const tars = (await source.list()).filter((name) => /\.tar$/i.test(name)).sort();
  if (tars.length === 0) throw new Error(`${source.name} has no .tar files.`);
  const keys: string[] = [];
  const texts = new Map<string, Texts>();
  async function* images() {
    for (const tar of tars) {
      for await (const { name, bytes } of readTar(piecesOf(source, tar), tar, isSampleFile)) {
        const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
        const key = `${tar}: ${name.slice(0, dot)}`;
        if (isImageName(name)) {
          if (keys.at(-1) === key) throw new Error(`${key} has two images, expected one per sample.`);
          keys.push(key);
          yield { name: `${tar}: ${name}`, bytes };
        } else {
          const kind = /\.cls$/i.test(name) ? "cls" : "txt";
          texts.set(key, { ...texts.get(key), [kind]: new TextDecoder().decode(bytes).trim() });
        }
      }
    }
  }
  const packed = await packImages(images(), decode, { name: source.name, ...options });
  return imageDataset({ name: source.name, ...packed, ...labelsOf(keys, texts) });
}

function labelsOf(keys: readonly string[], texts: ReadonlyMap<string, Texts>) {
  const cls = column(keys, texts, "cls");
  const txt = column(keys, texts, "txt");
  const numbers = (values: readonly string[]) => values.every((value) => /^\d+$/.test(value));
  const captions = txt && !numbers(txt) ? txt : undefined;
  const values = cls ?? (captions ? undefined : txt);
  if (!values) return { captions };
  if (numbers(values)) return { captions, labels: values.map(Number) };
  const labelNames = sortNames(new Set(values));
  const position = new Map(labelNames.map((name, i) => [name, i]));
  return { captions, labelNames, classes: labelNames.length, labels: values.map((value) => position.get(value) ?? 0) };
}

/** The texts of one kind, one per sample, or undefined if no sample has one. Throws an Error if only some have. */
function column(keys: readonly string[], texts: ReadonlyMap<string, Texts>, kind: keyof Texts): string[] | undefined {
  const values = keys.map((key) => texts.get(key)?.[kind]);
  const missing = values.indexOf(undefined);
  if (missing < 0) return values as string[];
  if (values.every((value) => value === undefined)) return undefined;
  throw new Error(`${keys[missing]} has no .${kind} beside its image, while other samples have one.`);
}

const isSampleFile = (name: string) =>
  !/(^|\/)\./.test(name.replace(/^\.\//, "")) && (isImageName(name) || isTextName(name));

async function* piecesOf(source: FileSource, name: string): AsyncGenerator<Uint8Array> {
  if (source.stream) yield* source.stream(name);
  else yield await source.read(name);
}
