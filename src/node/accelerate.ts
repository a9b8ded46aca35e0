// Makes a few-step student of a pretrained teacher.
import { canBeGuided, classCount } from "../condition.ts";
import type { Dataset } from "../data/dataset.ts";
import { middleFeatures } from "../nn/features.ts";
import { fold, key } from "../random.ts";
import type { SampleKind, Start } from "../recipes/recipe.ts";
import { checkStages } from "../run/check.ts";
import { outline, stagesOf } from "../run/outline.ts";
import type { PreviewRow } from "../run/preview.ts";
import { type AccelerateOptions, standardTraining, trainingOf } from "./accelerateOptions.ts";
import {
  changedStart,
  nextOfText,
  pairConditions,
  promptsOf,
  splitLowRank,
  type TextGiven,
  textTeacher,
} from "./accelerateText.ts";
import type { Context } from "./context.ts";
import { UsageError, usage } from "./failure.ts";
import { openData } from "./files.ts";
import { type AnyRecipe, kindOf, methodNamed, presetOf, refuseIdle, resolveMethod } from "./methods.ts";
import { checkUntold, type LoadedModel, loadModel, withClasses } from "./models.ts";
import { flagName } from "./options.ts";
import { bytesPerPair } from "./pairShards.ts";
import { previews } from "./previews.ts";
import { beginning } from "./student.ts";
import { cardOf } from "./studentCard.ts";
import { isTextFolder } from "./textTeacher.ts";
import { type Launch, launch, type RunResult } from "./training.ts";
import { absolute, checkBudget } from "./trainingOptions.ts";

/** Samples below which a paper's values are hardly what is wanted. */
const SMALL = 100_000;

export interface Prepared {
  /** Training, ready to begin. */
  readonly launch: Launch;
  /** What is asked for, all defaults filled in; `wanted` are the method's own options. */
  readonly options: Resolved["options"];
  readonly wanted: Readonly<Record<string, unknown>>;
  readonly loaded: LoadedModel;
  readonly recipe: AnyRecipe;
  /** What is said when all is done. */
  readonly hint?: string;
  /** Gives back what encoders of texts and pictures hold. */
  dispose(): Promise<void>;
}

/** Trains the student, and returns where it is; undefined after --dry-run. */
export function accelerateTeacher(parsed: object, context: Context): Promise<RunResult | undefined> {
  const given = parsed as AccelerateOptions;
  return accelerateWith(methodNamed(given.method), given, context);
}

/** The same by any recipe; `teacherModel` is the one that `given.teacher` names, where it is loaded already. */
export async function accelerateWith(
  recipe: AnyRecipe,
  given: AccelerateOptions,
  context: Context,
  teacherModel?: LoadedModel,
): Promise<RunResult | undefined> {
  // Which values are for small data follows from the teacher's samples.
  const opened =
    teacherModel ??
    (given.preset === "small" && !(await isTextFolder(given.teacher))
      ? await loadModel(given.teacher, { nullClass: given.nullClass })
      : undefined);
  const resolved = resolveOptions(given, opened ? kindOf(opened.model.sampleShape) : "images", recipe);
  const { launch: job, hint, dispose } = await prepare(resolved, context, opened);
  try {
    const result = await launch(job, context);
    if (hint) context.report.note(hint);
    return result;
  } finally {
    await dispose();
  }
}

export interface Resolved extends ReturnType<typeof resolveOptions> {}

/** Options as they hold: what is given, the preset for samples of this kind, the defaults. Throws UsageError for what does not go together. */
export function resolveOptions(
  parsed: object,
  kind: SampleKind,
  recipe = methodNamed((parsed as AccelerateOptions).method),
) {
  const given = parsed as AccelerateOptions;
  checkBudget(given);
  const preset = presetOf(recipe, given.preset, kind);
  const { forMethod, lowRank } = splitLowRank(recipe, given);
  const asked = resolveMethod(recipe, forMethod, preset);
  const settled = given.resume !== undefined;
  if (!settled) refuseIdle(recipe, asked, forMethod, preset);
  const standard = { ...recipe.training, ...preset };
  const options = {
    ...given,
    ...asked,
    ...trainingOf(given, standard),
    teacher: absolute(given.teacher),
    data: given.data && absolute(given.data),
    ...(given.student && !given.student.startsWith("fresh") ? { student: absolute(given.student) } : {}),
    ...(given.pairsDir ? { pairsDir: absolute(given.pairsDir) } : {}),
    ...(given.cacheDir ? { cacheDir: absolute(given.cacheDir) } : {}),
    ...(given.previewPrompts ? { previewPrompts: absolute(given.previewPrompts) } : {}),
    lr: given.lr ?? standard.lr,
    ema: given.ema ?? standard.ema,
    ...(given.minutes === undefined ? { images: given.images ?? standard.images } : {}),
  };
  const needs = recipe.needs(asked);
  if (needs.includes("data") && options.data === undefined)
    throw new UsageError(`--data is missing: ${recipe.name} learns from data.`);
  return { given: forMethod, recipe, preset, asked, needs, settled, options, lowRank };
}

