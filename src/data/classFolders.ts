// A folder of class folders with PNG, JPEG or WebP files: cat/1.png, cat/2.png, dog/1.png. Without class folders: no classes.

import { brief, counted, listed } from "../core/show.ts";
import { type Dataset, imageDataset } from "./dataset.ts";
import { type Decode, isImageName, isOtherImageName, MAX_IMAGE_BYTES, type PackOptions, packImages } from "./images.ts";
import { type FileSource, isVisible } from "./source.ts";
import { forSplit, isPartName, type Split, splitNamed } from "./split.ts";

export interface ClassFolderOptions extends PackOptions {
  readonly split?: Split;
}

/**
 * Class numbers follow the sorted folder names (as numbers where all are numbers); those of a test part follow the folders of
 * the training part beside it. Throws an Error if there are no images, for a folder without any, for pictures of a kind
 * that is not read, and where folders may be classes or parts.
 */
export async function openClassFolders(
  source: FileSource,
  decode: Decode,
  { split = "train", shape }: ClassFolderOptions = {},
): Promise<Dataset> {
  const place = brief(source.name);
  const files = (await source.list()).filter(isVisible).sort();
  const { root, training } = choosePart(files, split, place);
  const inside = files.filter((name) => name.startsWith(root)).map((name) => name.slice(root.length));
  const images = inside.filter(isImageName);
  if (images.length === 0) {
    const part = root === "" ? "" : ` for the ${split} part`;
    throw new Error(`${place} has no PNG, JPEG or WebP files${part}, expected a folder of class folders with images.`);
  }
  const foreign = inside.filter(isOtherImageName);
  if (foreign.length > 0) {
    throw new Error(
      `${place} has ${counted(foreign.length, "picture")} of a kind that is not read (${listed(foreign, 3)}), expected PNG, JPEG or WebP. Convert or remove them.`,
    );
  }
  const loose = images.find((name) => !name.includes("/"));
  const labeled = images.some((name) => name.includes("/"));
  if (loose && labeled) {
    throw new Error(`${place} has "${brief(loose)}" beside class folders, expected every image inside a class folder.`);
  }
  const labelNames = labeled ? classNames(inside, images, foldersOf(training), place) : undefined;
  const position = new Map(labelNames?.map((name, i) => [name, i]));
  const labels = labelNames && images.map((name) => position.get(topOf(name)) ?? -1);
  async function* items() {
    for (const name of images) yield { name: root + name, bytes: await source.read(root + name, MAX_IMAGE_BYTES) };
  }
  const packed = await packImages(items(), decode, { shape });
  const rest = inside.filter((name) => !isImageName(name) && !name.endsWith("/") && !isIncidental(name));
  const notes = rest.length > 0 ? [`${place}: ${counted(rest.length, "file")} left out: ${listed(rest)}.`] : [];
  return imageDataset({ name: source.name, ...packed, labels, classes: labelNames?.length, labelNames, notes });
}

/** The folder of the wanted part with its slash, and the files of the training part without it. */
function choosePart(files: readonly string[], split: Split, place: string): { root: string; training: string[] } {
  const folders = foldersOf(files);
  const parts = folders.filter((top) => splitNamed(top) !== undefined);
  const within = (top: string) =>
    files.filter((name) => name.startsWith(`${top}/`)).map((name) => name.slice(top.length + 1));
  const areParts =
    folders.every(isPartName) || parts.length > 1 || parts.some((top) => foldersOf(within(top)).length > 0);
  if (parts.length === 0 || !areParts) {
    checkNested(files, place);
    return { root: "", training: [] };
  }
  const rest = folders.filter((top) => splitNamed(top) === undefined);
  if (rest.length > 0) {
    throw new Error(
      `${place} has the folders ${listed(parts)} (parts of a dataset) beside ${listed(rest)}. Expected parts or classes; move one of them away.`,
    );
  }
  const single = (wanted: Split): string | undefined => {
    const tops = forSplit(parts, wanted);
    if (tops.length > 1) throw new Error(`${place} has ${listed(tops)}, expected one folder for the ${wanted} part.`);
    return tops[0];
  };
  const top = single(split);
  if (top === undefined) {
    throw new Error(`${place} has no PNG, JPEG or WebP files for the ${split} part: its folders are ${listed(parts)}.`);
  }
  const loose = files.find((name) => !name.includes("/") && isImageName(name));
  if (loose)
    throw new Error(`${place} has "${brief(loose)}" beside ${listed(parts)}, expected every image inside a part.`);
  checkNested(within(top), `${place}/${top}`);
  const train = single("train");
  return { root: `${top}/`, training: train === undefined ? [] : within(train) };
}

/** Refuses parts inside class folders, and a single folder around class folders: the classes would be lost. */
function checkNested(files: readonly string[], place: string): void {
  const images = files.filter(isImageName);
  const deeper = images.map((name) => name.split("/").slice(1, -1));
  const found = new Set(deeper.flat().filter((word) => splitNamed(word) !== undefined));
  if (new Set([...found].map(splitNamed)).size > 1) {
    throw new Error(
      `${place} has folders ${listed([...found].sort())} inside other folders, expected parts around class folders. Give the folder that holds them.`,
    );
  }
  const tops = foldersOf(files);
  const below = deeper.flatMap((folders) => folders.slice(0, 1));
  if (tops.length === 1 && below.length === images.length && new Set(below).size > 1) {
    const top = brief(tops[0], 40);
    throw new Error(
      `${place} has the single folder ${top} around the folders ${listed([...new Set(below)].sort())}, expected class folders. Give ${top} itself.`,
    );
  }
}

/** Class folders in order of their numbers. Throws an Error for one without images, or one that the training part lacks. */
function classNames(
  inside: readonly string[],
  images: readonly string[],
  training: readonly string[],
  place: string,
): readonly string[] {
  const own = foldersOf(inside);
  const withImages = new Set(images.map(topOf));
  const empty = own.find((name) => !withImages.has(name) && !(training.includes(name) && isEmpty(inside, name)));
  if (empty !== undefined) {
    const held = inside.filter((name) => name.startsWith(`${empty}/`) && !name.endsWith("/"));
    throw new Error(
      `${place} has the class folder "${brief(empty)}" without PNG, JPEG or WebP files (it holds ${held.length > 0 ? listed(held) : "nothing"}). Fill or remove it.`,
    );
  }
  if (training.length === 0) return sortNames(own);
  const known = new Set(training);
  const unknown = own.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new Error(
      `${place} has the class folder "${brief(unknown)}" that its training part lacks; that has ${listed(sortNames(training))}.`,
    );
  }
  return sortNames(training);
}

const isEmpty = (inside: readonly string[], folder: string) =>
  !inside.some((name) => name.startsWith(`${folder}/`) && !name.endsWith("/"));
const topOf = (name: string) => name.slice(0, name.indexOf("/"));
const foldersOf = (names: readonly string[]): string[] => [...new Set(names.filter((n) => n.includes("/")).map(topOf))];
const isIncidental = (name: string) => /(^|\/)(thumbs\.db|desktop\.ini|readme[^/]*|license[^/]*)$/i.test(name);

/** Sorted by number where every name is one, else by code unit. */
export function sortNames(names: Iterable<string>): string[] {
  const list = [...names];
  return list.every((name) => /^\d{1,15}$/.test(name))
    ? list.sort((a, b) => Number(a) - Number(b) || (a < b ? -1 : 1))
    : list.sort();
}
