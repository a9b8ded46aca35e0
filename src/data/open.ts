// From what `--data` names to a dataset: files are recognized by their names.

import { brief, counted, listed } from "../core/show.ts";
import { key } from "../random.ts";
import { openClassFolders } from "./classFolders.ts";
import type { Dataset } from "./dataset.ts";
import { type Decode, isImageName, isOtherImageName } from "./images.ts";
import { isIdxName, openIdx } from "./mnist.ts";
import { type FileSource, isVisible } from "./source.ts";
import { forSplit, type Split, splitOf } from "./split.ts";
import { isToyName, toyDataset, toyNames } from "./toy2d.ts";
import { openWebDataset } from "./webDataset.ts";

export interface OpenOptions {
  /** Which part, where the files say so in their names. Default "train". */
  readonly split?: Split;
  /** The [C, H, W] a model needs; other images are refused. */
  readonly shape?: readonly [number, number, number];
}

/** Opens a folder: of IDX files, else of tars, else of class folders with images. What lies beside them becomes a note. */
export async function openFiles(source: FileSource, decode: Decode, options: OpenOptions = {}): Promise<Dataset> {
  const { split = "train", shape } = options;
  const place = brief(source.name);
  const names = (await source.list()).filter(isVisible);
  const images = names.filter((name) => isImageName(name) || isOtherImageName(name));
  const tars = names.filter((name) => /\.tar$/i.test(name));
  const besides = (...others: (readonly string[])[]) => {
    const all = others.flat();
    return all.length > 0 ? [`${place}: ${counted(all.length, "file")} left out: ${listed(all)}.`] : [];
  };
  if (names.some(isIdxName)) {
    const data = await openIdx(source, { split, shape });
    return { ...data, notes: [...(data.notes ?? []), ...besides(tars, images)] };
  }
  if (tars.length > 0) {
    const unnamed = tars.filter((name) => splitOf(name) === undefined);
    const parts = forSplit(tars, split);
    const chosen = parts.length > 0 ? parts : unnamed;
    if (chosen.length === 0) throw new Error(`${place} has no tars for the ${split} part: ${listed(tars)}.`);
    const training = split === "test" && parts.length > 0 ? forSplit(tars, "train") : [];
    const notes = besides(parts.length > 0 ? unnamed : [], images);
    return openWebDataset({ ...source, list: async () => chosen }, decode, { shape, training, notes });
  }
  if (names.some(isImageName)) return openClassFolders(source, decode, { split, shape });
  const held = names.length > 0 ? ` It holds ${listed(names)}.` : "";
  throw new Error(
    `${place} holds no data: expected *-images-idx3-ubyte[.gz] files, class folders with PNG, JPEG or WebP files, or .tar files.${held}`,
  );
}

const mostPoints = 1 << 24;
const toyPath = /^toy:([^@+]*)(\+classes)?(?:@(.*))?$/;

export const isToyPath = (path: string): boolean => path.startsWith("toy:");

/**
 * Opens "toy:<name>" (65,536 points) or "toy:<name>@<points>"; "toy:<name>+classes" where the points have classes. The two
 * parts are different points.
 */
export function openToy(path: string, { split = "train", shape }: OpenOptions = {}): Dataset {
  const [, name = path.slice(4), labeled, points = "65536"] = path.match(toyPath) ?? [];
  if (!isToyName(name))
    throw new Error(`There is no toy data "${brief(name, 60)}", expected one of ${toyNames.join(", ")}.`);
  const size = Number(points);
  if (!Number.isInteger(size) || size < 1 || size > mostPoints) {
    throw new Error(
      `"${brief(path)}" asks for "${brief(points, 60)}" points, expected a whole number from 1 to ${mostPoints} after the @.`,
    );
  }
  if (shape && shape.join() !== "2,1,1") {
    throw new Error(`${brief(path)} has points of the shape 2 x 1 x 1, expected ${shape.join(" x ")} like the model.`);
  }
  return toyDataset(name, key(split === "train" ? 0 : 1), size, { classes: labeled !== undefined });
}
