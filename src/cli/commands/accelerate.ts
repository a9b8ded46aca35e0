// fewstep accelerate: a few-step student from a pretrained teacher.
import { join } from "node:path";
import { z } from "zod";
import { read } from "../../core/index.ts";
import { arrayDataset, batches, type Dataset } from "../../data/dataset.ts";
import { adamwDefaults } from "../../optim/adamw.ts";
import { fold, key } from "../../random.ts";
import type { Plan, Teacher } from "../../recipes/plan.ts";
import { CARD_FORMAT, type Card, describeModel } from "../../run/card.ts";
import { sampler, samplingGrid } from "../../run/sample.ts";
import { freshState, type TrainBatch } from "../../run/train.ts";
import { solverByName } from "../../solvers/index.ts";
import { version } from "../../version.ts";
import { command } from "../command.ts";
import type { Context } from "../context.ts";
import { UsageError, usage } from "../failure.ts";
import { openData } from "../files.ts";
import { checkMemory } from "../memory.ts";
import {
  type Method,
  methodNamed,
  methodOptions,
  methods,
  planOf,
  predictOf,
  resolveMethod,
  trainingDefaults,
} from "../methods.ts";
import { asTeacher, type LoadedModel, loadModel } from "../models.ts";
import { toConfig } from "../options.ts";
import { storedPairs } from "../pairsFolder.ts";
import { previews } from "../previews.ts";
import { lastPart, type RunDir } from "../runDir.ts";
import {
  absolute,
  checkBudget,
  dataIdentity,
  imagesIn,
  mayChange,
  openRun,
  recorded,
  runTraining,
  trainingOptions,
} from "../training.ts";
import type { RunResult } from "./train.ts";

export const accelerateOptions = z.object({
  teacher: z.string().describe("A model, run or diffusers folder."),
  method: z.string().describe(`One of ${methods.join(", ")}.`),
  data: z
    .string()
    .optional()
    .describe("Folder of IDX files or class folders, .tar files, or toy:<name>; needed but for methods on pairs.")
    .meta({ value: "path" }),
  ...methodOptions,
  ...trainingOptions,
});
export type AccelerateOptions = z.output<typeof accelerateOptions>;

