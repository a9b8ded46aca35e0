// npm run demo: a pretrained teacher becomes a few-step generator, with a picture and a table to show for it.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { encodePng, sampleGrid } from "../data/png.ts";
import { sampleRows } from "../figures/sampleRows.ts";
import { fromConstants } from "../nn/params.ts";
import { sampleAll, sampler, samplingGrid } from "../run/sample.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { solverByName } from "../solvers/index.ts";
import { accelerate, accelerateOptions } from "./commands/accelerate.ts";
import { evaluateModels, evaluateOptions } from "./commands/evaluate.ts";
import type { Context } from "./context.ts";
import { codeOf, sentence } from "./failure.ts";
import { saveFigure } from "./figures.ts";
import { type LoadedModel, loadModel } from "./models.ts";
import { formatSeconds } from "./progress.ts";
import { reporter } from "./reporter.ts";
import { stopOnSignals } from "./signals.ts";

const assets = join(import.meta.dirname, "../../assets");
const teacherPath = join(assets, "mnist-teacher");
const data = join(assets, "mnist-small");

/** What the demo does, and all it does: the same options on the command line repeat it. */
const recipe = {
  method: "perflow",
  data,
  windows: 4,
  teacherSteps: 4,
  weight: "endpoint",
  atStarts: 0.6,
  lr: 4e-4,
  ema: 0.98,
  images: 128 * 64,
} as const;
/** The number of steps that the demo is about: one per window. */
const SHOWN = recipe.windows;
const SAMPLES = 512;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { seed: { type: "string", default: "0" }, out: { type: "string", default: "runs/demo" } },
  });
  const began = performance.now();
  const context: Context = {
    report: reporter(process, { json: false, quiet: false }),
    runtime: nodeRuntime(),
    signal: stopOnSignals(process).signal,
    seed: Number(values.seed),
  };
  const say = context.report.note;
  say(
    "A diffusion model of handwritten digits, trained and saved by another library (0.69M parameters, 1000 timesteps),",
  );
  say(
    `learns to do in ${SHOWN} steps what it does in 50: PeRFlow with ${recipe.windows} windows, ${recipe.images} images seen.\n`,
  );
  const made = await accelerate(
    accelerateOptions.parse({ teacher: teacherPath, ...recipe, out: values.out, previewEvery: 0 }),
    context,
  );
  if (!made) return;
  say(`\nTrained in ${formatSeconds((performance.now() - began) / 1000)}. Measuring both on the same noise.\n`);
  const out = join(made.run.path, "evaluation");
  const report = await evaluateModels(
    evaluateOptions.parse({
      models: [made.run.path],
      teacher: teacherPath,
      data,
      steps: [1, 2, 4, 8],
      n: SAMPLES,
      pathSteps: 40,
      pathSamples: 32,
      out,
    }),
    context,
  );
  const picture = join(made.run.path, "teacher-and-student");
  await compare(picture, await loadModel(teacherPath), await loadModel(made.run.path), context);
  const at = (role: "teacher" | "student") =>
    report.results.find((r) => r.role === role)?.evaluations.find((e) => e.steps === SHOWN)?.values.endpoint.value ??
    NaN;
  const change = 1 - at("student") / at("teacher");
  const result = context.report.result;
  result(
    `\nAt ${SHOWN} steps the student ends ${Math.round(100 * Math.abs(change))} % ${change > 0 ? "closer to" : "farther from"} the teacher's ` +
      `50-step sample of the same noise (${at("student").toFixed(3)} against ${at("teacher").toFixed(3)}, ${SAMPLES} samples, seed ${context.seed}).`,
  );
  result(
    `Picture: ${picture}.png\nAll of it took ${formatSeconds((performance.now() - began) / 1000)}; peak memory ${peakMiB()} MiB.`,
  );
}

/** The same noise through the teacher, slowly and quickly, and through the student. */
async function compare(path: string, teacher: LoadedModel, student: LoadedModel, context: Context): Promise<void> {
  const n = 10;
  const rows = [];
  for (const [label, one, steps] of [
    ["teacher, 50 steps", teacher, 50],
    [`teacher, ${SHOWN} steps`, teacher, SHOWN],
    [`student, ${SHOWN} steps`, student, SHOWN],
    [`teacher, ${2 * SHOWN} steps`, teacher, 2 * SHOWN],
    [`student, ${2 * SHOWN} steps`, student, 2 * SHOWN],
  ] as const) {
    const ready = await sampler(one.model, fromConstants(one.params), context.runtime, n);
    const times = samplingGrid(one.model.form, one.sampler.grid, steps, one.model.prediction);
    const { x } = await sampleAll(ready, { n, seed: 1, solver: solverByName(one.sampler.solver), times });
    await ready.dispose();
    const image = sampleGrid(x, [1, 28, 28], { columns: n });
    rows.push({ label, png: encodePng(image), width: image.width, height: image.height });
  }
  await saveFigure(
    path,
    sampleRows({ title: "From the same noise", subtitle: "PeRFlow on MNIST, digits 0 to 9", rows }),
  );
}

const peakMiB = (): string => (process.resourceUsage().maxRSS / 1024).toFixed(0);

main().catch((error: unknown) => {
  process.stderr.write(`${sentence(error)}\n`);
  process.exitCode = codeOf(error);
});
