// docs/images/methodsMnist.png: the teacher and a student of every method, all from the same noise.

import { existsSync, readFileSync } from "node:fs";
import { encodePng, sampleGrid } from "../src/data/png.ts";
import { type SampleRow, sampleRows } from "../src/figures/sampleRows.ts";
import { fromConstants } from "../src/nn/params.ts";
import type { Context } from "../src/node/context.ts";
import { saveFigure } from "../src/node/figures.ts";
import { methods } from "../src/node/methods.ts";
import { loadModel } from "../src/node/models.ts";
import { sampleAll, sampler, samplingGrid } from "../src/run/sample.ts";
import { solverByName } from "../src/solvers/index.ts";
import { isFinished, stepsOf, stepText } from "./methodRuns.ts";

/** Two of every digit. */
const SHOWN = 20;

interface Row {
  readonly who: string;
  readonly path: string;
  readonly steps: number;
}

const FILE = "docs/images/methodsMnist";

/** Students at the first step number that they are made for; of those that were not made here, the row of the picture as it is. */
export async function picture(
  { teacher, many }: { readonly teacher: string; readonly many: number },
  runOf: (method: string) => string,
  context: Context,
): Promise<void> {
  const wanted: Row[] = [
    ...[many, 4, 1].map((steps) => ({ who: "teacher", path: teacher, steps })),
    ...methods.map((method) => ({ who: method, path: runOf(method), steps: stepsOf[method].goal[0] })),
  ];
  const earlier = existsSync(`${FILE}.svg`) ? rowsOf(readFileSync(`${FILE}.svg`, "utf8")) : [];
  const rows: SampleRow[] = [];
  for (const row of wanted) {
    const here = row.path === teacher || isFinished(row.path);
    const one = here ? await made(row, context) : earlier.find(({ label }) => label === labelOf(row));
    if (one) rows.push(one);
  }
  const subtitle = "Digits 0 to 9 twice; no guidance";
  await saveFigure(FILE, sampleRows({ title: "All methods from the same noise", subtitle, rows }));
}

const labelOf = ({ who, steps }: Row) => `${who}, ${stepText(steps)}`;

/** The rows of such a picture. */
function rowsOf(svg: string): readonly SampleRow[] {
  const row =
    /<text [^>]*>([^<]*)<\/text>\n<image [^>]*width="(\d+)" height="(\d+)" href="data:image\/png;base64,([^"]*)"/g;
  return [...svg.matchAll(row)].map(([, label, width, height, png]) => ({
    label,
    width: Number(width),
    height: Number(height),
    png: Buffer.from(png, "base64"),
  }));
}

async function made(row: Row, { runtime }: Context): Promise<SampleRow> {
  const { path, steps } = row;
  const { model, params, sampler: how } = await loadModel(path);
  const ready = await sampler(model, fromConstants(params), runtime, SHOWN);
  const times = samplingGrid(model.form, how.grid, steps, model.prediction);
  const { x } = await sampleAll(ready, { n: SHOWN, seed: 1, solver: solverByName(how.solver), times });
  await ready.dispose();
  const image = sampleGrid(x, [1, 28, 28], { columns: SHOWN, upscale: 1 });
  return { label: labelOf(row), png: encodePng(image), width: image.width, height: image.height };
}