/** Trains the student, and returns where it is; undefined after --dry-run. */
export async function accelerate(given: AccelerateOptions, context: Context): Promise<RunResult | undefined> {
  checkBudget(given);
  const method = methodNamed(given.method);
  const own = resolveMethod(method, given);
  const standard = trainingDefaults[method];
  const options = {
    ...given,
    ...own,
    method,
    teacher: absolute(given.teacher),
    data: given.data && absolute(given.data),
    ...(own.pairsDir ? { pairsDir: absolute(own.pairsDir) } : {}),
    lr: given.lr ?? standard.lr,
    ema: given.ema ?? standard.ema,
    ...(given.minutes === undefined ? { images: given.images ?? standard.images } : {}),
  };
  if (method !== "rectified-diffusion" && options.data === undefined)
    throw new UsageError(`--data is missing: ${method} learns from noised data.`);
  if (given.dryRun) {
    context.report.result(JSON.stringify(recorded("accelerate", options, context), null, 2));
    return undefined;
  }
  await context.runtime.supports(options.precision);
  const loaded = await loadModel(options.teacher);
  for (const note of loaded.notes) context.report.note(note);
  const teacher = asTeacher(loaded);
  const full = { ...options, ...predictOf(method, own, teacher) };
  const data = options.data === undefined ? undefined : await openFor(loaded, options.data);
  const plan = usage(() => planOf(method, teacher, full));
  // Sampling starts at t = 1, so the student must be readable there.
  usage(() => read(plan.model.form, 1, plan.model.prediction, [1, 0]));
  if (full.guidance !== undefined && full.guidance !== 1 && teacher.model.labelCount === null)
    throw new UsageError(`--guidance ${full.guidance} needs a teacher with classes; this one has none.`);
  const { spec } = loaded;
  if (spec.length === 0) throw new Error(`${loaded.path} has no weights that could be trained.`);
  if (full.gradientCheckpointing && loaded.network.family === "onnx")
    throw new UsageError(
      "--gradient-checkpointing needs a network of blocks, and an ONNX file does not say where its blocks are. Use a smaller --batch.",
    );
  const start = freshState(loaded.theta);
  const rate = { kind: full.decay, peak: full.lr, warmup: full.warmup, final: 0.1 };
  const measured = { plan, spec, start, data: standIn(plan, data, full.batch, context.seed) };
  checkMemory(measured, { ...full, adamw: adamwDefaults }, context);
  const images = full.images ?? (await imagesIn(full.minutes ?? 1, measured, { ...full, rate }, context));
  const saveEvery = full.saveEvery ?? Math.ceil(images / 10);
  const resolved = { ...full, minutes: undefined, images, saveEvery, previewEvery: full.previewEvery ?? saveEvery };
  const { resume, dryRun, ignoreMemory, ...stored } = resolved;
  const name = { method, data: full.data ?? loaded.name, windows: full.windows, batch: full.batch };
  const pairs = plan.source === "pairs" ? pairCount(loaded, full) : undefined;
  const written = recorded("accelerate", stored, context);
  const run = await openRun(resume, full.out, name, written);
  context.report.event({ kind: "run", path: run.path });
  context.report.note(`${run.path}: ${method} of ${loaded.name}, ${images.toLocaleString("en-US")} images.`);
  if (plan.model.prediction.name !== teacher.model.prediction.name)
    context.report.note(
      `The teacher predicts ${teacher.model.prediction.name} and the student ${plan.model.prediction.name}: the network has to relearn what its output means.`,
    );
  const learnsFrom =
    plan.source === "data" && data
      ? batches(data, fold(key(context.seed), "data"), full.batch).batchAt
      : await pairBatches(run, loaded, teacher, full, context);
  const evaluations = (full.teacherSteps ?? 1) * (full.guidance === undefined || full.guidance === 1 ? 1 : 2);
  const { labelCount } = plan.model;
  const card = (imagesSeen: number): Card => ({
    format: CARD_FORMAT,
    library: version,
    ...describeModel({ ...loaded, model: plan.model }),
    sampler: plan.sampler,
    guidance: { convention: "null + g*(cond - null)", baked: full.guidance ?? 1 },
    conditioning: {
      labels: Math.max(0, (labelCount ?? 0) - 1),
      nullLabel: labelCount === null ? null : labelCount - 1,
    },
    recipe: {
      method,
      options: toConfig({
        ...stored,
        out: undefined,
        pairsDir: undefined,
        teacher: loaded.name,
        data: data && lastPart(name.data),
      }),
    },
    base: loaded.hash,
    imagesSeen,
    teacherNfe: (pairs ?? imagesSeen) * evaluations,
    seed: context.seed,
  });
  const rowsOf = (who: string, steps: readonly number[], sampling: Card["sampler"], guidance: number) =>
    steps.map((n) => ({ name: `${who}, ${n} steps`, steps: n, sampler: sampling, guidance }));
  const { steps } = plan.sampler;
  await runTraining(
    {
      plan,
      network: loaded.network,
      spec,
      start,
      data: learnsFrom,
      run,
      schedule: { ...resolved, rate },
      card,
      identity: { teacher: loaded.hash, ...(data && full.data ? { data: dataIdentity(data, full.data) } : {}) },
      options: written,
      command: "accelerate",
      preview: previews({
        folder: run.samples,
        seed: context.seed,
        runtime: context.runtime,
        teacher: {
          ...teacher,
          rows: rowsOf("teacher", teacherSteps(loaded, [50, ...steps]), loaded.sampler, full.guidance ?? 1),
        },
        student: { model: plan.model, spec, rows: rowsOf("student", steps, plan.sampler, 1) },
        data,
      }),
    },
    context,
  );
  context.report.event({ kind: "done", path: run.path, model: run.model });
  context.report.note(`Done: ${run.model}. See it with: fewstep sample ${run.path} --out grid.png`);
  return { run, model: run.model };
}

