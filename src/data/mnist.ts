// A folder of MNIST-style files: <split>-images-idx3-ubyte[.gz] and, for classes, <split>-labels-idx1-ubyte[.gz].
import { type Dataset, imageDataset } from "./dataset.ts";
import { readIdxImages, readIdxLabels } from "./idx.ts";
import type { FileSource } from "./source.ts";
import { type Split, splitOf } from "./split.ts";

const imagesFile = /^(.*)-images-idx3-ubyte(\.gz)?$/;

export const isIdxName = (name: string): boolean => imagesFile.test(name);

export interface IdxOptions {
  readonly split?: Split;
  readonly shape?: readonly [number, number, number];
}

/** Throws an Error that names the file where one is missing, damaged, or does not fit the other. */
export async function openIdx(source: FileSource, { split = "train", shape }: IdxOptions = {}): Promise<Dataset> {
  const files = await source.list();
  const prefixes = [...new Set(files.flatMap((name) => name.match(imagesFile)?.[1] ?? []))];
  const prefix = choose(prefixes, split, source.name);
  const imagesName = plainFirst(files, `${prefix}-images-idx3-ubyte`);
  const labelsName = plainFirst(files, `${prefix}-labels-idx1-ubyte`);
  if (!imagesName) throw new Error(`${source.name} has no file ${prefix}-images-idx3-ubyte[.gz].`);
  const { count, height, width, pixels } = await readIdxImages(await source.read(imagesName), imagesName);
  if (shape && (shape[0] !== 1 || shape[1] !== height || shape[2] !== width)) {
    throw new Error(
      `${imagesName} has images of 1 x ${height} x ${width}, expected ${shape.join(" x ")} like the model (channels, height, width).`,
    );
  }
  const labels = labelsName && (await readIdxLabels(await source.read(labelsName), labelsName));
  if (labels && labels.length !== count) {
    throw new Error(`${labelsName} has ${labels.length} labels, expected ${count} as ${imagesName} has images.`);
  }
  return imageDataset({ name: source.name, pixels, shape: [1, height, width], labels: labels || undefined });
}

function choose(prefixes: readonly string[], split: Split, name: string): string {
  const fitting = prefixes.filter((prefix) => splitOf(prefix) === split);
  const candidates = fitting.length > 0 ? fitting : prefixes.filter((prefix) => splitOf(prefix) === undefined);
  if (candidates.length === 1) return candidates[0];
  const found = prefixes.length > 0 ? prefixes.join(", ") : "none";
  throw new Error(`${name} has the IDX files ${found}, expected one pair for the ${split} part (train-… or t10k-…).`);
}

const plainFirst = (files: readonly string[], name: string) =>
  files.includes(name) ? name : files.find((file) => file === `${name}.gz`);
