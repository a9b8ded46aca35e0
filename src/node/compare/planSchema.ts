// What a plan of `fewstep compare` may hold, and what is said of one that holds something else.
import * as z from "zod";
import { brief, sentenceOf, listed as some } from "../../core/show.ts";
import { UsageError } from "../failure.ts";

/** Problems that a message lists. */
const MOST_LISTED = 30;
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

export const planSchema = z.strictObject({
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

export function problemsOf(file: string, problems: readonly string[]): UsageError {
  const texts = problems.map((text) => sentenceOf(text, 300).replace(/\.$/, ""));
  if (problems.length === 1) return new UsageError(`${file} cannot be run: ${texts[0]}.`);
  const listed = texts.slice(0, MOST_LISTED).map((text, i) => `(${i + 1}) ${text}`);
  if (texts.length > MOST_LISTED) listed.push(`and ${texts.length - MOST_LISTED} more`);
  return new UsageError(`${file} cannot be run, for ${problems.length} reasons: ${listed.join("; ")}.`);
}

/** In words, with the place in the plan. */
export function said(issue: z.core.$ZodIssue): string {
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