/**
 * Opens teacher (unless `held` is one that is open already) and data, and sees whether they fit.
 * Throws UsageError or Error, a sentence, where they do not.
 */
export async function prepare(resolved: Resolved, context: Context, held?: LoadedModel): Promise<Prepared> {
  const { given, recipe, preset, asked, needs, settled, options, lowRank } = resolved;
  await context.runtime.supports(options.precision);
  const seed = fold(key(context.seed), "change");
  const text = held ? undefined : await textTeacher(options as TextGiven, lowRank, seed, context);
  const found = held ?? text?.loaded ?? (await loadModel(options.teacher, { nullClass: given.nullClass }));
  if (!text) checkUntold(found);
  if (found.kind === "exact" && options.precision === "float16")
    throw new UsageError(`--precision float16 loses the distances that ${found.name} is made of: use float32.`);
  if (found.spec.length === 0) throw new Error(`${found.path} has no weights that could be trained.`);
  // What is lacking whatever the data say: those may tell that the last class means "no class".
  checkNeeds(
    recipe,
    classCount(found.model.conditions) > 0 ? needs.filter((n) => n !== "guidance") : needs,
    found,
    given,
  );
  const data =
    options.data === undefined ? undefined : await (text?.openData(options.data) ?? openFor(found, options.data));
  const dataClasses = data && data.classes > 0 ? data.classes : undefined;
  const loaded = text ? found : withClasses(found, { nullClass: given.nullClass, dataClasses });
  for (const note of [...loaded.notes, ...(data?.notes ?? [])]) context.report.note(note);
  const begun = text ?? { start: await beginning(loaded, options.student, context.seed), base: undefined };
  const { start: teacher, base } = lowRank && !text ? changedStart(begun.start, lowRank, seed) : begun;
  const latents = text && data ? await text.shown(await promptsOf(options.previewPrompts, data)) : undefined;
  const wanted = recipe.resolve?.(teacher, asked) ?? asked;
  checkNeeds(recipe, needs, loaded, given, teacher);
  if (!settled) refuseIdle(recipe, wanted, given, preset, teacher);
  const limited = "pairs" in wanted ? { ...wanted, pairs: pairCount(loaded, wanted.pairs, given.pairsMb) } : wanted;
  const stages = stagesOf(recipe, teacher, limited, fold(key(context.seed), "recipe"));
  const all = usage(() => outline(stages));
  const { drops } = usage(() => checkStages(all, { batch: options.batch, teacher }));
  if (!drops && !settled && given.dropLabels !== undefined && given.dropLabels !== standardTraining.dropLabels)
    context.report.note(
      `--drop-labels ${given.dropLabels} does nothing: ${recipe.name} drops no labels of ${loaded.name}.`,
    );
  const [first] = all;
  if (all.some(({ model }) => (model.own ?? model.prediction).name !== teacher.model.prediction.name))
    context.report.note(
      `The teacher predicts ${teacher.model.prediction.name} and the student ${(first.model.own ?? first.model.prediction).name}: the network has to relearn what its output means.`,
    );
  const { model, theta } = teacher;
  const stored = { ...options, ...wanted, ...lowRank };
  const windows = typeof wanted.windows === "number" ? wanted.windows : undefined;
  const name = { method: recipe.name, data: options.data ?? loaded.name, windows, batch: options.batch };
  const guidance = typeof wanted.guidance === "number" ? wanted.guidance : 1;
  const card = cardOf(recipe, { loaded, data, dataName: name.data, guidance, options: wanted }, context);
  const job: Launch = {
    command: "accelerate",
    method: recipe.name,
    stages,
    data,
    options,
    stored,
    name,
    teacher: loaded.hash,
    card,
    about: (run, images) =>
      `${run.path}: ${recipe.name} of ${loaded.name}, ${images.toLocaleString("en-US")} images${theta.length > 0 ? `, ${theta.length.toLocaleString("en-US")} parameters` : ""}.`,
    preview: (run) =>
      previews({
        folder: run.samples,
        seed: context.seed,
        runtime: context.runtime,
        teacher: {
          ...teacher,
          rows: rowsOf(
            "teacher",
            teacherSteps(loaded, [text ? 25 : 50, ...first.sampler.steps]),
            loaded.sampler,
            guidance,
          ),
        },
        rows: ({ sampler }) => rowsOf("student", sampler.steps, sampler, 1),
        data,
        latents,
      }),
    pairsDir: options.pairsDir,
    base: lowRank ? base : undefined,
    ...(text && data ? { cond: pairConditions(data), next: nextOfText } : {}),
  };
  const paper = data && data.size < SMALL && given.preset === "paper" && recipe.small;
  const hint = paper
    ? `These are the paper's values, for large models and data. ${data.size.toLocaleString("en-US")} samples are few: --preset small has values for them.`
    : undefined;
  return { launch: job, options, wanted: limited, loaded, recipe, hint, dispose: async () => text?.dispose() };

  function teacherSteps(of: LoadedModel, steps: readonly number[]): number[] {
    // A teacher with windows cannot take fewer steps than those.
    return steps.filter((n) => n >= (of.model.form.windows?.count ?? model.form.windows?.count ?? 1));
  }
}

