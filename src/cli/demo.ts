// npm run demo: a pretrained teacher becomes a few-step generator, with a picture and a table to show for it.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { encodePng, sampleGrid } from "../data/png.ts";
import { sampleRows } from "../figures/sampleRows.ts";
import { fromConstants } from "../nn/params.ts";
import { accelerateTeacher } from "../node/accelerate.ts";
import { accelerateOptions } from "../node/accelerateOptions.ts";
import type { Context } from "../node/context.ts";
import { evaluateModels, evaluateOptions } from "../node/evaluate.ts";
import { sentence } from "../node/failure.ts";
import { saveFigure } from "../node/figures.ts";
import { formatSeconds } from "../node/format.ts";
import { type LoadedModel, loadModel } from "../node/models.ts";
import { sampleAll, sampler, samplingGrid } from "../run/sample.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { solverByName } from "../solvers/index.ts";
import { demoRecipe as recipe } from "./demoRecipe.ts";
import { codeOf } from "./exitCode.ts";
import { reporter } from "./reporter.ts";
import { stopOnSignals } from "./signals.ts";

const assets = join(import.meta.dirname, "../../assets");
const teacherPath = join(assets, "mnist-teacher");
const data = join(assets, "mnist-small");

/** Steps of the teacher that count as the truth; guided, each is two evaluations. */
const MANY = 50;
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
    `A diffusion model of handwritten digits, trained and saved by another library (0.69M parameters, 1000 timesteps), is
clean with guidance ${recipe.guidance} and ${MANY} steps: ${2 * MANY} evaluations of its network. Rectified Diffusion teaches it to do that in one or two.\n`,
  );
  const made = await accelerateTeacher(
    accelerateOptions.parse({ teacher: teacherPath, ...recipe, out: values.out, previewEvery: 0 }),
    context,
  );
  if (!made) return;
  say(`\nTrained in ${formatSeconds((performance.now() - began) / 1000)}. Measuring both on the same noise.\n`);
  const report = await evaluateModels(
    evaluateOptions.parse({
      models: [made.run.path],
      teacher: teacherPath,
      data,
      steps: [1, 2],
      n: SAMPLES,
      teacherSteps: MANY,
      pathSteps: 0,
      out: join(made.run.path, "evaluation"),
    }),
    context,
  );
  const picture = join(made.run.path, "teacher-and-student");
  await compare(picture, await loadModel(teacherPath), await loadModel(made.run.path), context);
  const of = (role: "teacher" | "student", steps: number, metric: string) =>
    report.results.find((r) => r.role === role)?.evaluations.find((e) => e.steps === steps)?.values[metric].value ??
    Number.NaN;
  const line = (metric: string, steps: number) => {
    const [student, teacher] = [of("student", steps, metric), of("teacher", steps, metric)];
    return `${teacher.toFixed(2)} -> ${student.toFixed(2)} (${(student / teacher).toFixed(2)} x)`;
  };
  const result = context.report.result;
  for (const steps of [1, 2])
    result(
      `\n${steps} step${steps === 1 ? "" : "s"}: Fréchet distance ${line("frechet", steps)}, distance to the teacher's ${MANY} steps ${line("endpoint", steps)}; ${2 * steps} evaluations become ${steps}.`,
    );
  result(
    `The guidance is in the student's weights now: it can no longer be chosen. ${SAMPLES} samples, seed ${context.seed}.\n` +
      `Picture: ${picture}.png\nAll of it took ${formatSeconds((performance.now() - began) / 1000)}; peak memory ${peakMiB()} MiB.`,
  );
}

/** The same noise through the teacher, slowly and quickly, and through the student. */
async function compare(path: string, teacher: LoadedModel, student: LoadedModel, context: Context): Promise<void> {
  const n = 10;
  const rows = [];
  for (const [who, one, steps, guidance] of [
    ["teacher", teacher, MANY, recipe.guidance],
    ["teacher", teacher, 1, recipe.guidance],
    ["student", student, 1, 1],
    ["teacher", teacher, 2, recipe.guidance],
    ["student", student, 2, 1],
  ] as const) {
    const ready = await sampler(one.model, fromConstants(one.params), context.runtime, n, { guidance });
    const times = samplingGrid(one.model.form, one.sampler.grid, steps, one.model.prediction);
    const { x, nfe } = await sampleAll(ready, { n, seed: 1, solver: solverByName(one.sampler.solver), times });
    await ready.dispose();
    const image = sampleGrid(x, [1, 28, 28], { columns: n });
    const label = `${who}, ${steps} step${steps === 1 ? "" : "s"} (${nfe} evaluation${nfe === 1 ? "" : "s"})`;
    rows.push({ label, png: encodePng(image), width: image.width, height: image.height });
  }
  const subtitle = `Rectified Diffusion on MNIST, digits 0 to 9, guidance ${recipe.guidance}`;
  await saveFigure(path, sampleRows({ title: "From the same noise", subtitle, rows }));
}

const peakMiB = (): string => (process.resourceUsage().maxRSS / 1024).toFixed(0);

main().catch((error: unknown) => {
  process.stderr.write(`${sentence(error)}\n`);
  process.exitCode = codeOf(error);
});
