// fewstep train: a teacher from scratch.
import { z } from "zod";
import { cosine, type Form, linear, type Prediction, predictionByName, subVp, ve, vp } from "../../core/index.ts";
import { batches } from "../../data/dataset.ts";
import { networkModel } from "../../model.ts";
import { collect } from "../../nn/network.ts";
import { countParams } from "../../nn/params.ts";
import { adamwDefaults } from "../../optim/adamw.ts";
import { fold, key } from "../../random.ts";
import { diffusion } from "../../recipes/diffusion.ts";
import { flowMatching } from "../../recipes/flowMatching.ts";
import { CARD_FORMAT, type Card, describeModel } from "../../run/card.ts";
import { randomState } from "../../run/train.ts";
import { version } from "../../version.ts";
import { command } from "../command.ts";
import type { Context } from "../context.ts";
import { usage } from "../failure.ts";
import { openData } from "../files.ts";
import { checkMemory } from "../memory.ts";
import { toConfig } from "../options.ts";
import { networkFor, networkNames } from "../presets.ts";
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

export const trainOptions = z.object({
  data: z.string().describe("Folder of IDX files or class folders, .tar files, or toy:<name>.").meta({ value: "path" }),
  form: z.enum(["vp", "subvp", "ve", "linear", "cosine"]).default("vp").describe("How noise is added."),
  prediction: z
    .enum(["eps", "x0", "v", "u", "edm"])
    .optional()
    .describe("What the network predicts; default eps; u on linear, v on cosine, edm on ve."),
  network: z.enum(networkNames).optional().describe("Default: mlp for points, unet2d for images."),
  width: z.int().positive().optional().describe("Width of the network; unet2d: channels of the first level."),
  depth: z.int().positive().optional().describe("Blocks of the network; unet2d: per level."),
  times: z.enum(["uniform", "logit-normal"]).default("uniform").describe("How times are drawn in flow matching."),
  ...trainingOptions,
});
export type TrainCommandOptions = z.output<typeof trainOptions>;

const forms: Readonly<Record<TrainCommandOptions["form"], () => Form>> = { vp, subvp: subVp, ve, linear, cosine };

/** eps says nothing at t = 1 of linear and cosine, and almost nothing on VE, where an error of it moves x0 fiftyfold. */
const natural = { vp: "eps", subvp: "eps", ve: "edm", linear: "u", cosine: "v" } as const;

export interface RunResult {
  readonly run: RunDir;
  /** Of the final EMA weights. */
  readonly model: string;
}

/** Trains, and returns where the model is; undefined after --dry-run. */
export async function trainTeacher(given: TrainCommandOptions, context: Context): Promise<RunResult | undefined> {
  checkBudget(given);
  const options = {
    ...given,
    prediction: given.prediction ?? natural[given.form],
    lr: given.lr ?? 1e-3,
    ema: given.ema ?? 0.999,
    ...(given.minutes === undefined ? { images: given.images ?? 256_000 } : {}),
    data: absolute(given.data),
  } as const;
  if (given.dryRun) {
    context.report.result(JSON.stringify(recorded("train", options, context), null, 2));
    return undefined;
  }
  await context.runtime.supports(options.precision);
  const data = await openData(given.data);
  const network = usage(() => networkFor(data.shape, data.classes, options));
  const form = forms[options.form]();
  const prediction: Prediction = predictionByName(options.prediction);
  const timeInput = { scale: 1000, offset: 0, ...(options.form === "ve" ? { normalize: true } : {}) };
  const model = networkModel(network, form, prediction, timeInput);
  const flow = options.form === "linear" && options.prediction === "u";
  const plan = flow ? flowMatching(model, { times: options.times }) : diffusion(model);
  const spec = collect(network);
  const stream = batches(data, fold(key(context.seed), "data"), options.batch);
  const common = { plan, spec, start: randomState(spec, context.seed), data: stream.batchAt };
  const rate = { kind: options.decay, peak: options.lr, warmup: options.warmup, final: 0.1 };
  checkMemory(common, { ...options, adamw: adamwDefaults }, context);
  const images = options.images ?? (await imagesIn(options.minutes ?? 1, common, { ...options, rate }, context));
  const saveEvery = options.saveEvery ?? Math.ceil(images / 10);
  const resolved = {
    ...options,
    minutes: undefined,
    images,
    saveEvery,
    previewEvery: options.previewEvery ?? saveEvery,
  };
  const { resume, dryRun, ignoreMemory, ...stored } = resolved;
  const name = { method: plan.method, data: given.data, batch: options.batch };
  const written = recorded("train", stored, context);
  const run = await openRun(resume, options.out, name, written);
  context.report.event({ kind: "run", path: run.path });
  context.report.note(
    `${run.path}: ${plan.method} on ${data.size.toLocaleString("en-US")} samples of ${data.name}, ${network.family} with ${countParams(spec).toLocaleString("en-US")} parameters.`,
  );
  const card = (imagesSeen: number): Card => ({
    format: CARD_FORMAT,
    library: version,
    ...describeModel({ network, model, timeInput }),
    sampler: plan.sampler,
    guidance: { convention: "null + g*(cond - null)", baked: 1 },
    conditioning: { labels: data.classes, nullLabel: data.classes > 0 ? data.classes : null },
    recipe: { method: plan.method, options: toConfig({ ...stored, out: undefined, data: lastPart(data.name) }) },
    base: null,
    imagesSeen,
    teacherNfe: 0,
    seed: context.seed,
  });
  const rows = [10, 50].map((steps) => ({ name: `${steps} steps`, sampler: plan.sampler, steps, guidance: 1 }));
  await runTraining(
    {
      ...common,
      network,
      run,
      schedule: { ...resolved, rate },
      card,
      identity: { data: dataIdentity(data, options.data) },
      options: written,
      command: "train",
      preview: previews({
        folder: run.samples,
        seed: context.seed,
        runtime: context.runtime,
        student: { model, spec, rows },
        data,
      }),
    },
    context,
  );
  context.report.event({ kind: "done", path: run.path, model: run.model });
  context.report.note(`Done: ${run.model}. See it with: fewstep sample ${run.path} --out grid.png`);
  return { run, model: run.model };
}

export const trainCommand = command({
  name: "train",
  summary: "Train a teacher from scratch.",
  positional: [],
  options: trainOptions,
  mayChange,
  run: trainTeacher,
});
