// Which file of a diffusers folder holds the network, and what to do where none does.
import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { chooseWeights, weightsAmong } from "../diffusers/weights.ts";
import { readJson } from "./files.ts";
import { ONNX_FILE } from "./onnxFiles.ts";

/** The folders inside a diffusers folder that may hold the network. */
const parts = ["unet", "transformer"] as const;
type Part = (typeof parts)[number];

const UNET_WEIGHTS = "diffusion_pytorch_model.safetensors";
/** Of a folder, from there. */
export const SCHEDULER_FILE = "scheduler/scheduler_config.json";

export type NetworkFile =
  | { readonly kind: "safetensors"; readonly part: "unet"; readonly file: string }
  | { readonly kind: "onnx"; readonly part: Part; readonly file: string };

/** Whether a folder is meant as one of diffusers: it has a scheduler, or a configuration or weights of whatever name. */
export async function isDiffusers(folder: string): Promise<boolean> {
  if ((await onnxIn(folder)).length > 0 || (await hasScheduler(folder)) || (await isPart(folder))) return true;
  for (const part of parts) if ((await namesIn(join(folder, part))).some(isMeant)) return true;
  return false;
}

/** Throws an Error that says what is there, what was expected, and what to do. */
export async function networkFile(folder: string): Promise<NetworkFile> {
  const [unet, transformer] = await Promise.all(parts.map((part) => namesIn(join(folder, part))));
  const shards = unet.some((name) => /-\d+-of-\d+\.safetensors$/.test(name));
  if ((weightsAmong(unet).length > 0 || shards) && !unet.includes(ONNX_FILE)) {
    const { file } = chooseWeights(`${folder}/unet`, unet);
    if (!unet.includes("config.json"))
      throw new Error(`${folder}/unet holds ${file}, but no config.json. Add the one that was saved with it.`);
    return { kind: "safetensors", part: "unet", file: join(folder, "unet", file) };
  }
  for (const [part, names] of [["unet", unet] as const, ["transformer", transformer] as const])
    if (names.includes(ONNX_FILE)) return { kind: "onnx", part, file: join(folder, part, ONNX_FILE) };
  if (unet.some(isMeant)) throw withoutNetwork(folder, "unet", unet);
  if (transformer.some(isMeant)) throw withoutNetwork(folder, "transformer", transformer);
  if (await isPart(folder))
    throw new Error(`${folder} is a part of a model, expected the folder that holds it and scheduler. Give that one.`);
  const outside = (await onnxIn(folder))[0];
  if (outside) throw new Error(`${folder} holds ${outside} itself, expected it as unet/${ONNX_FILE}. Move it there.`);
  throw withoutNetwork(folder, "unet", unet);
}

/** Throws an Error where it is missing or not JSON. */
export async function readSchedulerOf(folder: string): Promise<unknown> {
  if (await hasScheduler(folder)) return readJson(join(folder, SCHEDULER_FILE));
  throw new Error(
    `${folder} has no ${SCHEDULER_FILE}, which says how noise is added and what the network predicts. Add the one that the model was trained with.`,
  );
}

const hasScheduler = async (folder: string) =>
  (await namesIn(join(folder, "scheduler"))).includes("scheduler_config.json");
const isPart = async (folder: string) =>
  parts.some((part) => part === basename(resolve(folder))) && (await namesIn(folder)).some(isMeant);
const onnxIn = async (folder: string) => (await namesIn(folder)).filter((name) => name.endsWith(".onnx"));
const isMeant = (name: string): boolean =>
  name === "config.json" || /\.(onnx|onnx_data|onnx\.data|safetensors|bin)$/.test(name);

function withoutNetwork(folder: string, part: Part, names: readonly string[]): Error {
  const onnx = names.filter((name) => name.endsWith(".onnx"));
  const advice =
    onnx.length === 1
      ? ` Rename ${onnx[0]} to ${ONNX_FILE}.`
      : names.some((name) => name.endsWith(".bin"))
        ? " Convert the .bin file first."
        : part === "transformer" && names.some((name) => name.endsWith(".safetensors"))
          ? " Export the network as ONNX first (see docs/onnx-import.md)."
          : "";
  const shown = names.length > 6 ? [...names.slice(0, 5), `${names.length - 5} more`] : names;
  const what = names.length === 0 ? "no file" : andList(shown);
  const expected = part === "unet" ? `${UNET_WEIGHTS} or ${ONNX_FILE}` : ONNX_FILE;
  return new Error(`${folder}/${part} holds ${what}, expected ${expected}.${advice}`);
}

const andList = (items: readonly string[]): string =>
  items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`;

/** Names in a folder in order, those of folders with a slash behind; none where there is no such folder. */
async function namesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return [];
    throw error;
  });
  return entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
}
