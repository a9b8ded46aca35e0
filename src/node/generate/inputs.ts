// The pictures and sizes of a request, checked against the model before anything of it is loaded.

import { show } from "../../core/show.ts";
import type { SizeConditions } from "../../diffusers/pipeline.ts";
import type { PipelineOutline } from "../../diffusers/pipelineOutline.ts";
import { factorOf } from "../../diffusers/pipelineParts.ts";
import type { Image } from "../../diffusers/tiles.ts";
import { UsageError } from "../failure.ts";
import type { GenerateOptionsGiven } from "./options.ts";
import {
  checkMultiple,
  checkSameSize,
  enlarged,
  readPicture,
  resized,
  type Size,
  sizeOf,
  sizeText,
} from "./pictures.ts";

export interface Inputs {
  readonly size: Size;
  /** 0 to 255. */
  readonly image?: Image;
  readonly strength: number;
  /** One for each ControlNet, 0 to 255. */
  readonly controls: readonly Image[];
  readonly t2iImage?: Image;
  readonly sizes?: SizeConditions;
}

/** Throws UsageError for options that do not go together or do not fit the model, an Error for pictures that cannot be read. */
export async function readInputs(o: GenerateOptionsGiven, outline: PipelineOutline): Promise<Inputs> {
  checkPairs(o, outline);
  const factor = factorOf(outline.vae);
  const levels = outline.unet.config.block_out_channels.length;
  const source = o.image === undefined ? undefined : await readPicture(o.image);
  const size = sizeFor(o, outline, source, factor, factor * 2 ** (levels - 1));
  const image = source && resized(source, size);
  const controls: Image[] = [];
  for (const file of o.control) {
    const picture = await readPicture(file);
    checkSameSize(file, picture, size);
    controls.push(picture);
  }
  if (o.upscale !== undefined && controls.length === 0) controls.push(...o.controlnet.map(() => image!));
  const t2iImage = o.t2iImage === undefined ? undefined : await readPicture(o.t2iImage);
  if (t2iImage) checkSameSize(o.t2iImage!, t2iImage, size);
  return {
    ...{ size, image, controls, t2iImage, sizes: toldSizes(o, size, outline) },
    strength: o.strength ?? (o.upscale === undefined ? 0.8 : 1),
  };
}

function checkPairs(o: GenerateOptionsGiven, { unet, text }: PipelineOutline): void {
  const wrong = (what: string) => new UsageError(what);
  const both = (a: string, hasA: boolean, b: string, hasB: boolean) => {
    if (hasA !== hasB) throw wrong(`${hasA ? a : b} needs ${hasA ? b : a} with it.`);
  };
  if (o.strength !== undefined && o.image === undefined) throw wrong("--strength is of --image, and none is given.");
  if (o.strength !== undefined && !(o.strength > 0 && o.strength <= 1))
    throw wrong(`--strength is ${o.strength}: expected above 0 (nothing changes) to 1 (everything is new).`);
  if (o.upscale !== undefined && (o.image === undefined || o.controlnet.length === 0))
    throw wrong("--upscale needs --image, which it enlarges, and the ControlNet for tiles as --controlnet.");
  if (o.upscale !== undefined && (o.width !== undefined || o.height !== undefined))
    throw wrong("--upscale says how large the picture becomes: leave --width and --height out.");
  if (o.control.length !== o.controlnet.length && !(o.upscale !== undefined && o.control.length === 0))
    throw wrong(
      `There are ${o.controlnet.length} ControlNets (--controlnet) and ${o.control.length} control pictures (--control): expected as many.`,
    );
  if (o.controlScale.length > o.controlnet.length)
    throw wrong(`--control-scale has ${o.controlScale.length} numbers for ${o.controlnet.length} ControlNets.`);
  if (o.guess && o.controlnet.length === 0) throw wrong("--guess is of ControlNets, and none is given.");
  both("--t2i-adapter", o.t2iAdapter !== undefined, "--t2i-image", o.t2iImage !== undefined);
  both("--ip-adapter", o.ipAdapter !== undefined, "--ip-image", o.ipImage !== undefined);
  if (o.ipEncoder !== undefined && o.ipAdapter === undefined)
    throw wrong("--ip-encoder is of --ip-adapter, and none is given.");
  const xl: readonly (keyof GenerateOptionsGiven)[] = ["prompt2", "negative2", "originalSize", "targetSize"];
  const told = xl.find((key) => o[key] !== undefined);
  if (text.length === 1 && (told !== undefined || o.cropLeft > 0 || o.cropTop > 0))
    throw wrong(
      `--${(told ?? "crop-left").replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} is of SDXL, and this model has one text encoder.`,
    );
  const most = Math.min(...text.map(({ config }) => config.num_hidden_layers)) - 1;
  if (o.clipSkip > most) throw wrong(`--clip-skip is ${o.clipSkip}, expected 0 to ${most} for this model.`);
  const { in_channels: channels, out_channels: own } = unet.config;
  if (channels !== own)
    throw new Error(
      `${unet.name} takes ${channels} channels, ${own} of them latents: it is for inpainting or for several views, which are not generated here.`,
    );
  for (const [name, value] of [
    ["--prompt", o.prompt],
    ["--negative", o.negative],
    ["--prompt2", o.prompt2],
    ["--negative2", o.negative2],
  ] as const)
    if (value !== undefined && value.length > LONGEST)
      throw wrong(
        `${name} has ${value.length} characters, expected at most ${LONGEST}; ${75 * o.chunks} tokens of it would be read. Shorten it.`,
      );
}

/** Characters; 64 chunks of 75 tokens are about as many. */
const LONGEST = 20_000;

function sizeFor(
  o: GenerateOptionsGiven,
  { unet }: PipelineOutline,
  image: Image | undefined,
  factor: number,
  step: number,
): Size {
  if (image && o.upscale !== undefined) return checked(enlarged(sizeOf(image), o.upscale, step));
  const side = unet.config.sample_size ?? 64;
  const [h, w] = typeof side === "number" ? [side, side] : side;
  const own = image ? sizeOf(image) : { width: w * factor, height: h * factor };
  const size = { width: o.width ?? own.width, height: o.height ?? own.height };
  const given = o.width !== undefined || o.height !== undefined;
  checkMultiple(size, factor, given || !image ? "The size (--width and --height)" : `${o.image}`);
  return checked(size);
}

/** Pixels, about those of 4096 x 4096. */
const MOST = 2 ** 24;

function checked(size: Size): Size {
  if (size.width * size.height > MOST)
    throw new UsageError(`The picture would be ${sizeText(size)}: expected at most ${MOST} pixels.`);
  return size;
}

function toldSizes(
  o: GenerateOptionsGiven,
  { width, height }: Size,
  { text }: PipelineOutline,
): SizeConditions | undefined {
  if (text.length === 1) return undefined;
  const pair = (value: string | undefined, option: string): readonly [number, number] => {
    if (value === undefined) return [height, width];
    const found = /^(\d{1,5})x(\d{1,5})$/.exec(value.trim());
    if (!found) throw new UsageError(`${option} is ${show(value)}: expected WIDTHxHEIGHT, like 1024x1024.`);
    return [Number(found[2]), Number(found[1])];
  };
  return {
    original: pair(o.originalSize, "--original-size"),
    crop: [o.cropTop, o.cropLeft],
    target: pair(o.targetSize, "--target-size"),
  };
}
