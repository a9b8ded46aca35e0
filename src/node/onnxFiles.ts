// ONNX files of a model folder: reading one with the files it names, writing one beside the weights it points to.
import { readFile, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import type { ExternalData } from "../onnx/index.ts";
import { externalFiles } from "../onnx/index.ts";
import { writeAtomic } from "./atomic.ts";
import { openSafetensors } from "./files.ts";

export const ONNX_FILE = "model.onnx";

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (info) => info.isFile(),
    () => false,
  );

/**
 * A model and the files beside it that hold its large arrays, all but those in `spared`. Throws an Error for a file
 * that is missing, and for a name that leads out of the folder.
 */
export async function readOnnx(
  path: string,
  spared: readonly string[] = [],
): Promise<{ file: Uint8Array; externalData: ExternalData }> {
  const file = await readFile(path).catch(() => {
    throw new Error(`${path} does not exist.`);
  });
  const externalData = new Map<string, Uint8Array>();
  for (const location of namesIn(path, file)) {
    if (spared.includes(location)) continue;
    if (isAbsolute(location) || normalize(location).startsWith(".."))
      throw new Error(`${path} keeps arrays in "${location}", which is outside its folder.`);
    const beside = join(dirname(path), location);
    // What is missing is named with everything else that is, by the import.
    if (await isFile(beside)) externalData.set(location, await readFile(beside));
  }
  return { file, externalData };
}

function namesIn(path: string, file: Uint8Array): Iterable<string> {
  try {
    return externalFiles(file).keys();
  } catch (cause) {
    throw new Error(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** Writes the model so that it reads its weights where they lie in `weights`, a safetensors file of the same folder. */
export async function writeOnnx(
  path: string,
  weights: string,
  file: (places: ReadonlyMap<string, number>) => Uint8Array,
): Promise<void> {
  const { entries, close } = await openSafetensors(weights);
  await close();
  await writeAtomic(path, file(new Map([...entries].map(([name, { start }]) => [name, start]))));
}