/** A teacher with windows cannot take fewer steps than those. */
const teacherSteps = ({ model }: LoadedModel, steps: readonly number[]): number[] =>
  steps.filter((n) => n >= (model.form.windows?.count ?? 1));

/** Data that fits the teacher: its shape and its classes. */
async function openFor({ model, name }: LoadedModel, path: string): Promise<Dataset> {
  const [c, h = 1, w = 1] = model.sampleShape;
  const data = await openData(path, { shape: [c, h, w] });
  if (model.labelCount === null) return data;
  if (data.classes === 0)
    throw new Error(`${path} has no classes, but ${name} is conditioned on ${model.labelCount - 1}.`);
  if (data.classes > model.labelCount - 1)
    throw new Error(`${path} has ${data.classes} classes, but ${name} is conditioned on ${model.labelCount - 1}.`);
  return data;
}

const bytesPerPair = ({ model }: LoadedModel) => 8 * model.sampleShape.reduce((a, b) => a * b, 1) + 8;

/** As many pairs as asked for and as fit on the disk space asked for. */
function pairCount(loaded: LoadedModel, { pairs = 1, pairsMb }: AccelerateOptions): number {
  const fit = pairsMb === undefined ? pairs : Math.floor((pairsMb * 1e6) / bytesPerPair(loaded));
  if (fit < 1)
    throw new UsageError(`--pairs-mb ${pairsMb} has no room for a single pair of ${bytesPerPair(loaded)} bytes.`);
  return Math.min(pairs, fit);
}

async function pairBatches(
  run: RunDir,
  loaded: LoadedModel,
  { model, params }: Teacher,
  o: AccelerateOptions & { readonly method: Method },
  context: Context,
): Promise<(step: number) => TrainBatch> {
  const steps = o.teacherSteps ?? 50;
  const guidance = o.guidance ?? 1;
  const solver = solverByName(o.teacherSolver ?? "ddim");
  const n = pairCount(loaded, o);
  // Small enough to lose little, and at most 16 MB.
  const perShard = Math.max(1, Math.min(256, Math.floor(16e6 / bytesPerPair(loaded))));
  const pairs = await storedPairs(
    () => sampler(model, params, context.runtime, Math.min(64, perShard), { guidance }),
    model.sampleShape,
    {
      folder: o.pairsDir ?? join(run.path, "pairs"),
      identity: { teacher: loaded.hash, solver: solver.name, steps, guidance, seed: context.seed },
      n,
      perShard,
      seed: context.seed,
      solver,
      times: samplingGrid(model.form, loaded.sampler.grid, steps, model.prediction),
    },
    context,
  );
  const size = pairs.x.length / n;
  const order = batches(arrayDataset("pairs", pairs.x, [size, 1, 1]), fold(key(context.seed), "data"), o.batch);
  return (step) => {
    const indices = order.indicesAt(step);
    const noise = new Float32Array(o.batch * size);
    const labels = new BigInt64Array(o.batch);
    indices.forEach((from, i) => {
      noise.set(pairs.noise.subarray(from * size, (from + 1) * size), i * size);
      labels[i] = pairs.labels[from];
    });
    return { x: order.batchAt(step).x, noise, labels };
  };
}

/** Batches to measure the speed on: the data, or noise in place of pairs that are not made yet. */
function standIn(plan: Plan, data: Dataset | undefined, batch: number, seed: number): (step: number) => TrainBatch {
  if (plan.source === "data" && data) return batches(data, fold(key(seed), "data"), batch).batchAt;
  const size = plan.model.sampleShape.reduce((a, b) => a * b, batch);
  const zeros = { x: new Float32Array(size), noise: new Float32Array(size), labels: new BigInt64Array(batch) };
  return () => zeros;
}

export const accelerateCommand = command({
  name: "accelerate",
  summary: "Make a few-step student from a pretrained teacher.",
  positional: ["teacher"],
  options: accelerateOptions,
  mayChange,
  run: accelerate,
});
