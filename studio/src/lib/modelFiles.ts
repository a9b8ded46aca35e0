// Which files of a folder make a model, as the worker takes them.
import type { ModelFiles, ModelParts } from "../worker/protocol.ts";
import type { Folder } from "./folder.ts";

/** Of fewstep (also in a run), and of diffusers: the worker says what is wrong with them. */
const wanted =
  /(^|\/)(card\.json|model\.safetensors|model\.onnx|scheduler\/scheduler_config\.json|(unet|transformer)\/(config\.json|diffusion_pytorch_model\.safetensors|model\.onnx(_data)?))$/;

/**
 * Reads them. Throws an Error, a sentence, for a text-to-image model, whose files are too many to be read here.
 */
export async function modelFilesOf({ name, files }: Folder): Promise<ModelFiles> {
  if ([...files.keys()].some((path) => /(^|\/)text_encoder\//.test(path)))
    throw new Error(
      `${name} is a text-to-image model: its weights alone are some gigabytes, more than this page can hold. Use: fewstep generate ${name} --prompt "…"`,
    );
  const found = [...files].filter(([path]) => wanted.test(path));
  const read = await Promise.all(found.map(async ([path, file]) => [path, await file()] as const));
  return { name, files: Object.fromEntries(read) };
}

export const filesOf = ({ card, weights }: ModelParts, name: string): ModelFiles => ({
  name,
  files: { "card.json": new TextEncoder().encode(JSON.stringify(card)), "model.safetensors": weights },
});
