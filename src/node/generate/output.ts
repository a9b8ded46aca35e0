// What a generation leaves: pictures that say how they were made, and a grid of several.
import { basename, dirname, extname, join } from "node:path";
import { encodePng, signPng, toBytes } from "../../data/png.ts";
import { type PngText, withText } from "../../data/pngText.ts";
import type { Image } from "../../diffusers/tiles.ts";
import { labeledGrid } from "../../figures/labeledGrid.ts";
import { version } from "../../version.ts";

/** How a picture was made, for people and programs; what is not set is left out. */
export interface Recipe {
  readonly prompt: string;
  readonly negative?: string;
  readonly seed: number;
  readonly sampler: string;
  readonly steps: number;
  readonly guidance: number;
  readonly width: number;
  readonly height: number;
  readonly model: string;
  readonly [more: string]: unknown;
}

/** "parameters" as web UIs write and read them, and "fewstep" as JSON. */
export function recipeTexts(recipe: Recipe): PngText[] {
  const { prompt, negative, seed, sampler, steps, guidance, width, height, model } = recipe;
  const settings = [
    `Steps: ${steps}`,
    `Sampler: ${sampler}`,
    `CFG scale: ${guidance}`,
    `Seed: ${seed}`,
    `Size: ${width}x${height}`,
    `Model: ${model}`,
    ...(recipe.strength === undefined ? [] : [`Denoising strength: ${recipe.strength}`]),
    `Version: fewstep ${version}`,
  ].join(", ");
  const lines = [prompt, ...(negative ? [`Negative prompt: ${negative}`] : []), settings];
  // Everything but ASCII escaped, so that the chunk is one that every reader knows.
  const json = JSON.stringify({ ...recipe, version }).replace(
    /[^\x20-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return [
    { keyword: "parameters", text: lines.join("\n") },
    { keyword: "fewstep", text: json },
  ];
}

/** One picture [1, 3, H, W] in about -1 to 1. Throws an Error where it holds NaN. */
export function picturePng({ shape, data }: Image, recipe: Recipe): Uint8Array {
  const [, channels, height, width] = shape;
  const planes = toBytes(data);
  const area = width * height;
  const pixels = new Uint8Array(planes.length);
  for (let c = 0; c < channels; c++) for (let i = 0; i < area; i++) pixels[i * channels + c] = planes[c * area + i];
  return withText(encodePng({ width, height, channels, data: pixels }), recipeTexts(recipe));
}

/** "cat.png" of several: cat-5.png for the seed 5, cat-6.png, … */
export const fileOf = (out: string, seed: number): string =>
  join(dirname(out), `${basename(out, extname(out))}-${seed}${extname(out)}`);

/** The pictures, which are PNG files, with their seeds below. `recipe`: that of the first one. */
export async function gridPng(
  pictures: readonly { readonly seed: number; readonly png: Uint8Array; readonly unsafe: boolean }[],
  recipe: Recipe,
): Promise<Uint8Array> {
  const { default: sharp } = await import("sharp");
  const { width, height, prompt, sampler, steps, guidance } = recipe;
  const svg = labeledGrid(
    prompt,
    pictures.map(({ seed, png, unsafe }) => ({
      label: `seed ${seed}, ${sampler}, ${steps} steps, guidance ${guidance}${unsafe ? ", blacked out" : ""}`,
      href: `data:image/png;base64,${Buffer.from(png).toString("base64")}`,
      ...{ width, height },
    })),
  );
  const image = await sharp(new TextEncoder().encode(svg), { density: 72, unlimited: true }).png().toBuffer();
  return withText(signPng(image), recipeTexts({ ...recipe, seeds: pictures.map(({ seed }) => seed) }));
}
