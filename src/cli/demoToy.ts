// npm run demo:toy: in the plane one can see it. A teacher learns a checkerboard; PeRFlow and Rectified Diffusion
// make it fast; their trajectories are drawn side by side.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openToy } from "../data/open.ts";
import { trajectories2d } from "../figures/plane.ts";
import { rows, slicedWasserstein } from "../metrics/index.ts";
import { fromConstants } from "../nn/params.ts";
import { accelerateTeacher } from "../node/accelerate.ts";
import { accelerateOptions } from "../node/accelerateOptions.ts";
import type { Context } from "../node/context.ts";
import { sentence } from "../node/failure.ts";
import { figureContext, saveFigure } from "../node/figures.ts";
import { formatSeconds } from "../node/format.ts";
import { type LoadedModel, loadModel } from "../node/models.ts";
import { claimFile } from "../node/outputs.ts";
import { textTable } from "../node/textTable.ts";
import { trainOptions, trainTeacher } from "../node/train.ts";
import { fold, key } from "../random.ts";
import { type Samples, sampleAll, sampler, samplingGrid } from "../run/sample.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { solverByName } from "../solvers/index.ts";
import { codeOf } from "./exitCode.ts";
import { reporter } from "./reporter.ts";
import { stopOnSignals } from "./signals.ts";

const data = "toy:checkerboard";
const batch = 256;
const common = { batch, decay: "cosine", warmup: 50, previewEvery: 0, dropLabels: 0 } as const;
// The cosine form is curved and starts from pure noise; v reads the data well at both ends of it.
const teacherRecipe = {
  data,
  form: "cosine",
  prediction: "v",
  width: 96,
  depth: 3,
  lr: 2e-3,
  ema: 0.99,
  images: 2400 * batch,
};
const perflowRecipe = {
  method: "perflow",
  data,
  windows: 4,
  teacherSteps: 4,
  teacherSolver: "dpm++2m",
  predict: "velocity",
  atStarts: 0.5,
  lr: 1e-3,
  ema: 0.99,
  images: 900 * batch,
};
const rectifiedRecipe = {
  method: "rectified-diffusion",
  pairs: 12_288,
  teacherSteps: 32,
  atNoise: 0.5,
  distance: "mse",
  lr: 1e-3,
  ema: 0.99,
  images: 1200 * batch,
};
const SAMPLES = 4096;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { seed: { type: "string", default: "0" }, out: { type: "string", default: "runs/demo-toy" } },
  });
  const began = performance.now();
  const context: Context = {
    report: reporter(process, { json: false, quiet: false }),
    runtime: nodeRuntime(),
    signal: stopOnSignals(process).signal,
    seed: Number(values.seed),
  };
  const out = values.out;
  const figure = join(out, "trajectories");
  for (const kind of ["png", "svg"] as const)
    await claimFile(`${figure}.${kind}`, { option: "The figure", kind, force: false });
  const trained = await trainTeacher(trainOptions.parse({ ...common, ...teacherRecipe, out }), context);
  if (!trained) return;
  const faster = async (recipe: object) => {
    const made = await accelerateTeacher(
      accelerateOptions.parse({ teacher: trained.run.path, ...common, ...recipe, out }),
      context,
    );
    if (!made) throw new Error("Nothing was trained.");
    return loadModel(made.run.path);
  };
  const models = {
    teacher: await loadModel(trained.run.path),
    PeRFlow: await faster(perflowRecipe),
    "Rectified Diffusion": await faster(rectifiedRecipe),
  };
  const truth = openToy(data, { split: "test" });
  const reference = rows(truth.batch(Uint32Array.from({ length: SAMPLES }, (_, i) => i)).x, 2);
  const distance = slicedWasserstein({ reference, key: fold(key(context.seed), "directions") });
  const far = async (model: LoadedModel, steps: number) => {
    const { x } = await run(model, steps, SAMPLES, context);
    return distance.value(distance.add(distance.init(), rows(x, 2))).value;
  };
  const lines: string[][] = [];
  for (const [name, steps] of [
    ["teacher", [1, 2, 4, 8, 50]],
    ["PeRFlow", [4, 8]],
    ["Rectified Diffusion", [1, 2, 4, 8]],
  ] as const)
    for (const n of steps) {
      const [own, teacher] = [await far(models[name], n), await far(models.teacher, n)];
      lines.push([name, String(n), own.toFixed(4), name === "teacher" ? "" : `${(own / teacher).toFixed(2)} x`]);
    }
  await draw(figure, models, reference.data, context);
  context.report.result(`\n${textTable(["model", "steps", "sliced Wasserstein", "of the teacher's"], lines)}`);
  context.report.result(
    `${SAMPLES} samples, seed ${context.seed}. Trajectories: ${figure}.png\nAll of it took ${formatSeconds((performance.now() - began) / 1000)}.`,
  );
}

async function run(
  one: LoadedModel,
  steps: number,
  n: number,
  context: Context,
): Promise<Samples & { times: readonly number[] }> {
  const ready = await sampler(one.model, fromConstants(one.params), context.runtime, Math.min(n, 1024));
  const times = samplingGrid(one.model.form, one.sampler.grid, steps, one.model.prediction);
  const samples = await sampleAll(ready, {
    n,
    seed: 5,
    solver: solverByName(one.sampler.solver),
    times,
    keepStates: true,
  });
  await ready.dispose();
  return { ...samples, times };
}

async function draw(
  path: string,
  models: Readonly<Record<string, LoadedModel>>,
  cloud: Float32Array | ArrayLike<number>,
  context: Context,
): Promise<void> {
  const panels = [];
  for (const [title, name, steps] of [
    ["Teacher, 64 steps", "teacher", 64],
    ["PeRFlow, 4 windows of 16 steps", "PeRFlow", 64],
    ["Rectified Diffusion, 64 steps", "Rectified Diffusion", 64],
  ] as const) {
    const { times, states = [] } = await run(models[name], steps, 256, context);
    panels.push({ title, times, states, edges: models[name].model.form.windows?.edges });
  }
  const subtitle =
    "The same noise in all three. PeRFlow is straight between window edges; Rectified Diffusion keeps the teacher's curved form and is first-order.";
  await saveFigure(
    path,
    trajectories2d({ title: "From noise to a checkerboard", subtitle, data: cloud, panels }, figureContext()),
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`${sentence(error)}\n`);
  process.exitCode = codeOf(error);
});
