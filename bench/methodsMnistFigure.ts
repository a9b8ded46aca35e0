// docs/images/methodsMnist.png: the teacher and a student of every method, all from the same noise.

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

/** Students at the first step number that they are made for; those that were not finished here are left out. */
export async function picture(
  { teacher, many }: { readonly teacher: string; readonly many: number },
  runOf: (method: string) => string,
  context: Context,
): Promise<void> {
  const finished = methods.filter((method) => isFinished(runOf(method)));
  const wanted: Row[] = [
    ...[many, 4, 1].map((steps) => ({ who: "teacher", path: teacher, steps })),
    ...finished.map((method) => ({ who: method, path: runOf(method), steps: stepsOf[method].goal[0] })),
  ];
  const rows: SampleRow[] = [];
  for (const row of wanted) rows.push(await made(row, context));
  const subtitle = "Digits 0 to 9 twice; no guidance";
  await saveFigure(
    "docs/images/methodsMnist",
    sampleRows({ title: "All methods from the same noise", subtitle, rows }),
  );
}

async function made({ who, path, steps }: Row, { runtime }: Context): Promise<SampleRow> {
  const { model, params, sampler: how } = await loadModel(path);
  const ready = await sampler(model, fromConstants(params), runtime, SHOWN);
  const times = samplingGrid(model.form, how.grid, steps, model.prediction);
  const { x } = await sampleAll(ready, { n: SHOWN, seed: 1, solver: solverByName(how.solver), times });
  await ready.dispose();
  const image = sampleGrid(x, [1, 28, 28], { columns: SHOWN, upscale: 1 });
  return { label: `${who}, ${stepText(steps)}`, png: encodePng(image), width: image.width, height: image.height };
}
