// npm run bench:methodsMnist: every method with its preset for small images, from the pretrained teacher of digits. Student
// and teacher at the same number of steps, by the Fréchet distance to the data and by how far they end from where the
// teacher's many steps end from the same noise.
import { rm } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { rows } from "../src/metrics/index.ts";
import { fromConstants } from "../src/nn/params.ts";
import { accelerateTeacher } from "../src/node/accelerate.ts";
import { accelerateOptions } from "../src/node/accelerateOptions.ts";
import type { Context } from "../src/node/context.ts";
import { measuring } from "../src/node/features.ts";
import { methodNamed, presetOf } from "../src/node/methods.ts";
import { openData, readJson, readSafetensors, writeJson, writeSafetensors } from "../src/node/files.ts";
import { type LoadedModel, loadModel } from "../src/node/models.ts";
import { endsOf, evaluate } from "../src/run/evaluate.ts";
import { type Sampler, sampler, samplingGrid } from "../src/run/sample.ts";
import { solverByName } from "../src/solvers/index.ts";
import { allSteps, type Run, runBenchmark, spent, trainStudent } from "./methodRuns.ts";
import { picture } from "./methodsMnistFigure.ts";
import { documentOf } from "./methodsMnistTable.ts";

const TEACHER = "assets/mnist-teacher";
const DATA = "assets/mnist-small";
const SAMPLES = 1000;
/** Steps of the teacher that count as the truth. */
const MANY = 50;
/** The noise that all are measured from. */
const NOISE = 5;

export interface Quality {
  readonly frechet: number;
  readonly endpoint: number;
  /** Share of samples that lie among the data, and of the data that lie among samples. */
  readonly precision: number;
  readonly recall: number;
}

export interface Measured extends Run {
  readonly at: readonly { readonly steps: number; readonly student: Quality; readonly teacher: Quality }[];
}

/** What runs share: pairs, where the teacher's many steps end, and how good its few are. */
interface Shared {
  /** Of the processor, for one evaluation of the network. */
  readonly cpuMilliseconds: number;
  /** By number of steps. */
  readonly teacher: Readonly<Record<string, Quality>>;
}

const sharedFile = (folder: string) => join(folder, "shared.json");
/** Methods that ask for as many steps of the teacher share their pairs. */
const pairsIn = (folder: string, teacherSteps: unknown) => join(folder, `pairs-${teacherSteps}`);

const samplerOf = ({ model, params }: LoadedModel, { runtime }: Context) =>
  sampler(model, fromConstants(params), runtime, 50);
const gridOf = ({ model, sampler: { grid } }: LoadedModel, steps: number) =>
  samplingGrid(model.form, grid, steps, model.prediction);

async function prepare(_: string, folder: string, context: Context): Promise<void> {
  // A student of one step asks for the pairs.
  const run = join(folder, "one-step");
  await rm(run, { recursive: true, force: true });
  const least = { preset: "small", images: 64, previewEvery: 0 };
  const { teacherSteps } = presetOf(methodNamed("rectified-diffusion"), "small", "images");
  const pairsDir = pairsIn(folder, teacherSteps);
  const options = { teacher: TEACHER, method: "rectified-diffusion", pairsDir, run, ...least };
  await accelerateTeacher(accelerateOptions.parse(options), context);
  const teacher = await loadModel(TEACHER);
  const ready = await samplerOf(teacher, context);
  const times = gridOf(teacher, MANY);
  const cpu = process.cpuUsage();
  const ends = await endsOf(ready, { n: SAMPLES, seed: NOISE, solver: solverByName("ddim"), times });
  const cpuMilliseconds = (1000 * spent(cpu)) / (SAMPLES * MANY);
  await writeSafetensors(join(folder, "ends.safetensors"), { x: { shape: [SAMPLES, 1, 28, 28], data: ends } });
  const few = await qualities(teacher, ready, [1, 2, 4, 8], ends, context);
  await ready.dispose();
  const shared: Shared = { cpuMilliseconds, teacher: { ...few, [MANY]: await qualityOf(ends, context) } };
  await writeJson(sharedFile(folder), shared);
}

