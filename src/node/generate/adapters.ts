// Networks beside the U-Net, from the folders and files that a user names.
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { indexFile } from "../../data/tensorIndex.ts";
import { clipPixels, readClipPreprocessing } from "../../diffusers/clipPixels.ts";
import { type PictureTokens, pictureTokens, withImagePrompt } from "../../diffusers/imagePrompt.ts";
import { named, outlinePart, type PartOutline } from "../../diffusers/pipelineOutline.ts";
import type { Part, PipelineParts } from "../../diffusers/pipelineParts.ts";
import { modernIndex, openWeights, readParams } from "../../diffusers/weights.ts";
import { readClipVisionConfig } from "../../nn/clipConfig.ts";
import { type ControlNetConfig, readControlNetConfig } from "../../nn/controlNetConfig.ts";
import { clipVisionParams, controlNetParams, t2iAdapterParams } from "../../nn/diffusersParams.ts";
import { readIpAdapter } from "../../nn/ipAdapter.ts";
import type { Params } from "../../nn/params.ts";
import { readT2IAdapterConfig } from "../../nn/t2iAdapter.ts";
import type { Context } from "../context.ts";
import { readJson } from "../files.ts";
import { folderSource } from "../folderSource.ts";
import { loader, nothingMerged } from "./model.ts";
import type { GenerateOptionsGiven } from "./options.ts";
import { readPicture } from "./pictures.ts";

async function outlined<Config>(
  folder: string,
  classes: readonly string[],
  read: (config: unknown) => Config,
  spec: (config: Config) => PartOutline<Config>["spec"],
): Promise<PartOutline<Config>> {
  const config = await readJson(join(folder, "config.json"));
  const weights = modernIndex(await openWeights(folderSource(folder), ""));
  return outlinePart({ name: folder, config, weights }, classes, read, spec);
}

/** Throws an Error for a folder that is no ControlNet, or one of another kind of model than `unet`. */
export async function openControlNet(
  folder: string,
  { config: unet }: PipelineParts["unet"],
  context: Context,
): Promise<Part<ControlNetConfig>> {
  const part = await outlined(folder, ["ControlNetModel"], readControlNetConfig, controlNetParams);
  const { config } = part;
  for (const key of ["cross_attention_dim", "in_channels", "block_out_channels"] as const)
    if (String(config[key]) !== String(unet[key]))
      throw new Error(
        `${folder} has the ${key} ${config[key]}, but the model's U-Net ${unet[key]}: it is a ControlNet of another kind of model.`,
      );
  return { config, params: await loader(nothingMerged, context)(part, "unet") };
}

export async function openT2IAdapter(folder: string, context: Context): Promise<NonNullable<PipelineParts["adapter"]>> {
  const part = await outlined(folder, ["T2IAdapter"], readT2IAdapterConfig, t2iAdapterParams);
  return { config: part.config, params: await loader(nothingMerged, context)(part, "unet") };
}

const has = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Where the files of adapters lie, their vision model does: beside them, a folder above, or in the model. */
async function encoderFolder({ ipAdapter, ipEncoder, model }: GenerateOptionsGiven): Promise<string> {
  if (ipEncoder !== undefined) return ipEncoder;
  const beside = dirname(ipAdapter!);
  for (const place of [beside, dirname(beside), model]) {
    const folder = join(place, "image_encoder");
    if (await has(join(folder, "config.json"))) return folder;
  }
  throw new Error(
    `There is no image_encoder/ beside ${ipAdapter}: give the CLIP vision model that the IP-Adapter was trained with as --ip-encoder.`,
  );
}

/** The adapter's picture as tokens, and the U-Net's parameters with the adapter's. */
export async function openIpAdapter(
  o: GenerateOptionsGiven,
  unet: PipelineParts["unet"],
  context: Context,
): Promise<{ readonly images: PictureTokens; readonly params: Params }> {
  const file = o.ipAdapter!;
  if (!file.endsWith(".safetensors"))
    throw new Error(`${file} is no .safetensors file. Convert it first, or get the one of that format.`);
  const index = { ...(await indexFile(folderSource(dirname(file)), basename(file))), name: file };
  const params = await readParams(index);
  const adapter = named(file, () => readIpAdapter(unet.config, params));
  const folder = await encoderFolder(o);
  const part = await outlined(folder, [], readClipVisionConfig, clipVisionParams);
  const side = part.config.image_size;
  const config = await preprocessingOf(folder);
  const preprocessing = readClipPreprocessing(config ?? { size: side, crop_size: side });
  const pixels = clipPixels(preprocessing, await readPicture(o.ipImage!));
  const encoder = { config: part.config, params: await loader(nothingMerged, context)(part, "vae") };
  const images = await pictureTokens(context.runtime, encoder, adapter, pixels);
  return { images, params: withImagePrompt(unet.params, adapter) };
}

async function preprocessingOf(folder: string): Promise<unknown> {
  const file = "preprocessor_config.json";
  for (const place of [folder, join(dirname(folder), "feature_extractor")])
    if (await has(join(place, file))) return readJson(join(place, file));
  return undefined;
}
