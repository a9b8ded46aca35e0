// A golden step of a method: what its file says, as a stage of our recipe with fixed draws.

import { join } from "node:path";
import { type Clock, clocks } from "../../src/clock.ts";
import type { Cond } from "../../src/condition.ts";
import { type FormSpec, formFromSpec, predictionByName } from "../../src/core/index.ts";
import type { HostDraws } from "../../src/draws.ts";
import { input, type Tensor, type TensorData } from "../../src/graph/index.ts";
import { networkModel } from "../../src/model.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { countParams, type ParamSpec } from "../../src/nn/params.ts";
import { key } from "../../src/random.ts";
import * as recipes from "../../src/recipes/index.ts";
import type { Recipe, Stage, Start } from "../../src/recipes/recipe.ts";
import { startOf } from "../../src/recipes/start.ts";
import { endOfStage } from "../../src/run/outline.ts";
import { type GoldenFile, tensorsIn } from "./folders.ts";

export interface GoldenArray {
  readonly shape: readonly number[];
  readonly dtype?: string;
  readonly data: readonly number[];
}
export type Drawn = Readonly<Record<string, GoldenArray | readonly GoldenArray[]>>;
export interface GoldenPlayer {
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly [what: string]: unknown;
}
export interface MethodGolden {
  readonly method: string;
  readonly case: string;
  readonly form: Record<string, unknown> & { readonly kind: string };
  readonly prediction: string;
  readonly time_input: { readonly scale: number; readonly offset: number; readonly of?: string };
  readonly labelled: boolean;
  readonly networks: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, unknown>>;
}

/** What our options are called, by the golden names; the values are the same. */
const optionNames: Readonly<Record<string, string>> = {
  teacher_solver: "teacherSolver",
  teacher_steps: "teacherSteps",
  sigma_data: "sigmaData",
  critic_guidance: "criticGuidance",
  student_steps: "from",
  embedding_width: "embedding",
  gan_loss: "ganLoss",
  adversarial: "gan",
  teacher: "distill",
  p: "weightPower",
};
/** What becomes of the others; values for which our recipes have no option have to be the ones that they assume. */
const others: Readonly<Record<string, (value: unknown, golden: MethodGolden) => Record<string, unknown>>> = {
  distance: (value, { method }) => {
    const { kind, c, delta } = value as { kind: string; c?: number; delta?: number };
    const scale = c ?? delta;
    return {
      distance: kind,
      ...(scale === undefined ? {} : { distanceScale: scale }),
      ...(method === "instaflow" ? { distillDistance: kind } : {}),
    };
  },
  gan: (value) => {
    const { student, critic } = value as { student: number; critic: number };
    return { gan: student, ganCritic: critic };
  },
  generator_times: (value) => ({ stepTimes: value }),
  // The draws say which.
  generator_step: () => ({}),
  lora: (value) => value as Record<string, unknown>,
  // In timesteps of the table; the draws have both ends.
  skip: (value, { time_input }) => ({ grid: Math.round(time_input.scale / (value as number)) }),
  // A factor, which our recipe reaches step by step: see `ramp` below.
  warmup: () => ({}),
  c: (value, { method }) => (method === "meanflow" ? { weightOffset: value } : { tangentOffset: value }),
};
const assumed: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  diffusion: { distance: "mse" },
  "flow-matching": { distance: "mse" },
  scm: { sigmaData: 1 },
  "rectified-diffusion-cd": { distill: true, boundary: "jump" },
};
/** What our defaults would otherwise add. */
const without: Readonly<Record<string, Record<string, unknown>>> = {
  dmd2: { regression: 0 },
  swiftbrush: { rank: 0 },
  // Its second stage alone: the teacher is a student of Rectified Diffusion already.
  "rectified-diffusion-cd": { rectify: 0 },
};

