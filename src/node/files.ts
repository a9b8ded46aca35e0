// Files on disk: sources for the readers of src/data, datasets by path, weights.
import { stat } from "node:fs/promises";
import { brief } from "../core/show.ts";
import type { Dataset } from "../data/dataset.ts";
import type { Decode, Image } from "../data/images.ts";
import { parseJson } from "../data/json.ts";
import { isToyPath, type OpenOptions, openFiles, openToy } from "../data/open.ts";
import {
  decodeTensor,
  type Safetensors,
  type StoredTensor,
  safetensorsChunks,
  type WritableTensors,
} from "../data/safetensors.ts";
import { headerLength, parseHeader, readableType, type SafetensorsHeader } from "../data/safetensorsHeader.ts";
import { openWebDataset } from "../data/webDataset.ts";
import { writeAtomic } from "./atomic.ts";
import { decodeImage } from "./decode.ts";
import { folderSource, tarSource } from "./folderSource.ts";
import { isGlob } from "./glob.ts";
import { inWords, openRegular, readBytes, readRegular } from "./regular.ts";

/**
 * Opens what `--data` names: a folder (IDX, class folders, tars), a tar, a pattern of tars, or "toy:<name>".
 * Throws an Error that says which file is wrong, what it holds and what was expected.
 */
export const openData = (path: string, options: OpenOptions = {}): Promise<Dataset> =>
  openDecoded(path, decodeImage, options);

export interface CountedData {
  readonly size: number;
  /** [C, H, W]; of encoded pictures the first one's, and no other was decoded. */
  readonly shape: readonly number[];
  readonly classes: number;
  readonly encoded: boolean;
  /** What was left out, in sentences. */
  readonly notes: readonly string[];
}

/** What `openData` would find, without decoding more than one picture. Throws as it does, but not for another size. */
export async function countData(path: string): Promise<CountedData> {
  let first: Promise<Image> | undefined;
  const pixel = { width: 1, height: 1, channels: 1, data: new Uint8Array(1) };
  const {
    size,
    shape,
    classes,
    notes = [],
  } = await openDecoded(path, async (bytes, name) => {
    first ??= decodeImage(bytes, name);
    await first;
    return pixel;
  });
  const image = await first;
  if (!image) return { size, shape, classes, encoded: false, notes };
  // An alpha channel is dropped in training.
  const channels = image.channels - (image.channels % 2 === 0 ? 1 : 0);
  return { size, shape: [channels, image.height, image.width], classes, encoded: true, notes };
}

async function openDecoded(path: string, decode: Decode, options: OpenOptions = {}): Promise<Dataset> {
  if (isToyPath(path)) return openToy(path, options);
  const { shape } = options;
  const info = await stat(path).catch((error: unknown) => {
    if (isGlob(path)) return undefined;
    return inWords(path)(error);
  });
  if (info?.isDirectory()) return openFiles(folderSource(path), decode, options);
  if (!/\.tar$/i.test(path)) {
    throw new Error(
      `${brief(path)} is not data: expected a folder, a .tar file, a pattern like "train-*.tar", or toy:<name>.`,
    );
  }
  return openWebDataset(tarSource(path, info !== undefined), decode, { shape });
}

/** Larger files are no configuration. */
const largestJson = 1 << 25;

/** Reads a JSON file, also with the infinities and NaN that Python writes. Throws an Error naming it where it is missing or not JSON. */
export async function readJson(path: string): Promise<unknown> {
  return parseJson(await readRegular(path, largestJson), path);
}

export const writeJson = (path: string, value: unknown): Promise<void> =>
  writeAtomic(path, `${JSON.stringify(value, null, 2)}\n`);

/** An open safetensors file, from which single tensors are read. */
export interface SafetensorsFile extends SafetensorsHeader {
  /** Throws an Error for a name the file does not have. */
  read(name: string): Promise<StoredTensor>;
  close(): Promise<void>;
}

/** Reads the header only; tensors come one by one, so a file may be larger than memory. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await openRegular(path);
  try {
    const { size } = await file.stat();
    const length = headerLength(await readBytes(file, 0, Math.min(8, size), path), size, path);
    const header = parseHeader(await readBytes(file, 8, length, path), size, path);
    return {
      ...header,
      async read(name) {
        const entry = header.entries.get(name);
        if (!entry) throw new Error(`${brief(path)} has no tensor "${brief(name)}".`);
        readableType(name, entry, path);
        return decodeTensor(await readBytes(file, entry.start, entry.end - entry.start, path), entry);
      },
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The tensors of a file, all or those that `wanted` picks by name. */
export async function readSafetensors(path: string, wanted?: (name: string) => boolean): Promise<Safetensors> {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const name of file.entries.keys()) {
      if (!wanted || wanted(name)) tensors.set(name, await file.read(name));
    }
    return { tensors, metadata: file.metadata };
  } finally {
    await file.close();
  }
}

export const writeSafetensors = (path: string, tensors: WritableTensors, metadata?: Record<string, string>) =>
  writeAtomic(path, safetensorsChunks(tensors, metadata));
