// A plan of `fewstep compare`: what it may hold, and the runs that it asks for. All that is wrong is said at once.
import * as z from "zod";
import { brief, sentenceOf, listed as some } from "../../core/show.ts";
import { type Resolved, resolveOptions } from "../accelerate.ts";
import { accelerateOptions } from "../accelerateOptions.ts";
import { sentence, UsageError } from "../failure.ts";
import { methodNamed, methodOptions } from "../methods.ts";
import { flagName, parseOptions, valuesOf } from "../options.ts";
import { trainOptions } from "../train.ts";

/** Problems that a message lists. */
const MOST_LISTED = 12;
const count = z.int().positive();
const options = z.record(z.string(), z.unknown());

/** Names of metrics in reports, in the order of their columns. */
export const metricNames = [
  "frechet",
  "kid",
  "sliced-wasserstein",
  "gaussian-mmd",
  "precision",
  "recall",
  "endpoint",
] as const;
export type MetricName = (typeof metricNames)[number];

const entrySchema = z.strictObject({
  method: z.string(),
  /** What tables call it. Default: the method. */
  name: z.string().min(1).max(60).optional(),
  options: options.default({}),
  /** Another teacher or beginning than the plan's. */
  teacher: z.string().optional(),
  student: z.string().optional(),
  /** Guidance of its samples. Default the plan's. */
  guidance: z.number().optional(),
  /** Steps that it is measured at. Default the plan's. */
  steps: z.array(count).min(1).max(100).optional(),
});

const planSchema = z.strictObject({
  title: z.string().max(200).default("Methods compared"),
  data: z.string(),
  /** Which part of the data samples are compared to. */
  reference: z.enum(["train", "test"]).default("train"),
  /** A model, "exact:<data>", or how one is trained from each seed. */
  teacher: z.union([z.string(), z.strictObject({ train: options })]),
  student: z.string().optional(),
  preset: z.enum(["paper", "small"]).default("paper"),
  methods: z
    .array(z.union([z.string(), entrySchema]))
    .min(1)
    .max(100),
  /** For all methods that have them. */
  options: options.default({}),
  budget: z.strictObject({
    images: count.optional(),
    /** The teacher's network evaluations, of pairs that are made beforehand too. */
    teacherEvaluations: count.optional(),
    minutes: z.number().positive().optional(),
  }),
  seeds: z.array(z.int().nonnegative()).min(1).max(1000).default([0]),
  steps: z.array(count).min(1).max(100),
  metrics: z.array(z.enum(metricNames)).min(1).optional(),
  features: z.string().default("auto"),
  n: count.default(1000),
  batch: count.default(256),
  guidance: z.number().default(1),
  teacherSteps: count.default(50),
  pathSteps: z.int().nonnegative().default(100),
  pathSamples: count.default(64),
  /** Points of the curves over training; 0: none. */
  curve: z.int().nonnegative().max(50).default(4),
});
export type Plan = z.output<typeof planSchema>;
/** A plan as it is written down: what has a default may be left out. */
export type PlanInput = z.input<typeof planSchema>;

export type Entry = Readonly<Required<Pick<z.output<typeof entrySchema>, "name" | "steps" | "guidance">>> &
  Readonly<z.output<typeof entrySchema>>;

/** What a plan says of a run elsewhere, or what a comparison decides. */
const reserved = [
  ...["teacher", "student", "method", "data", "preset", "images", "minutes", "out", "run", "resume"],
  ...["dryRun", "saveEvery", "previewEvery", "pairsMb", "ignoreMemory", "log"],
];

/** Throws UsageError with everything that is wrong with the plan by itself. */
export function readPlan(json: unknown, file: string): { readonly plan: Plan; readonly entries: readonly Entry[] } {
  const parsed = planSchema.safeParse(json);
  if (!parsed.success) throw problemsOf(file, parsed.error.issues.map(said));
  const plan = parsed.data;
  const entries = plan.methods.map((given): Entry => {
    const entry = typeof given === "string" ? { method: given, options: {} } : given;
    const { name = entry.method, steps = plan.steps, guidance = plan.guidance } = entry;
    return { ...entry, name, steps, guidance };
  });
  const problems = [
    ...budgetProblems(plan),
    ...repeated("seed", plan.seeds),
    ...repeated("number of steps", plan.steps),
    ...repeated("metric", plan.metrics ?? []),
    ...repeated(
      "name",
      entries.map(({ name }) => name),
    ).map((text) => `${text}; tell them apart with "name"`),
    ...sharedProblems(plan, entries),
    ...entries.flatMap((entry) => tried(entry.name, () => optionsOf(plan, entry, "teacher"))),
  ];
  if (typeof plan.teacher !== "string") problems.push(...tried("teacher", () => trainingOf(plan)));
  if (problems.length > 0) throw problemsOf(file, problems);
  return { plan, entries };
}

