// From what `--data` names to a dataset: files are recognized by their names.
import { key } from "../random.ts";
import { openClassFolders } from "./classFolders.ts";
import type { Dataset } from "./dataset.ts";
import { type Decode, isImageName } from "./images.ts";
import { isIdxName, openIdx } from "./mnist.ts";
import type { FileSource } from "./source.ts";
import { type Split, splitOf } from "./split.ts";
import { isToyName, toyDataset, toyNames } from "./toy2d.ts";
import { openWebDataset } from "./webDataset.ts";

export interface OpenOptions {
  /** Which part, where the files say so in their names. Default "train". */
  readonly split?: Split;
  /** The [C, H, W] a model needs; other images are refused. */
  readonly shape?: readonly [number, number, number];
}

/** Opens a folder: of IDX files, else of tars, else of class folders with images. */
export async function openFiles(source: FileSource, decode: Decode, options: OpenOptions = {}): Promise<Dataset> {
  const { split = "train", shape } = options;
  const names = await source.list();
  if (names.some(isIdxName)) return openIdx(source, { split, shape });
  const tars = names.filter((name) => /\.tar$/i.test(name));
  if (tars.length > 0) {
    const parts = tars.filter((name) => splitOf(name) === split);
    const chosen = parts.length > 0 ? parts : tars.filter((name) => splitOf(name) === undefined);
    if (chosen.length === 0) throw new Error(`${source.name} has no tars for the ${split} part: ${tars.join(", ")}.`);
    return openWebDataset({ ...source, list: async () => chosen }, decode, { shape });
  }
  if (names.some(isImageName)) return openClassFolders(source, decode, { split, shape });
  throw new Error(
    `${source.name} holds no data: expected *-images-idx3-ubyte[.gz] files, class folders with PNG, JPEG or WebP files, or .tar files.`,
  );
}

const toyPath = /^toy:([^@]*)(?:@(.*))?$/;

export const isToyPath = (path: string): boolean => path.startsWith("toy:");

/** Opens "toy:<name>" (65,536 points) or "toy:<name>@<points>". The two parts are different points. */
export function openToy(path: string, { split = "train", shape }: OpenOptions = {}): Dataset {
  const [, name = "", points = "65536"] = path.match(toyPath) ?? [];
  if (!isToyName(name)) throw new Error(`There is no toy data "${name}", expected one of ${toyNames.join(", ")}.`);
  const size = Number(points);
  if (!Number.isInteger(size) || size < 1) {
    throw new Error(`"${path}" asks for "${points}" points, expected a whole number from 1 after the @.`);
  }
  if (shape && shape.join() !== "2,1,1") {
    throw new Error(`${path} has points of the shape 2 x 1 x 1, expected ${shape.join(" x ")} like the model.`);
  }
  return toyDataset(name, key(split === "train" ? 0 : 1), size);
}
