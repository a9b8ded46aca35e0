// Which model a folder holds, as the worker takes it.
import type { Card } from "fewstep/browser";
import type { ModelFiles } from "../worker/protocol.ts";
import { type Folder, jsonOf, modelsIn } from "./folder.ts";

const inFolder = (folder: Folder, end: string): string | undefined =>
  [...folder.files.keys()].find((path) => path === end || path.endsWith(`/${end}`));

async function read(folder: Folder, path: string): Promise<Uint8Array> {
  const file = folder.files.get(path);
  if (!file) throw new Error(`${folder.name} has no file ${path}.`);
  return file();
}

/**
 * A model of fewstep, a diffusers folder with a UNet2DModel, or one with an ONNX network. Throws an Error, a sentence, for
 * a folder that holds none, and for one whose network a page does not sample.
 */
export async function modelFilesOf(folder: Folder): Promise<ModelFiles> {
  const [own] = modelsIn(folder);
  if (own) return { card: (await jsonOf(folder, own.card)) as Card, weights: await read(folder, own.weights) };
  const schedulerPath = inFolder(folder, "scheduler/scheduler_config.json");
  const unet = inFolder(folder, "unet/config.json");
  const onnx = [...folder.files.keys()].find((path) => /(^|\/)(unet|transformer)\/model\.onnx$/.test(path));
  if (inFolder(folder, "text_encoder/config.json"))
    throw new Error(
      `${folder.name} is a text-to-image model: its weights alone are some gigabytes, more than this page can hold. Use: fewstep generate ${folder.name} --prompt "…"`,
    );
  if (schedulerPath === undefined || (unet === undefined && onnx === undefined))
    throw new Error(
      `${folder.name} holds no model: expected card.json with model.safetensors, or a diffusers folder with scheduler/scheduler_config.json and unet/.`,
    );
  const scheduler = await jsonOf(folder, schedulerPath);
  const config = unet === undefined ? {} : await jsonOf(folder, unet);
  if (onnx !== undefined) {
    const part = onnx.split("/").at(-2) ?? "unet";
    return { kind: "onnx", name: folder.name, part, file: await read(folder, onnx), config, scheduler };
  }
  const weights = inFolder(folder, "unet/diffusion_pytorch_model.safetensors");
  if (weights === undefined)
    throw new Error(
      `${folder.name} has no unet/diffusion_pytorch_model.safetensors: other kinds of weights are not read here.`,
    );
  return { kind: "diffusers", name: folder.name, unet: config, scheduler, weights: await read(folder, weights) };
}