export function problemsOf(file: string, problems: readonly string[]): UsageError {
  const texts = problems.map((text) => sentenceOf(text, 300).replace(/\.$/, ""));
  if (problems.length === 1) return new UsageError(`${file} cannot be run: ${texts[0]}.`);
  const listed = texts.slice(0, MOST_LISTED).map((text, i) => `(${i + 1}) ${text}`);
  if (texts.length > MOST_LISTED) listed.push(`and ${texts.length - MOST_LISTED} more`);
  return new UsageError(`${file} cannot be run, for ${problems.length} reasons: ${listed.join("; ")}.`);
}

function said(issue: z.core.$ZodIssue): string {
  const where = brief(issue.path.map(String).join("."), 80) || "the plan";
  if (issue.code === "unrecognized_keys") {
    const known = issue.path.length === 0 ? ` (there are ${Object.keys(planSchema.shape).join(", ")})` : "";
    return `${where} has no ${some(issue.keys.map((key) => `"${brief(key, 40)}"`))}${known}`;
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const [closest] = [...issue.errors].sort((a, b) => depth(b) - depth(a));
    return closest.map((inner) => said({ ...inner, path: [...issue.path, ...inner.path] })).join(", ");
  }
  const missing = issue.message.match(/^Invalid input: expected (.*), received undefined$/);
  if (missing) return `${where} is missing: expected ${missing[1]}`;
  return `${where}: ${issue.message.replace(/^Invalid input: /, "")}`;
}
/** Of a union's errors, those of the alternative that was meant go deepest. */
const depth = (issues: readonly z.core.$ZodIssue[]) =>
  Math.max(...issues.map(({ path, code }) => path.length + (code === "unrecognized_keys" ? 1 : 0)));

function budgetProblems({ budget: { images, minutes, teacherEvaluations } }: Plan): string[] {
  if (minutes !== undefined && (images !== undefined || teacherEvaluations !== undefined))
    return ["budget: minutes are a budget of their own; give them, or images and teacherEvaluations"];
  if (minutes === undefined && images === undefined)
    return ["budget: give images (and teacherEvaluations, if they are to be limited), or minutes"];
  return [];
}

function repeated(what: string, values: readonly (string | number)[]): string[] {
  const twice = [...new Set(values.filter((value, i) => values.indexOf(value) !== i))];
  return twice.map((value) => `the ${what} ${value} is there twice`);
}

const tried = (name: string, make: () => unknown): string[] => {
  try {
    make();
    return [];
  } catch (error) {
    return [`${name}: ${sentence(error)}`];
  }
};

/** Options for all that no method has. */
function sharedProblems(plan: Plan, entries: readonly Entry[]): string[] {
  return tried("options", () => {
    const shared = keyed(plan.options);
    const methods = entries.flatMap(({ method }) => {
      try {
        return [methodNamed(method)];
      } catch {
        return [];
      }
    });
    for (const key of Object.keys(shared))
      if (key in methodOptions && !methods.some((m) => key in m.options.shape))
        throw new UsageError(`none of the methods has ${flagName(key)}`);
  });
}

/** By their names in code. Throws UsageError for options that do not exist, or that a plan says elsewhere. */
function keyed(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const values = valuesOf(given, "the plan", accelerateOptions);
  const taken = Object.keys(values).filter((key) => reserved.includes(key));
  if (taken.length > 0)
    throw new UsageError(`${taken.map(flagName).join(", ")} cannot be an option here: the plan says it elsewhere`);
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
  const seen = perImage > 0 ? Math.min(images, Math.floor(left / perImage)) : images;
  const batch = Number(first.options.batch);
  if (seen < batch)
    throw new UsageError(
      `${teacherEvaluations} evaluations of the teacher are enough for ${seen} images, which is no batch of ${batch}`,
    );
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
  const texts = result.error.issues.map(
    ({ path, message }) => `${flagName(String(path[0]))}: ${message.replace(/^Invalid input: /, "")}`,
  );
  throw new UsageError(texts.join(", "));
}