const rowsOf = (
  who: string,
  steps: readonly number[],
  sampler: PreviewRow["sampler"],
  guidance: number,
): PreviewRow[] => steps.map((n) => ({ name: `${who}, ${n} step${n === 1 ? "" : "s"}`, steps: n, sampler, guidance }));

/** Throws UsageError with everything that the teacher lacks. */
function checkNeeds(
  recipe: AnyRecipe,
  needs: readonly string[],
  { model, network: theirs, name }: LoadedModel,
  given: AccelerateOptions,
  start?: Start,
): void {
  const lacking: string[] = [];
  const network = start?.network ?? theirs;
  if (needs.includes("weights") && (start?.asked !== undefined || theirs.family === "exact"))
    lacking.push("it looks inside the teacher, so the student has to begin as the teacher");
  if (needs.includes("guidance") && !canBeGuided(model.conditions))
    lacking.push(
      `guidance needs a teacher with classes and a "no label", and ${name} has ${classCount(model.conditions) > 0 ? "no such label" : "no classes"}: use --guidance 1`,
    );
  if (needs.includes("features") && network.family !== "exact" && !middleFeatures(network))
    lacking.push("its discriminator looks inside the network, and an ONNX file does not say what is inside");
  if (needs.includes("network") && network.family === "onnx")
    lacking.push("it tells the network more than an ONNX file takes");
  if (given.gradientCheckpointing && network.family === "onnx")
    lacking.push(
      "--gradient-checkpointing needs a network of blocks, and an ONNX file does not say where its blocks are: use a smaller --batch",
    );
  const idle = (["pairsMb", "pairsDir"] as const).filter((key) => given[key] !== undefined);
  if (!needs.includes("pairs") && idle.length > 0)
    lacking.push(`it makes no pairs here, so leave out ${idle.map((key) => `--${flagName(key)}`).join(" and ")}`);
  if (lacking.length > 0) throw new UsageError(`${recipe.name} cannot be done with ${name}: ${lacking.join("; ")}.`);
}

/** Data that fits the teacher: its shape and its classes. */
async function openFor({ model, name }: LoadedModel, path: string): Promise<Dataset> {
  const [c, h = 1, w = 1] = model.sampleShape;
  const data = await openData(path, { shape: [c, h, w] });
  const classes = classCount(model.conditions);
  if (classes === 0) return data;
  if (data.classes === 0) throw new Error(`${path} has no classes, but ${name} is conditioned on ${classes}.`);
  if (data.classes > classes)
    throw new Error(`${path} has ${data.classes} classes, but ${name} is conditioned on ${classes}.`);
  return data;
}

/** As many pairs as asked for and as fit on the disk space asked for. */
function pairCount({ model }: LoadedModel, pairs: unknown, megabytes: number | undefined): number {
  const bytes = bytesPerPair(model);
  const fit = megabytes === undefined ? Number(pairs) : Math.floor((megabytes * 1e6) / bytes);
  if (fit < 1) throw new UsageError(`--pairs-mb ${megabytes} has no room for a single pair of ${bytes} bytes.`);
  return Math.min(Number(pairs), fit);
}
