// What is wrong with a plan beside its teacher and its data, all at once and before any work.
import { canBeGuided } from "../../condition.ts";
import { coefficients } from "../../core/index.ts";
import { unflatten } from "../../nn/params.ts";
import { outline } from "../../run/outline.ts";
import { prepare } from "../accelerate.ts";
import { windowsOf } from "../evaluation.ts";
import { sentence } from "../failure.ts";
import { fewestSamples, openFeatures } from "../features.ts";
import { type LoadedModel, loadModel, plainSampler } from "../models.ts";
import { untrained } from "../train.ts";
import { optionsOf, trainingOf } from "./asked.ts";
import type { ReadPlan } from "./plan.ts";
import { type Entry, type Plan, problemsOf } from "./planSchema.ts";
import type { Bench } from "./runs.ts";

export interface Checked {
  /** What an entry's student is sampled as. */
  readonly entry: Entry;
  /** Steps that its windows allow. */
  readonly steps: readonly number[];
  readonly stages: Parameters<typeof outline>[0];
  readonly images?: number;
  readonly pairs: number;
  readonly perImage: number;
  readonly perPair: number;
  readonly notes: readonly string[];
}

/** The teacher of the first seed, or a network that stands in for one that is still to be trained. */
export async function standIn({ plan, data, context }: Bench): Promise<LoadedModel> {
  if (typeof plan.teacher === "string") return loadModel(plan.teacher);
  const start = untrained(trainingOf(plan), data, context.seed);
  const { model, network, timeInput, spec, theta } = start;
  const params = unflatten(spec, theta);
  const fixed = {
    hash: "",
    path: "teacher",
    name: "teacher",
    kind: "fewstep",
    sampler: plainSampler,
    notes: [],
  } as const;
  return { model, network, timeInput, spec, theta, params, ...fixed };
}

/** Throws UsageError with all problems of the plan, those of reading it first. */
export async function checkPlan(bench: Bench, read: ReadPlan): Promise<readonly Checked[]> {
  const { plan, file, context } = bench;
  const problems: string[] = [...read.problems];
  const checked: Checked[] = [];
  const caught = (name: string) => (error: unknown) => {
    problems.push(`${name}: ${sentence(error)}`);
    return undefined;
  };
  problems.push(...(await metricProblems(bench)));
  const teacher = read.teacher ? await standIn(bench).catch(caught("teacher")) : undefined;
  for (const entry of read.entries) {
    const own = entry.teacher === undefined ? teacher : await loadModel(entry.teacher).catch(caught(entry.name));
    if (!own) continue;
    if (own.model.sampleShape.join() !== shapeOf(bench)) {
      const shape = own.model.sampleShape.join(" x ");
      problems.push(
        `${entry.name}: its teacher makes samples of ${shape}, the data are of ${bench.data.shape.join(" x ")}`,
      );
      continue;
    }
    const found = await checkEntry(plan, entry, own, bench).catch(caught(entry.name));
    if (found) checked.push(found);
  }
  if (problems.length > 0) throw problemsOf(file, [...new Set(problems)]);
  for (const note of checked.flatMap(({ notes }) => notes)) context.report.note(note);
  return checked;
}

const shapeOf = ({ data: { shape } }: Bench): string =>
  (shape[1] === 1 && shape[2] === 1 ? shape.slice(0, 1) : shape).join();

async function checkEntry(plan: Plan, entry: Entry, teacher: LoadedModel, { context }: Bench): Promise<Checked> {
  const { resolved, notes, images, pairs, perImage, perPair } = optionsOf(plan, entry, teacher.path);
  const held = teacher.hash === "" ? teacher : undefined;
  const { launch } = await prepare(resolved, context, held ?? teacher);
  const last = outline(launch.stages).at(-1);
  if (!last) throw new Error("it has no stages");
  const windows = windowsOf(last);
  const steps = entry.steps.filter((n) => n >= windows);
  if (steps.length === 0)
    throw new Error(`it has ${windows} windows, and none of the steps ${entry.steps.join(", ")} is as many`);
  if (entry.guidance !== 1 && !canBeGuided(last.model.conditions) && !last.model.conditions.guidance)
    throw new Error(`guidance ${entry.guidance} needs a model with classes, and it has none`);
  coefficients(last.model.form, last.model.form.tMax, last.model.prediction, [1, 0]);
  const dropped = entry.steps.filter((n) => n < windows);
  const said =
    dropped.length > 0
      ? [`${entry.name} has ${windows} windows, so it is not measured with ${dropped.join(", ")} steps.`]
      : [];
  return { entry, steps, stages: launch.stages, images, pairs, perImage, perPair, notes: [...notes, ...said] };
}

/** Metrics that the data, the features or the number of samples do not allow. */
async function metricProblems({ plan, data, context }: Bench): Promise<string[]> {
  const wanted = (plan.metrics ?? []).filter((name) => name !== "endpoint");
  const plane = data.shape.join() === "2,1,1";
  const problems: string[] = [];
  for (const name of wanted) {
    if (plane && (name === "frechet" || name === "kid"))
      problems.push(
        `metrics: ${name} compares features of images, and ${data.name} are points; use ${name === "kid" ? "gaussian-mmd" : "sliced-wasserstein"}`,
      );
    if (!plane && (name === "sliced-wasserstein" || name === "gaussian-mmd"))
      problems.push(
        `metrics: ${name} compares points of the plane, and ${data.name} are images; use ${name === "gaussian-mmd" ? "kid" : "frechet"}`,
      );
  }
  let dim = plan.features === "none" || !plane ? undefined : 2;
  if (plan.features !== "none")
    try {
      const features = await openFeatures(plan.features, data, context.runtime);
      dim = features?.dim ?? dim;
      await features?.dispose();
    } catch (error) {
      return [...problems, `features: ${sentence(error)}`];
    }
  if (wanted.length === 0) return problems;
  if (dim === undefined)
    problems.push(`metrics: there are no features for ${data.name}, so only endpoint can be measured; give "features"`);
  else if (plan.n < fewestSamples(dim))
    problems.push(`n: ${plan.n} samples are too few to be compared; at least ${fewestSamples(dim)} are needed`);
  return problems;
}
