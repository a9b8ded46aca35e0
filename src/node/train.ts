// Trains a teacher from scratch.
import * as z from "zod";
import { type Prediction, predictionByName } from "../core/index.ts";
import type { Dataset } from "../data/dataset.ts";
import { networkModel } from "../model.ts";
import { collect } from "../nn/network.ts";
import { countParams } from "../nn/params.ts";
import { fold, key } from "../random.ts";
import { diffusion } from "../recipes/diffusion.ts";
import { flowMatching } from "../recipes/flowMatching.ts";
import type { Start } from "../recipes/recipe.ts";
import { startOf } from "../recipes/start.ts";
import { CARD_FORMAT, describeModel } from "../run/card.ts";
import { stagesOf } from "../run/outline.ts";
import { randomWeights } from "../run/train.ts";
import { version } from "../version.ts";
import type { Context } from "./context.ts";
import { usage } from "./failure.ts";
import { openData } from "./files.ts";
import { formNames, forms, natural, predictionChoices, timeInputOn } from "./forms.ts";
import { toConfig } from "./options.ts";
import { networkFor, networkNames } from "./presets.ts";
import { previews } from "./previews.ts";
import { lastPart } from "./runDir.ts";
import { launch, type RunResult } from "./training.ts";
import { absolute, checkBudget, dataText, trainingOptions } from "./trainingOptions.ts";

export const trainOptions = z.object({
  data: z.string().describe(dataText).meta({ value: "path" }),
  form: z.enum(formNames).default("vp").describe("How noise is added."),
  prediction: z
    .enum(predictionChoices)
    .optional()
    .describe("What the network predicts; default eps; u on linear, v on cosine, edm on ve."),
  network: z.enum(networkNames).optional().describe("Default: mlp for points, unet2d for images."),
  width: z.int().positive().optional().describe("Width of the network; unet2d: channels of the first level."),
  depth: z.int().positive().optional().describe("Blocks of the network; unet2d: per level."),
  times: z.enum(["uniform", "logit-normal"]).default("uniform").describe("How times are drawn in flow matching."),
  ...trainingOptions,
});
export type TrainCommandOptions = z.output<typeof trainOptions>;

type Untrained = Pick<TrainCommandOptions, "form" | "prediction" | "network" | "width" | "depth">;

/** What training begins with. Throws UsageError where a network does not fit the data. */
export function untrained(o: Untrained, data: Pick<Dataset, "shape" | "classes">, seed: number): Start {
  const network = usage(() => networkFor(data.shape, data.classes, o));
  const prediction: Prediction = predictionByName(o.prediction ?? natural[o.form]);
  const timeInput = timeInputOn(o.form);
  const model = networkModel(network, forms[o.form](), prediction, timeInput);
  const spec = collect(network);
  return startOf({ model, network, timeInput, spec, theta: randomWeights(spec, seed) });
}

/** Trains, and returns where the model is; undefined after --dry-run. */
export async function trainTeacher(given: TrainCommandOptions, context: Context): Promise<RunResult | undefined> {
  checkBudget(given);
  const { lr, ema, images } = diffusion.training;
  const options = {
    ...given,
    prediction: given.prediction ?? natural[given.form],
    lr: given.lr ?? lr,
    ema: given.ema ?? ema,
    ...(given.minutes === undefined ? { images: given.images ?? images } : {}),
    data: absolute(given.data),
  } as const;
  await context.runtime.supports(options.precision);
  const data = await openData(given.data);
  for (const note of data.notes ?? []) context.report.note(note);
  const start = untrained(options, data, context.seed);
  const { network, spec } = start;
  const flow = options.form === "linear" && options.prediction === "u";
  const seed = fold(key(context.seed), "recipe");
  const stages = flow
    ? stagesOf(flowMatching, start, { times: options.times }, seed)
    : stagesOf(diffusion, start, {}, seed);
  const method = flow ? flowMatching.name : diffusion.name;
  return launch(
    {
      command: "train",
      method,
      stages,
      data,
      options,
      stored: options,
      name: { method, data: given.data, batch: options.batch },
      card: (stage, done, stored) => ({
        format: CARD_FORMAT,
        library: version,
        ...describeModel(stage),
        sampler: stage.sampler,
        guidance: { convention: "null + g*(cond - null)", baked: 1 },
        recipe: { method, options: toConfig({ ...stored, out: undefined, data: lastPart(data.name) }) },
        base: null,
        imagesSeen: done.images,
        teacherNfe: 0,
        seed: context.seed,
      }),
      about: (run) =>
        `${run.path}: ${method} on ${data.size.toLocaleString("en-US")} samples of ${data.name}, ${network.family} with ${countParams(spec).toLocaleString("en-US")} parameters.`,
      preview: (run) =>
        previews({
          folder: run.samples,
          seed: context.seed,
          runtime: context.runtime,
          rows: ({ sampler }) => [10, 50].map((steps) => ({ name: `${steps} steps`, sampler, steps, guidance: 1 })),
          data,
        }),
    },
    context,
  );
}
