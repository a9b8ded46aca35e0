// A folder of class folders with PNG, JPEG or WebP files: cat/1.png, cat/2.png, dog/1.png. Without class folders: no classes.
import { type Dataset, imageDataset } from "./dataset.ts";
import { type Decode, isImageName, type PackOptions, packImages } from "./images.ts";
import type { FileSource } from "./source.ts";
import { chooseSplit, type Split } from "./split.ts";

export interface ClassFolderOptions extends PackOptions {
  readonly split?: Split;
}

/** Class numbers follow the sorted folder names (as numbers where all are numbers). Throws an Error if there are no images. */
export async function openClassFolders(
  source: FileSource,
  decode: Decode,
  { split = "train", shape }: ClassFolderOptions = {},
): Promise<Dataset> {
  const found = (await source.list()).filter((name) => isImageName(name) && !/(^|\/)\./.test(name));
  const { names, root } = chooseSplit(found.sort(), split);
  if (names.length === 0) {
    throw new Error(`${source.name} has no PNG, JPEG or WebP files, expected a folder of class folders with images.`);
  }
  const classOf = (name: string) => name.slice(root.length).match(/^([^/]+)\//)?.[1];
  const loose = names.find((name) => classOf(name) === undefined);
  const labeled = names.some((name) => classOf(name) !== undefined);
  if (loose && labeled) {
    throw new Error(`${source.name} has "${loose}" beside class folders, expected every image inside a class folder.`);
  }
  const labelNames = labeled ? sortNames(new Set(names.map((name) => classOf(name) ?? ""))) : undefined;
  const labels = labelNames && names.map((name) => labelNames.indexOf(classOf(name) ?? ""));
  async function* items() {
    for (const name of names) yield { name, bytes: await source.read(name) };
  }
  const packed = await packImages(items(), decode, { shape });
  return imageDataset({ name: source.name, ...packed, labels, classes: labelNames?.length, labelNames });
}

/** Sorted by number where every name is one, else by code unit. */
export function sortNames(names: Iterable<string>): string[] {
  const list = [...names];
  return list.every((name) => /^\d+$/.test(name)) ? list.sort((a, b) => Number(a) - Number(b)) : list.sort();
}
