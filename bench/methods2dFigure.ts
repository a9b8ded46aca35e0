// docs/images/methods2d: samples of every method at its steps, all from the same noise.

import { scatter2d } from "../src/figures/plane.ts";
import { figureContext, saveFigure } from "../src/node/figures.ts";

export interface Cloud {
  readonly title: string;
  /** [n, 2] */
  readonly points: ArrayLike<number>;
}

const COLUMNS = 5;

/** Rows of five panels, one below the other. Writes an SVG and a PNG. */
export async function saveClouds(path: string, title: string, data: ArrayLike<number>, clouds: readonly Cloud[]) {
  let y = 0;
  let width = 0;
  const parts: string[] = [];
  for (let i = 0; i < clouds.length; i += COLUMNS) {
    const panels = clouds.slice(i, i + COLUMNS);
    const svg = scatter2d({ title: i === 0 ? title : " ", data, panels }, figureContext());
    const [, w, h] = svg.match(/^<svg[^>]* width="([\d.]+)" height="([\d.]+)"/) ?? [];
    parts.push(svg.replace("<svg ", `<svg y="${y}" `));
    y += Number(h);
    width = Math.max(width, Number(w));
  }
  const box = `width="${width}" height="${y}" viewBox="0 0 ${width} ${y}"`;
  const ground = `<rect width="${width}" height="${y}" fill="white" />`;
  await saveFigure(path, `<svg xmlns="http://www.w3.org/2000/svg" ${box}>${ground}${parts.join("")}</svg>`);
}
