// The runs that a plan asks for: their options, what the budget leaves of them, and how its teacher is trained.
import type * as z from "zod";
import { type Resolved, resolveOptions } from "../accelerate.ts";
import { accelerateOptions } from "../accelerateOptions.ts";
import { sentence, UsageError } from "../failure.ts";
import { methodNamed, methodOptions } from "../methods.ts";
import { flagName, parseOptions, valuesOf } from "../options.ts";
import { trainOptions } from "../train.ts";
import type { Entry, Plan } from "./planSchema.ts";

/** What a plan says of a run elsewhere, or what a comparison decides. */
const reserved = [
  ...["teacher", "student", "method", "data", "preset", "images", "minutes", "out", "run", "resume"],
  ...["dryRun", "saveEvery", "previewEvery", "pairsMb", "ignoreMemory", "log"],
];

/** By their names in code. Throws UsageError for options that do not exist or have wrong values, or that a plan says elsewhere. */
export function keyed(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const found = Object.entries(given).map(([flag, value]) => {
    try {
      return { value: valuesOf({ [flag]: value }, "the plan", accelerateOptions) };
    } catch (error) {
      return { problem: sentence(error).replace(/\.$/, "") };
    }
  });
  const values = Object.assign({}, ...found.map(({ value }) => value)) as Record<string, unknown>;
  const taken = Object.keys(values).filter((key) => reserved.includes(key));
  const problems = [
    ...found.flatMap(({ problem }) => problem ?? []),
    ...(taken.length > 0
      ? [`${taken.map(flagName).join(", ")} cannot be an option here: the plan says it elsewhere`]
      : []),
    ...wrongValues(accelerateOptions.partial(), values),
  ];
  if (problems.length > 0) throw new UsageError(problems.join(", and "));
  return values;
}

/** How the teacher of a plan is trained. */
export function trainingOf(plan: Plan) {
  const given = typeof plan.teacher === "string" ? {} : plan.teacher.train;
  const values = valuesOf({ data: plan.data, ...given }, "the plan", trainOptions);
  const taken = ["out", "run", "resume", "dryRun", "minutes"].filter((key) => key in values);
  if (taken.length > 0)
    throw new UsageError(`${taken.map(flagName).join(", ")} cannot be an option of a plan's teacher`);
  return parseOptions(trainOptions, values);
}

export interface Asked {
  readonly resolved: Resolved;
  /** What the budget leaves. */
  readonly images?: number;
  readonly pairs: number;
  /** The teacher's network evaluations, where images are the budget. */
  readonly teacherEvaluations?: number;
  readonly perImage: number;
  readonly perPair: number;
  /** What the budget changed. */
  readonly notes: readonly string[];
}

/** The options of a run. Throws UsageError where they do not go together, or do not fit the budget. */
export function optionsOf(plan: Plan, entry: Entry, teacher: string): Asked {
  const recipe = methodNamed(entry.method);
  const shared = Object.entries(keyed(plan.options)).filter(
    ([k]) => !(k in methodOptions) || k in recipe.options.shape,
  );
  const own = { ...Object.fromEntries(shared), ...keyed(entry.options) };
  const { images, minutes, teacherEvaluations } = plan.budget;
  const given = {
    ...own,
    teacher: entry.teacher ?? teacher,
    method: entry.method,
    data: plan.data,
    preset: plan.preset,
    ...((entry.student ?? plan.student) ? { student: entry.student ?? plan.student } : {}),
    ...(minutes === undefined ? { images } : { minutes }),
  };
  // The teacher may be one that is still to be trained, so what its samples are is told by the data.
  const kind = plan.data.startsWith("toy:") ? "points" : "images";
  const resolve = (more: object) => resolveOptions(parsed({ ...given, ...more }), kind);
  const first = resolve({});
  const { perImage, perPair } = recipe.teacherNfe(first.asked);
  const makes = first.needs.includes("pairs");
  let pairs = makes && "pairs" in first.asked ? Number(first.asked.pairs) : 0;
  if (images === undefined) return { resolved: first, pairs, perImage, perPair, notes: [] };
  if (teacherEvaluations === undefined)
    return {
      resolved: first,
      images,
      pairs,
      perImage,
      perPair,
      teacherEvaluations: images * perImage + pairs * perPair,
      notes: [],
    };
  const notes: string[] = [];
  const room = perImage > 0 ? Math.floor(teacherEvaluations / 2) : teacherEvaluations;
  if (pairs * perPair > (own.pairs === undefined ? room : teacherEvaluations)) {
    const fit = Math.floor(room / perPair);
    if (own.pairs !== undefined || fit < 1)
      throw new UsageError(
        `${pairs} pairs take ${pairs * perPair} evaluations of the teacher, more than the budget's ${teacherEvaluations}; ${fit} would fit`,
      );
    notes.push(
      `${entry.name} makes ${fit.toLocaleString("en-US")} pairs in place of ${pairs.toLocaleString("en-US")}: the budget has no more evaluations of the teacher.`,
    );
    pairs = fit;
  }
  const left = teacherEvaluations - pairs * perPair;
  const batch = Number(first.options.batch);
  const affordable = perImage > 0 ? Math.floor(left / perImage) : images;
  if (affordable < Math.min(batch, images))
    throw new UsageError(
      `${teacherEvaluations} evaluations of the teacher are enough for ${affordable} images, which is no batch of ${batch}`,
    );
  // Training goes by whole batches: one that is begun would ask for more than the budget has.
  const seen = affordable >= Math.ceil(images / batch) * batch ? images : Math.floor(affordable / batch) * batch;
  if (seen < images)
    notes.push(
      `${entry.name} sees ${seen.toLocaleString("en-US")} images in place of ${images.toLocaleString("en-US")}: the budget has no more evaluations of the teacher.`,
    );
  const resolved = resolve({ images: seen, ...(makes && "pairs" in first.asked ? { pairs } : {}) });
  return {
    resolved,
    images: seen,
    pairs,
    perImage,
    perPair,
    teacherEvaluations: seen * perImage + pairs * perPair,
    notes,
  };
}

/** Throws UsageError naming every option that has a wrong value. */
function parsed(values: object): object {
  const result = accelerateOptions.safeParse(values);
  if (result.success) return result.data;
  throw new UsageError(wrongValues(accelerateOptions, values).join(", "));
}

const wrongValues = (schema: z.ZodType, values: object): string[] =>
  (schema.safeParse(values).error?.issues ?? []).map(
    ({ path, message }) => `${flagName(String(path[0]))}: ${message.replace(/^Invalid input: /, "")}`,
  );
