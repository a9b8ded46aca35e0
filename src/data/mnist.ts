// A folder of MNIST-style files: <split>-images-idx3-ubyte[.gz] and, for classes, <split>-labels-idx1-ubyte[.gz].

import { brief, listed } from "../core/show.ts";
import { type Dataset, imageDataset } from "./dataset.ts";
import { readIdxImages, readIdxLabels } from "./idx.ts";
import { type FileSource, isVisible } from "./source.ts";
import { forSplit, type Split, splitOf } from "./split.ts";

/** "train-images-idx3-ubyte.gz", "train-images.idx3-ubyte", "qmnist-train-labels-idx2-int": prefix and what it holds. */
const idxFile = /^(.*?)[-._]?(images|labels)[-._]idx\d(?:[-._][a-z0-9]+)?$/i;

const isGz = (name: string) => /\.gz$/i.test(name);
const plainName = (name: string) => name.replace(/\.gz$/i, "");

export const isIdxName = (name: string): boolean => isVisible(name) && idxFile.test(plainName(name));

export interface IdxOptions {
  readonly split?: Split;
  readonly shape?: readonly [number, number, number];
}

/**
 * The classes of a test part are those of the training part beside it. Throws an Error that names the file where one is
 * missing, damaged, of a kind that is not read, or does not fit the other.
 */
export async function openIdx(source: FileSource, { split = "train", shape }: IdxOptions = {}): Promise<Dataset> {
  const place = brief(source.name);
  const files = (await source.list()).filter(isVisible);
  const prefixes = [...new Set(files.filter((name) => holds(name, "images")).map(prefixOf))].sort();
  const { prefix, leftOut } = choose(prefixes, split, place);
  const imagesName = only(files, prefix, "images", place);
  const labelsName = only(files, prefix, "labels", place);
  if (!imagesName) throw new Error(`${place} has no file ${brief(prefix)}-images-idx3-ubyte[.gz].`);
  const { count, height, width, pixels } = await readIdxImages(await source.read(imagesName), imagesName);
  if (shape && (shape[0] !== 1 || shape[1] !== height || shape[2] !== width)) {
    throw new Error(
      `${brief(imagesName)} has images of 1 x ${height} x ${width}, expected ${shape.join(" x ")} like the model (channels, height, width).`,
    );
  }
  const labels = labelsName && (await readIdxLabels(await source.read(labelsName), labelsName));
  if (labels && labels.length !== count) {
    throw new Error(
      `${brief(labelsName)} has ${labels.length} labels, expected ${count} as ${brief(imagesName)} has images.`,
    );
  }
  const notes = leftOut.length > 0 ? [`${place}: left out ${listed(leftOut)}, whose names say no part.`] : [];
  if (!labels) notes.push(withoutLabels(files, prefix, place));
  const classes =
    labels && split === "test" ? await trainingClasses(source, files, prefixes, prefix, place) : undefined;
  return imageDataset({
    name: source.name,
    pixels,
    shape: [1, height, width],
    labels: labels || undefined,
    classes: classes || undefined,
    notes,
  });
}

const holds = (name: string, what: string) => plainName(name).match(idxFile)?.[2].toLowerCase() === what;
const prefixOf = (name: string) => plainName(name).match(idxFile)?.[1] ?? "";

/** The file of a prefix with its images or labels, plain rather than packed. Throws an Error where there are two. */
function only(files: readonly string[], prefix: string, what: string, place: string): string | undefined {
  const all = files.filter((name) => holds(name, what) && prefixOf(name) === prefix);
  const names = all.filter((name) => !isGz(name) || !all.includes(plainName(name)));
  if (names.length > 1) throw new Error(`${place} has ${listed(names)}, expected one file with the ${what}.`);
  return names[0];
}

function choose(prefixes: readonly string[], split: Split, place: string) {
  const unnamed = prefixes.filter((prefix) => splitOf(prefix) === undefined);
  const fitting = forSplit(prefixes, split);
  const candidates = fitting.length > 0 ? fitting : unnamed;
  if (candidates.length === 1) return { prefix: candidates[0], leftOut: fitting.length > 0 ? unnamed : [] };
  const found = prefixes.length > 0 ? listed(prefixes) : "none with images";
  throw new Error(`${place} has the IDX files ${found}, expected one pair for the ${split} part (train-… or t10k-…).`);
}

/** Says that there are no labels. Throws an Error where a file looks as if it held them. */
function withoutLabels(files: readonly string[], prefix: string, place: string): string {
  const base = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  const expected = `${brief(prefix, 60)}-labels-idx1-ubyte[.gz]`;
  // Images whose name says no part are the only ones that were found.
  const isOwn = (name: string) => splitOf(prefix) === undefined || [splitOf(prefix), undefined].includes(splitOf(name));
  const meant = files.find(
    (name) => name.startsWith(base) && /label|target|class/i.test(name.slice(base.length)) && isOwn(name),
  );
  if (meant)
    throw new Error(`${place} has ${brief(meant, 60)}, which is not read, expected the labels as ${expected}.`);
  return `${place} has no ${expected}, so its images have no classes.`;
}

/** How many classes the labels of the training part have, if there is one beside the test part. */
async function trainingClasses(
  source: FileSource,
  files: readonly string[],
  prefixes: readonly string[],
  prefix: string,
  place: string,
): Promise<number | undefined> {
  const [training] = forSplit(prefixes, "train");
  if (training === undefined || splitOf(prefix) !== "test") return undefined;
  const name = only(files, training, "labels", place);
  if (name === undefined) return undefined;
  return (await readIdxLabels(await source.read(name), name)).reduce((max, label) => Math.max(max, label + 1), 0);
}
