// What a comparison measures of a model: metrics at every number of steps, paths, and samples for pictures. All is kept
// beside the run, under a hash of how it was measured.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { classCount } from "../../condition.ts";
import type { Measured } from "../../metrics/index.ts";
import { sampleAll } from "../../run/sample.ts";
import { makeFolder } from "../atomic.ts";
import type { Context } from "../context.ts";
import { endsOfTeacher, gridOf, measureModel, samplerOf, solverOf, windowsOf } from "../evaluation.ts";
import type { Measuring } from "../features.ts";
import { readSafetensors, writeJson, writeSafetensors } from "../files.ts";
import type { LoadedModel } from "../models.ts";
import type { Plan } from "./planSchema.ts";
import { canonical, keyOf } from "./runs.ts";
import { numbersSchema, readStored } from "./stored.ts";

/** A model at one number of steps. */
export interface At {
  readonly steps: number;
  /** Network evaluations per sample. */
  readonly nfe: number;
  readonly seconds: number;
  readonly values: Readonly<Record<string, Measured>>;
}

/** Along the model's own flow, followed finely; null where that could not be measured. */
export interface PathNumbers {
  readonly straightness: number | null;
  readonly firstOrder: number | null;
}

export interface Numbers {
  readonly at: readonly At[];
  readonly flow: PathNumbers;
  /** Along the sampler's own steps, for two and more. */
  readonly steps: readonly ({ readonly steps: number } & PathNumbers)[];
  readonly notes: readonly string[];
}

/** What all models of one seed are measured by. */
export interface Scale {
  readonly measured?: Measuring;
  /** Names what the numbers depend on besides the model. */
  readonly identity: object;
  readonly ends?: Float32Array;
}

export interface Wanted {
  readonly steps: readonly number[];
  readonly guidance: number;
  readonly role: "teacher" | "student";
  /** Curves look at the metrics alone. */
  readonly paths: boolean;
}

/** The numbers of a model; read where they are in `cache`, else measured and kept there. */
export async function numbersOf(
  model: LoadedModel,
  cache: string,
  { steps, guidance, role, paths }: Wanted,
  { measured, identity, ends }: Scale,
  plan: Plan,
  context: Context,
): Promise<Numbers> {
  const possible = steps.filter((k) => k >= windowsOf(model));
  const o = {
    steps: possible,
    n: plan.n,
    batch: Math.min(plan.batch, plan.n),
    teacherSteps: plan.teacherSteps,
    pathSteps: paths ? plan.pathSteps : 0,
    pathSamples: plan.pathSamples,
  };
  const what = { kind: "numbers", model: model.hash, sampler: model.sampler, form: model.model.form.spec, ...o };
  const key = await keyOf({ ...what, guidance, seed: context.seed, identity });
  const file = join(cache, `${key}.json`);
  if (await exists(file)) return readStored(file, numbersSchema);
  if (possible.length === 0) return { at: [], flow: nothing, steps: [], notes: [] };
  const notes: string[] = [];
  const result = await measureModel(model, { role, guidance, measured, ends }, o, notes, context);
  const fine = result.paths.find((path) => path.fine)?.whole;
  const numbers: Numbers = {
    at: result.evaluations.map(({ steps, nfe, seconds, values }) => ({ steps, nfe, seconds, values })),
    flow: fine ? numbersIn(fine) : nothing,
    steps: result.paths.flatMap((path) => (path.fine ? [] : [{ steps: path.steps, ...numbersIn(path.whole) }])),
    notes,
  };
  await makeFolder(cache);
  await writeJson(file, numbers);
  return numbers;
}

const nothing: PathNumbers = { straightness: null, firstOrder: null };
const numbersIn = ({ straightness, firstOrder }: PathNumbers): PathNumbers => ({ straightness, firstOrder });

/** Where the teacher ends from the noise of a seed; read where it is kept. */
export async function keptEnds(
  teacher: LoadedModel,
  cache: string,
  guidance: number,
  plan: Plan,
  context: Context,
): Promise<Float32Array> {
  const o = { n: plan.n, batch: Math.min(plan.batch, plan.n), steps: [], pathSteps: 0, pathSamples: 0 };
  const { teacherSteps } = plan;
  const key = await keyOf({ kind: "ends", model: teacher.hash, n: plan.n, guidance, teacherSteps, seed: context.seed });
  return kept(join(cache, `${key}.safetensors`), [plan.n, ...teacher.model.sampleShape], () =>
    endsOfTeacher(teacher, guidance, { ...o, teacherSteps }, context),
  );
}

/** Samples for pictures: the first ones of a seed's noise. */
export async function shownSamples(
  model: LoadedModel,
  cache: string,
  { steps, guidance, n }: { readonly steps: number; readonly guidance: number; readonly n: number },
  context: Context,
): Promise<Float32Array> {
  const { seed } = context;
  const key = await keyOf({ kind: "shown", model: model.hash, sampler: model.sampler, steps, guidance, n, seed });
  return kept(join(cache, `${key}.safetensors`), [n, ...model.model.sampleShape], async () => {
    const o = { n, batch: Math.min(n, 256), steps: [], pathSteps: 0, pathSamples: 0, teacherSteps: 1 };
    const ready = await samplerOf({ ...model }, guidance, o, context);
    try {
      return (await sampleAll(ready, { n, seed, solver: solverOf(model, o), times: gridOf(model, steps) })).x;
    } finally {
      await ready.dispose();
    }
  });
}

/** Samples in a row of a picture: in the plane as many as show a density, else one of every class, or ten. */
export function shownCount({ model }: LoadedModel): number {
  if (model.sampleShape.slice(1).every((size) => size === 1)) return 1000;
  return Math.min(12, Math.max(10, classCount(model.conditions)));
}

async function kept(file: string, shape: readonly number[], make: () => Promise<Float32Array>): Promise<Float32Array> {
  if (await exists(file)) {
    const found = (await readSafetensors(file)).tensors.get("x");
    if (found?.data instanceof Float32Array && found.shape.join() === shape.join()) return found.data;
  }
  const data = await make();
  await makeFolder(join(file, ".."));
  await writeSafetensors(file, { x: { shape: [...shape], data } });
  return data;
}

/** Tells one way to compare from another: the network, the reference, how much of it. */
export const identityOf = (measured: Measuring | undefined, reference: string, ends: string): object => ({
  protocol: canonical(measured?.protocol ?? null),
  metrics: measured?.metrics.map(({ name }) => name) ?? [],
  reference,
  ends,
});

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
