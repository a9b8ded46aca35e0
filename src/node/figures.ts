// Figures as files: a document for src/figures, PNG by sharp.
import { parseHTML } from "linkedom";
import { signPng } from "../data/png.ts";
import type { FigureContext } from "../figures/sheet.ts";
import { writeAtomic } from "./atomic.ts";

export function figureContext(): FigureContext {
  return { document: parseHTML("<!doctype html><html><body></body></html>").document };
}

/** What every SVG that is written here ends with. */
export const svgSignature = "<!-- Software: fewstep -->";

/** `scale` 2 gives sharp text on dense screens. */
export async function svgToPng(svg: string, scale = 2): Promise<Uint8Array> {
  const { default: sharp } = await import("sharp");
  const png = await sharp(new TextEncoder().encode(svg), { density: 72 * scale })
    .png({ palette: true })
    .toBuffer();
  return signPng(png);
}

/** Writes `<path>.svg` and `<path>.png`. */
export async function saveFigure(path: string, svg: string): Promise<void> {
  await writeAtomic(`${path}.svg`, `${svg}\n${svgSignature}\n`);
  await writeAtomic(`${path}.png`, await svgToPng(svg));
}
