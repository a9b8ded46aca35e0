// Reads a plan of `fewstep compare`. All that is wrong is gathered: what cannot be read is left out, and the rest is looked at too.
import { sentence, UsageError } from "../failure.ts";
import { methodNamed, methodOptions } from "../methods.ts";
import { flagName } from "../options.ts";
import { keyed, optionsOf, trainingOf } from "./asked.ts";
import { type Entry, type Plan, planSchema, problemsOf, said } from "./planSchema.ts";

export interface ReadPlan {
  /** Of a plan with problems, what is left of it. */
  readonly plan: Plan;
  /** Those whose options go together. */
  readonly entries: readonly Entry[];
  readonly problems: readonly string[];
  /** Whether data and teacher are the plan's own. */
  readonly data: boolean;
  readonly teacher: boolean;
}

/** In place of what cannot be read, so that the rest can be looked at. */
const neutral = {
  data: "toy:moons",
  teacher: "",
  methods: [],
  budget: { images: 1e9 },
  steps: [1e6],
} as const;

/** Throws UsageError where it is no plan at all. */
export function readPlan(json: unknown, file: string): ReadPlan {
  const { plan, problems, lost } = readable(json, file);
  const named = plan.methods.map((given): Entry => {
    const entry = typeof given === "string" ? { method: given, options: {} } : given;
    const { name = entry.method, steps = plan.steps, guidance = plan.guidance } = entry;
    return { ...entry, name, steps, guidance };
  });
  const shared = sharedProblems(plan, named);
  const sound = { ...plan, options: shared.length > 0 ? {} : plan.options };
  const wrong = named.map((entry) => [
    ...repeated(`${entry.name}: the number of steps`, entry.steps === plan.steps ? [] : entry.steps),
    ...tried(entry.name, () => optionsOf(sound, entry, "teacher")),
  ]);
  return {
    plan: sound,
    entries: named.filter((_, i) => wrong[i].length === 0),
    problems: [
      ...problems,
      ...budgetProblems(plan),
      ...repeated("the seed", plan.seeds),
      ...repeated("the number of steps", plan.steps),
      ...repeated("the metric", plan.metrics ?? []),
      // The teacher is a row of every table.
      ...repeated("the name", ["teacher", ...named.map(({ name }) => name)]).map(
        (text) => `${text}; tell them apart with "name"`,
      ),
      ...shared,
      ...wrong.flat(),
      ...(typeof plan.teacher === "string" ? [] : tried("teacher", () => trainingOf(plan))),
    ],
    data: !lost.has("data"),
    teacher: !lost.has("teacher"),
  };
}

/** What can be read of a plan, and what is said of the rest. */
function readable(json: unknown, file: string): { plan: Plan; problems: string[]; lost: ReadonlySet<string> } {
  const parsed = planSchema.safeParse(json);
  if (parsed.success) return { plan: parsed.data, problems: [], lost: new Set() };
  const problems = parsed.error.issues.map(said);
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw problemsOf(file, problems);
  const { issues } = parsed.error;
  const lost = new Set(
    issues.flatMap(({ path: [field, i] }) => (field === "methods" && i !== undefined ? [] : [String(field)])),
  );
  const bad = new Set(issues.flatMap(({ path: [field, i] }) => (field === "methods" ? [i] : [])));
  const kept = Object.entries(json).filter(([field]) => field in planSchema.shape && !lost.has(field));
  const fields = Object.fromEntries(kept);
  const methods = Array.isArray(fields.methods) ? fields.methods.filter((_, i) => !bad.has(i)) : [];
  // Without a method no plan is one; here it may have lost all.
  const schema = planSchema.extend({
    methods: planSchema.shape.methods.or(planSchema.shape.methods.element.array().length(0)),
  });
  return { plan: schema.parse({ ...neutral, ...fields, methods }), problems, lost };
}

function budgetProblems({ budget: { images, minutes, teacherEvaluations } }: Plan): string[] {
  if (minutes !== undefined && (images !== undefined || teacherEvaluations !== undefined))
    return ["budget: minutes are a budget of their own; give them, or images and teacherEvaluations"];
  if (minutes === undefined && images === undefined)
    return ["budget: give images (and teacherEvaluations, if they are to be limited), or minutes"];
  return [];
}

function repeated(what: string, values: readonly (string | number)[]): string[] {
  const twice = [...new Set(values.filter((value, i) => values.indexOf(value) !== i))];
  return twice.map((value) => `${what} ${value} is there twice`);
}

const tried = (name: string, make: () => unknown): string[] => {
  try {
    make();
    return [];
  } catch (error) {
    return [`${name}: ${sentence(error)}`];
  }
};

/** Options for all that do not exist, have wrong values, or that no method has. */
function sharedProblems(plan: Plan, entries: readonly Entry[]): string[] {
  const methods = entries.flatMap(({ method }) => {
    try {
      return [methodNamed(method)];
    } catch {
      return [];
    }
  });
  return tried("options", () => {
    const idle = Object.keys(keyed(plan.options)).filter(
      (key) => key in methodOptions && !methods.some((m) => key in m.options.shape),
    );
    if (idle.length > 0) throw new UsageError(`none of the methods has ${idle.map(flagName).join(", ")}`);
  });
}