/** The options of our recipe. Throws an Error for a golden option that it does not have. */
function optionsOf(golden: MethodGolden, recipe: Recipe): Record<string, unknown> {
  const { method, options } = golden;
  const named = Object.entries(options).map(
    ([name, value]) => others[name]?.(value, golden) ?? { [optionNames[name] ?? name]: value },
  );
  const all: Record<string, unknown> = Object.assign({}, without[method], ...named);
  return Object.fromEntries(
    Object.entries(all).filter(([name, value]) => {
      if (name in recipe.options.shape) return true;
      if (assumed[method]?.[name] === value) return false;
      throw new Error(
        `${method} ${golden.case} has ${name} = ${JSON.stringify(value)}, which our recipe does not have.`,
      );
    }),
  );
}

const recipeOf = (method: string): Recipe => {
  const name = method === "dmd2" ? "dmd" : method;
  const all = [...recipes.recipes, recipes.diffusion, recipes.flowMatching] as unknown as readonly Recipe[];
  const found = all.find((one) => one.name === name);
  if (!found) throw new Error(`There is no recipe for the golden method ${method}.`);
  return found;
};

export interface Case {
  readonly stage: Stage;
  /** Weights [P] by "student", "critic", "student.target", in the order of the players' parameters. */
  weights(player: string, average?: string): Float32Array;
}

/** The stage that a case is about. */
export function caseOf(one: GoldenFile<MethodGolden>): Case {
  const { golden } = one;
  const tensors = tensorsIn(join(one.folder, "networks.safetensors"));
  const network = buildNetwork({
    family: "mlp",
    config: { dim: 2, width: 16, depth: 2, classes: golden.labelled ? 3 : null },
  });
  const spec = collect(network);
  const timeInput = { scale: golden.time_input.scale, offset: golden.time_input.offset };
  const { networks } = golden;
  const teacherKey = networks.teacher ?? `${golden.labelled ? "labelled" : "plain"}.teacher`;
  const native = golden.time_input.of !== undefined;
  const table = { kind: "table", schedule: "scaled_linear", betaStart: 0.00085, betaEnd: 0.012, steps: 1000 };
  const form = formFromSpec(specOf(native ? table : golden.form));
  const prediction = predictionByName(native ? "eps" : golden.prediction);
  const model = networkModel(network, form, prediction, timeInput);
  const start = startOf({ model, network, timeInput, spec, theta: flat(spec, [teacherKey], tensors) });
  const recipe = recipeOf(golden.method);
  const stage = stageOf(recipe, recipe.options.parse(optionsOf(golden, recipe)), start);
  return {
    stage,
    weights(name, average) {
      const player = stage.players.find((p) => p.name === name);
      if (!player) throw new Error(`${golden.method} has no player ${name}.`);
      const own = average === "target" ? (networks.target ?? networks.student) : (networks[name] ?? "");
      return flat(player.spec, [own, ...(networks["critic heads"] ? [networks["critic heads"]] : [])], tensors);
    },
  };
}

/** Of several stages the last one that the case can be about: a one-step stage after reflow. */
function stageOf(recipe: Recipe, options: Record<string, unknown>, start: Start): Stage {
  const stages = recipe.stages(start, options, key(0));
  let { value } = stages.next();
  if (recipe.name === "instaflow" && value) value = stages.next(endOfStage(value, value.players[0].start)).value;
  if (!value) throw new Error(`${recipe.name} has no stage.`);
  return value;
}

const specOf = (form: Record<string, unknown>): FormSpec =>
  (form.kind === "table"
    ? { between: "logSnr", zeroSnr: false, ...form }
    : form.kind === "linear"
      ? { shift: 1, ...form }
      : form) as FormSpec;

/** The parameters of a spec from the first of these networks that has each. */
function flat(
  spec: readonly ParamSpec[],
  keys: readonly string[],
  tensors: ReadonlyMap<string, { readonly data: unknown }>,
): Float32Array {
  const out = new Float32Array(countParams(spec));
  let at = 0;
  for (const { name, shape } of spec) {
    const found = keys
      .map((k) => `${k}.${name}`)
      .map((full) => tensors.get(full)?.data)
      .find((data) => data instanceof Float32Array);
    if (!(found instanceof Float32Array)) throw new Error(`No golden network of ${keys.join(", ")} has ${name}.`);
    out.set(found, at);
    at += shape.reduce((a, b) => a * b, 1);
  }
  return out;
}

