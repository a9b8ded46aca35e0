// The options of `accelerate`: its own, those of the methods, and those of training that a preset may set.
import * as z from "zod";
import { type AnyRecipe, allMethods, asGiven, defaultsOf, methodOptions, methods } from "./methods.ts";
import { nullClass } from "./sample.ts";
import { dataText, type TrainingOptions, trainingOptions } from "./trainingOptions.ts";

export const textOptions = {
  resolution: z
    .int()
    .positive()
    .max(2 ** 14)
    .optional()
    .describe("Text to image: sides of the pictures in pixels; default what the U-Net was made for."),
  previewPrompts: z
    .string()
    .optional()
    .describe("Text to image: a file with a prompt per line, shown in pictures of the run; default four captions.")
    .meta({ value: "file" }),
  cacheDir: z
    .string()
    .optional()
    .describe("Text to image: where latents and text states are kept; default the system's cache (FEWSTEP_CACHE).")
    .meta({ value: "dir" }),
  variant: z.string().optional().describe('Text to image: which weights of the folder, "fp16" say.'),
};

export const lowRankOptions = {
  train: z
    .enum(["full", "lora"])
    .default("full")
    .describe("All weights, or only a low-rank change of them, which is written as a LoRA too."),
  rank: z
    .int()
    .nonnegative()
    .max(2 ** 14)
    .optional()
    .describe("--train lora: rank of the change (default 16). swiftbrush: of the critic's; 0: a whole network."),
  alpha: z.number().positive().optional().describe("The change is alpha/rank times the product; default the rank."),
  layers: z.array(z.string()).optional().describe("Layers that are changed; default: all inside blocks."),
};

export const own = {
  teacher: z.string().describe("A model, run or diffusers folder."),
  method: z.string().describe(`One of ${methods.join(", ")}.`),
  data: z
    .string()
    .optional()
    .describe(`${dataText} Of text to image: pictures with captions. Needed but for methods without data.`)
    .meta({ value: "path" }),
  preset: z
    .enum(["paper", "small"])
    .default("paper")
    .describe("What is not given: as in the papers, or for small data and minutes."),
  student: z
    .string()
    .optional()
    .describe(
      'What the student begins as: a model on the teacher\'s form, or "fresh[?network=…&width=…&depth=…]"; default the teacher, fresh where that is exact.',
    )
    .meta({ value: "path" }),
  nullClass,
  pairsMb: z.number().positive().optional().describe("Most megabytes of disk for the teacher's pairs."),
  pairsDir: z
    .string()
    .optional()
    .describe("Where the teacher's pairs are kept and shared; default inside the run.")
    .meta({ value: "dir" }),
  ...textOptions,
};

/** What a preset may set of training: without a default here, so that what is given can be told from what is not. */
export const presettable = {
  ...pick("batch"),
  ...pick("warmup"),
  ...pick("decay"),
  ...pick("clip"),
  ...pick("dropLabels"),
};

function pick(key: "batch" | "warmup" | "decay" | "clip" | "dropLabels"): Record<string, z.ZodType> {
  const schema = trainingOptions[key];
  const text = `${schema.meta()?.description} (default ${String(schema.def.defaultValue)})`;
  return { [key]: schema.unwrap().optional().describe(text) };
}

export const standardTraining = {
  batch: trainingOptions.batch.def.defaultValue,
  warmup: trainingOptions.warmup.def.defaultValue,
  decay: trainingOptions.decay.def.defaultValue,
  clip: trainingOptions.clip.def.defaultValue,
  dropLabels: trainingOptions.dropLabels.def.defaultValue,
};

/** The options of training: what is given, then the preset, then the defaults. */
export function trainingOf(given: AccelerateOptions, standard: Readonly<Record<string, unknown>>) {
  const keys = Object.keys(standardTraining) as (keyof typeof standardTraining)[];
  const chosen = {
    ...standardTraining,
    ...Object.fromEntries(keys.map((k) => [k, given[k] ?? standard[k] ?? standardTraining[k]])),
  };
  return chosen as typeof standardTraining;
}

/** What of training each method has of its own where nothing is given, said of it, or of all. */
function ownTraining(recipes: readonly AnyRecipe[]) {
  const say = (key: "lr" | "ema" | "images") => {
    const text = defaultsOf(recipes.map(({ name, training }) => [name, training[key]]));
    const schema: (typeof trainingOptions)[typeof key] = trainingOptions[key];
    return schema.describe(`${schema.meta()?.description} (${text})`);
  };
  return { lr: say("lr"), ema: say("ema"), images: say("images") };
}

/** What --help lists of one method: its options with its own defaults. */
export const helpOf = (recipe: AnyRecipe) =>
  z.object({
    ...own,
    ...recipe.options.shape,
    ...lowRankOptions,
    ...trainingOptions,
    ...presettable,
    ...ownTraining([recipe]),
  });

export const accelerateOptions = z.object({
  ...own,
  ...methodOptions,
  ...lowRankOptions,
  ...trainingOptions,
  ...presettable,
  ...ownTraining(allMethods),
});

/** The options of one recipe, which may be none of fewstep's own. */
export const optionsOf = (recipe: AnyRecipe) =>
  z.object({ ...own, ...asGiven(recipe), ...lowRankOptions, ...trainingOptions, ...presettable });
export type AccelerateOptions = z.output<z.ZodObject<typeof own>> &
  z.output<z.ZodObject<typeof lowRankOptions>> &
  TrainingOptions &
  Readonly<Record<string, unknown>>;
