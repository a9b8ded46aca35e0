// npm run bench:methods2d: every method with its preset for small data, in the plane. Student and teacher at the same
// number of network evaluations, by the sliced Wasserstein distance to data that none of them has seen.
import { rm } from "node:fs/promises";
import { openToy } from "../src/data/open.ts";
import { rows, slicedWasserstein } from "../src/metrics/index.ts";
import { fromConstants } from "../src/nn/params.ts";
import type { Context } from "../src/node/context.ts";
import { methods } from "../src/node/methods.ts";
import { type LoadedModel, loadModel } from "../src/node/models.ts";
import { trainOptions, trainTeacher } from "../src/node/train.ts";
import { fold, key } from "../src/random.ts";
import { sampleAll, sampler, samplingGrid } from "../src/run/sample.ts";
import { solverByName } from "../src/solvers/index.ts";
import {
  allSteps,
  type FolderOf,
  isFinished,
  type Run,
  runBenchmark,
  stepsOf,
  stepText,
  trainStudent,
} from "./methodRuns.ts";
import { saveClouds } from "./methods2dFigure.ts";
import { documentOf } from "./methods2dTable.ts";

const SAMPLES = 4096;
const HELD_OUT = 16_384;
const batch = 256;
const teacherRecipe = {
  form: "cosine",
  prediction: "v",
  width: 96,
  depth: 3,
  lr: 2e-3,
  ema: 0.99,
  images: 2400 * batch,
  batch,
  warmup: 50,
  previewEvery: 0,
};

export interface Measured extends Run {
  readonly at: readonly { readonly steps: number; readonly student: number; readonly teacher: number }[];
}

async function prepare(data: string, folder: string, context: Context): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  const made = await trainTeacher(trainOptions.parse({ ...teacherRecipe, data: `toy:${data}`, run: folder }), context);
  if (!made) throw new Error("No teacher was trained.");
}

/** SAMPLES points, from the same noise for all models. */
async function points(model: LoadedModel, steps: number, context: Context, n = SAMPLES): Promise<Float32Array> {
  const ready = await sampler(model.model, fromConstants(model.params), context.runtime, Math.min(n, 1024));
  const times = samplingGrid(model.model.form, model.sampler.grid, steps, model.model.prediction);
  const made = await sampleAll(ready, { n, seed: 5, solver: solverByName(model.sampler.solver), times });
  await ready.dispose();
  if (made.nfe !== steps) throw new Error(`${model.path} took ${made.nfe} evaluations for ${steps} steps.`);
  return made.x;
}

const heldOut = (data: string, n: number, from = 0) =>
  openToy(`toy:${data}`, { split: "test" }).batch(Uint32Array.from({ length: n }, (_, i) => from + i)).x;

function distanceTo(data: string, seed: number): (x: Float32Array) => number {
  const reference = rows(heldOut(data, HELD_OUT), 2);
  const metric = slicedWasserstein({ reference, key: fold(key(seed), "directions") });
  return (x) => metric.value(metric.add(metric.init(), rows(x, 2))).value;
}

/** Teacher and students at the first step number that they are made for; those that were not finished here are left out. */
async function figure(data: string, seed: number, folderOf: FolderOf, context: Context): Promise<void> {
  const teacher = await loadModel(folderOf("teacher", data, seed));
  const clouds = [];
  for (const steps of [1, 4, 50])
    clouds.push({ title: `teacher, ${stepText(steps)}`, points: await points(teacher, steps, context, 1024) });
  for (const method of methods) {
    const run = folderOf(method, data, seed);
    if (!isFinished(run)) continue;
    const [steps] = stepsOf[method].goal;
    const made = await points(await loadModel(run), steps, context, 1024);
    clouds.push({ title: `${method}, ${stepText(steps)}`, points: made });
  }
  await saveClouds("docs/images/methods2d", "All methods from the same noise", heldOut(data, 2048), clouds);
}

await runBenchmark<Measured>({
  kind: "points",
  folder: "runs/methods2d",
  results: "docs/results/methods2d.json",
  page: "docs/methods2d.md",
  data: ["moons", "checkerboard"],
  seeds: [0, 1, 2],
  prepare,
  async measure({ method, data, run, shared: teacher }, context) {
    const made = await trainStudent({ method, teacher, data: `toy:${data}`, kind: "points", run }, context);
    const [student, slow] = [await loadModel(run), await loadModel(teacher)];
    const far = distanceTo(data, context.seed);
    const at = [];
    for (const steps of allSteps(method))
      at.push({
        steps,
        student: far(await points(student, steps, context)),
        teacher: far(await points(slow, steps, context)),
      });
    return { ...made, data, at };
  },
  // How it was measured, and how near the data are to themselves.
  about: async (sets) => ({
    metric: `sliced Wasserstein distance, 256 directions, ${SAMPLES} samples against ${HELD_OUT} held-out points`,
    teacher: teacherRecipe,
    floor: Object.fromEntries(sets.map((data) => [data, distanceTo(data, 0)(heldOut(data, SAMPLES, HELD_OUT))])),
  }),
  documentOf,
  shown: ({ at }) =>
    at
      .map(
        (a) =>
          `${a.steps}: ${a.student.toFixed(3)} of ${a.teacher.toFixed(3)}, ${(a.student / a.teacher).toFixed(2)} x`,
      )
      .join("; "),
  figure,
});