const arrayOf = (drawn: Drawn, name: string): GoldenArray | undefined => {
  const found = drawn[name];
  return found === undefined || Array.isArray(found) ? undefined : (found as GoldenArray);
};

/** Draws whose values are given: those of the case, by the names that the recipes ask for. */
export function fixedDraws(
  golden: MethodGolden,
  drawn: Drawn,
  stage: Stage,
): HostDraws & { readonly given: () => Record<string, TensorData> } {
  const batch = Object.values(drawn).flatMap((a) => (Array.isArray(a) ? [] : [(a as GoldenArray).shape[0]]))[0];
  const all = clocks(batch);
  const times: Record<string, readonly number[]> = {};
  const feeds: Record<string, TensorData> = {};
  const inputs = new Map<string, Tensor>();
  const notes = new Map<string, Tensor>();
  const shared = new Map<string, unknown>();
  const take = (id: string, array: GoldenArray | undefined): Tensor => {
    if (!array) throw new Error(`The case draws no ${id}; it has ${Object.keys(drawn).join(", ")}.`);
    const known = inputs.get(id) ?? input(id, array.shape, array.dtype === "int64" ? "int64" : "float32");
    feeds[id] = array.dtype === "int64" ? BigInt64Array.from(array.data, BigInt) : Float32Array.from(array.data);
    inputs.set(id, known);
    return known;
  };
  const dataNames: Readonly<Record<string, string>> = { real_x: "real" };
  const data = (column: string) => take(column, arrayOf(drawn, column) ?? arrayOf(drawn, dataNames[column] ?? ""));
  const label = (index: number) => (index - golden.time_input.offset) / golden.time_input.scale;
  const timesOf = (name: string): readonly number[] | undefined => {
    const index = name === "t" ? arrayOf(drawn, "index") : name === "s" ? arrayOf(drawn, "index_end") : undefined;
    return arrayOf(drawn, name)?.data ?? index?.data.map(label);
  };
  const clock = (name: string, fallback: () => number): Clock => {
    times[name] = timesOf(name) ?? Array.from({ length: batch }, fallback);
    return all.clock(name);
  };
  const { generator_times: generator, generator_step: step } = golden.options as {
    generator_times?: number[];
    generator_step?: number;
  };
  return {
    batch,
    sampleShape: stage.model.sampleShape,
    notes,
    data,
    cond(kind, prefix = ""): Cond {
      if (!golden.labelled) return {};
      const id = kind === "full" ? `${prefix}labels` : kind === "dropped" ? "dropped" : "critic_labels";
      return { labels: take(id, arrayOf(drawn, id) ?? arrayOf(drawn, "labels") ?? arrayOf(drawn, "dropped")) };
    },
    normal(name) {
      const [first, index] = name.split(".");
      if (index === undefined) return take(`~${name}`, arrayOf(drawn, name));
      const list = (drawn[first] ?? []) as readonly GoldenArray[];
      // Steps after the one that is trained are computed and not used.
      const unused = { shape: [batch, 2], data: new Array<number>(2 * batch).fill(0) };
      const used = Number(index) < (step ?? (generator?.length ?? 1) - 1);
      return take(`~${name}`, used ? list[Number(index)] : unused);
    },
    clock: (name, law) => clock(name, () => (name === "generator_t" && generator ? generator[step ?? 0] : law(0.5))),
    clockAfter: (name, _, law) => clock(name, () => law(0.5, 0.5)),
    number: (name) => take(name, arrayOf(drawn, name)),
    ramp() {
      feeds.ramp = Float32Array.of(Number(golden.options.warmup ?? 1));
      const known = inputs.get("ramp") ?? input("ramp", []);
      inputs.set("ramp", known);
      return known;
    },
    share<T>(name: string, make: () => T): T {
      if (!shared.has(name)) shared.set(name, make());
      return shared.get(name) as T;
    },
    note(name, x) {
      notes.set(name, x);
      return x;
    },
    feeds: () => ({ ...feeds, ...all.feeds(times) }),
    tryEnds: () => undefined,
    drops: () => false,
    given: () => ({ ...feeds, ...all.feeds(times) }),
  };
}
