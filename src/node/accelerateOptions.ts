// The options of `accelerate`: its own, those of the methods, and those of training that a preset may set.
import * as z from "zod";
import { type AnyRecipe, asGiven, methodOptions, methods } from "./methods.ts";
import { nullClass } from "./sample.ts";
import { type TrainingOptions, trainingOptions } from "./trainingOptions.ts";

export const own = {
  teacher: z.string().describe("A model, run or diffusers folder."),
  method: z.string().describe(`One of ${methods.join(", ")}.`),
  data: z
    .string()
    .optional()
    .describe("Folder of IDX files or class folders, .tar files, or toy:<name>; needed but for methods without data.")
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

export const accelerateOptions = z.object({ ...own, ...methodOptions, ...trainingOptions, ...presettable });

/** The options of one recipe, which may be none of fewstep's own. */
export const optionsOf = (recipe: AnyRecipe) =>
  z.object({ ...own, ...asGiven(recipe), ...trainingOptions, ...presettable });
export type AccelerateOptions = z.output<z.ZodObject<typeof own>> & TrainingOptions & Readonly<Record<string, unknown>>;