async function comparing(context: Context) {
  const measured = await measuring("auto", await openData(DATA), { ...context, seed: 0, n: SAMPLES });
  if (!measured) throw new Error(`${DATA} has no features to be compared by.`);
  return measured;
}

/** Of the samples that count as the truth. */
async function qualityOf(ends: Float32Array, context: Context): Promise<Quality> {
  const { features, metrics, dispose } = await comparing(context);
  const seen = rows(await features.apply(ends, SAMPLES), features.dim);
  await dispose();
  const values = Object.fromEntries(metrics.map((m) => [m.name, m.value(m.add(m.init(), seen)).value]));
  return { frechet: values.frechet, endpoint: 0, precision: values.precision, recall: values.recall };
}

/** By number of steps. */
async function qualities(
  one: LoadedModel,
  ready: Sampler,
  steps: readonly number[],
  ends: Float32Array,
  context: Context,
): Promise<Record<string, Quality>> {
  const { features, metrics, dispose } = await comparing(context);
  const grids = steps.map((n) => gridOf(one, n));
  const found: Record<string, Quality> = {};
  const how = { n: SAMPLES, seed: NOISE, solver: solverByName(one.sampler.solver), features, metrics, ends };
  for await (const { steps: n, nfe, values } of evaluate(ready, { ...how, grids })) {
    if (nfe !== n) throw new Error(`${one.path} took ${nfe} evaluations for ${n} steps.`);
    const [frechet, endpoint] = [values.frechet.value, values.endpoint.value];
    found[n] = { frechet, endpoint, precision: values.precision.value, recall: values.recall.value };
  }
  await dispose();
  return found;
}

const readShared = async (folder: string) => (await readJson(sharedFile(folder))) as Shared;

await runBenchmark<Measured>({
  kind: "images",
  folder: "runs/methodsMnist",
  results: "docs/results/methodsMnist.json",
  page: "docs/methodsMnist.md",
  data: ["mnist-small"],
  seeds: [0],
  prepare,
  async measure({ method, data, run, shared }, context) {
    const pairsOf = (teacherSteps: unknown) => pairsIn(shared, teacherSteps);
    const made = await trainStudent({ method, teacher: TEACHER, data: DATA, kind: "images", run, pairsOf }, context);
    const student = await loadModel(run);
    const ready = await samplerOf(student, context);
    const ends = (await readSafetensors(join(shared, "ends.safetensors"))).tensors.get("x")?.data as Float32Array;
    const own = await qualities(student, ready, allSteps(method), ends, context);
    await ready.dispose();
    const { teacher } = await readShared(shared);
    const at = allSteps(method).map((steps) => ({ steps, student: own[steps], teacher: teacher[steps] }));
    return { ...made, data, at };
  },
  about: async ([data], folderOf) => ({
    teacher: TEACHER,
    data: DATA,
    guidance: 1,
    n: SAMPLES,
    many: MANY,
    device: `${cpus()[0].model}, one thread per run, float32`,
    shared: await readShared(folderOf("teacher", data, 0)),
  }),
  documentOf,
  shown: ({ at }) =>
    at
      .map(({ steps, student: s, teacher: t }) => {
        const part = (key: "frechet" | "endpoint") =>
          `${s[key].toFixed(3)} of ${t[key].toFixed(3)}, ${(s[key] / t[key]).toFixed(2)} x`;
        return `${steps}: Fréchet ${part("frechet")}, endpoint ${part("endpoint")}`;
      })
      .join("; "),
  figure: (data, seed, folderOf, context) =>
    picture({ teacher: TEACHER, many: MANY }, (name) => folderOf(name, data, seed), context),
});
