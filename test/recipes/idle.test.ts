// Options that do nothing with the others, for every method: what is called idle changes nothing at all of what is trained
// and sampled, and everything else changes something.

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { classCount } from "../../src/condition.ts";
import { cosine, linear, velocity, vPrediction } from "../../src/core/index.ts";
import { emitModel, sizeOf, type TensorData } from "../../src/graph/index.ts";
import { networkModel } from "../../src/model.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { refuseIdle } from "../../src/node/methods.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { fold, key, normal, randint } from "../../src/random.ts";
import { type Recipe, recipes, type Stage, type Start } from "../../src/recipes/index.ts";
import { startOf } from "../../src/recipes/start.ts";
import { describeModel } from "../../src/run/card.ts";
import { outline } from "../../src/run/outline.ts";
import { columnsOf, gradientProgram } from "../../src/run/step.ts";

type Options = Readonly<Record<string, unknown>>;
const all = recipes as unknown as readonly Recipe[];
const recipeOf = (name: string): Recipe => all.find((r) => r.name === name) as Recipe;

function start(straight: boolean, classes: number | null): Start {
  const network = buildNetwork({ family: "mlp", config: { dim: 2, width: 8, depth: 2, classes } });
  const spec = collect(network).map((s) => ({ ...s, init: { normal: 0.3 } }));
  const timeInput = { scale: 1000, offset: 0 };
  const [form, prediction] = straight ? [linear(), velocity] : [cosine(), vPrediction];
  const model = networkModel(network, form, prediction, timeInput);
  return startOf({ model, network, timeInput, spec, theta: initialize(spec, key(5)) });
}
const teachers = { curved: start(false, 3), straight: start(true, 3), "without classes": start(false, null) };

/** Another value of every option than any method's default. */
const other: Options = {
  windows: 3,
  teacherSteps: 3,
  teacherSolver: "dpm++2m",
  guidance: 2,
  predict: "diff_eps",
  weight: ["endpoint", "snr+1", "uniform"],
  compare: "prediction",
  atStarts: 0.5,
  atNoise: 0.75,
  distance: ["huber", "mse"],
  distillDistance: ["huber", "mse"],
  distanceScale: 0.5,
  pairs: 7,
  grid: 17,
  target: "student",
  targetDecay: 0.5,
  rectify: 0.25,
  rounds: 2,
  start: "snr-matched",
  distillShare: 0.25,
  distill: [false, true],
  boundary: "edm",
  sigmaData: 0.7,
  guidanceMin: 1.5,
  guidanceMax: 5,
  embedding: 8,
  from: 4,
  to: 2,
  steps: 2,
  stepTimes: [1, 0.4],
  regression: 0.75,
  every: 3,
  criticRate: 3,
  gan: 0.7,
  ganCritic: 0.3,
  ganLoss: "logistic",
  features: ["blocks.0"],
  criticGuidance: 3,
  rank: 3,
  alpha: 5,
  layers: ["blocks.1.linear_1"],
  equal: 0.4,
  timeMean: 0.3,
  timeStd: 0.6,
  weightPower: 0.5,
  weightOffset: 0.2,
  timeScale: 5,
  settle: 0.4,
  tangentWarmup: 7,
  normalize: false,
  tangentOffset: 0.6,
};
/** Choices that leave others without use, or give them one. */
const choices: Readonly<Record<string, readonly Options[]>> = {
  perflow: [{ distance: "huber" }],
  "rectified-diffusion": [{ distance: "mse" }],
  "rectified-diffusion-phased": [{ distance: "huber" }],
  "rectified-diffusion-cd": [{ rectify: 0 }, { target: "student" }, { distance: "mse" }],
  reflow: [{ distance: "huber" }],
  instaflow: [{ distillDistance: "mse" }, { distance: "huber", distillDistance: "mse" }],
  consistency: [{ distill: false }, { target: "student" }, { boundary: "edm" }, { distance: "mse" }],
  lcm: [{ distance: "mse" }],
  progressive: [{ distance: "huber" }],
  dmd: [{ regression: 0 }, { gan: 0.1 }, { gan: 0.1, regression: 0 }],
  swiftbrush: [{ rank: 0 }],
  adversarial: [{ gan: 0 }, { regression: 0 }, { distance: "huber" }],
  meanflow: [{ distill: true }, { timeScale: 5 }, { weightPower: 0 }],
  scm: [{ distill: false }, { normalize: false }, { timeScale: 5 }],
};

const BATCH = 4;
const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const bytesOf = (data: TensorData) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Everything that a stage says of its training and its result. */
function printOf(stage: Stage): object {
  const { players, source, name, share, sampler, watch, nothing, lag } = stage;
  const { outputs, draws } = gradientProgram(stage, players, { batch: BATCH, adamw: adamwDefaults, clip: 1 });
  const data = Object.fromEntries(
    Object.entries(columnsOf(stage)).map(([column, { shape, dtype }]): [string, TensorData] => {
      const [own, count] = [fold(key(8), column), BATCH * sizeOf(shape)];
      const labels = () => BigInt64Array.from(randint(own, count, classCount(stage.model.conditions)), BigInt);
      return [column, dtype === "int64" ? labels() : normal(own, count)];
    }),
  );
  const feeds = draws.feeds({ root: key(3), step: 3 }, data, 0.5);
  return {
    plan: { name, share, sampler, watch, nothing, lag, card: describeModel(stage) },
    source: { ...source, pairs: source.pairs && { ...source.pairs, teacher: 0 } },
    players: players.map(({ spec, start, loss, ...rest }) => ({ ...rest, spec, start: hash(bytesOf(start)) })),
    program: hash(emitModel(outputs, "cpu").bytes),
    feeds: Object.entries(feeds).map(([column, values]) => [column, hash(bytesOf(values))]),
  };
}
const print = (recipe: Recipe, teacher: Start, o: Options) => {
  const parsed = recipe.options.parse(o);
  const options = recipe.resolve?.(teacher, parsed) ?? parsed;
  return JSON.stringify(outline(() => recipe.stages(teacher, options, key(1))).map(printOf));
};

it("every method is here, and every option has another value", () => {
  expect(Object.keys(choices)).toEqual(all.map(({ name }) => name));
  const options = new Set(all.flatMap((r) => Object.keys(r.options.shape)));
  expect(Object.keys(other).sort()).toEqual([...options].sort());
});

describe.each(all.map(({ name }) => [name] as const))("%s", (name) => {
  const recipe = recipeOf(name);
  const cases = Object.entries(teachers).flatMap(([kind, teacher]) =>
    [{}, ...(kind === "curved" ? choices[name] : [])].map((o) => [kind, JSON.stringify(o), teacher, o] as const),
  );
  it.each(cases)("with a teacher that is %s and %s", (kind, _, teacher, chosen: Options) => {
    const before = print(recipe, teacher, chosen);
    const idle = recipe.idle?.(recipe.options.parse(chosen), teacher) ?? {};
    const unchanged = Object.keys(recipe.options.shape).filter((option) => {
      if (option in chosen || (kind === "without classes" && /guidance$/i.test(option))) return false;
      const values =
        Array.isArray(other[option]) && !["features", "layers", "stepTimes"].includes(option)
          ? other[option]
          : [other[option]];
      const schema = recipe.options.shape[option];
      const value = values.find((v: unknown) => schema.safeParse(v).success && v !== schema.parse(undefined));
      return print(recipe, teacher, { ...chosen, [option]: value }) === before;
    });
    const found = Object.keys(idle).filter((o) => kind !== "without classes" || !/guidance$/i.test(o));
    // (error + c)^0 is 1 whatever c is, though the program has it.
    const expected = found.filter((option) => !(option === "weightOffset" && "weightPower" in chosen));
    expect(unchanged.sort()).toEqual(expected.sort());
  });
});

describe("to give one is refused", () => {
  const refusal = (name: string, given: Options, teacher?: Start, preset: Options = {}) => {
    const recipe = recipeOf(name);
    const own = Object.fromEntries(Object.entries({ ...preset, ...given }).filter(([k]) => k in recipe.options.shape));
    try {
      refuseIdle(recipe, recipe.options.parse(own), given, preset, teacher);
      return "";
    } catch (error) {
      return String(error);
    }
  };
  it("with all of them in one sentence", () => {
    expect(refusal("dmd", { regression: 0, pairs: 9, teacherSteps: 3, features: ["mid_block"] })).toBe(
      "UsageError: dmd: --teacher-steps does nothing with --regression 0; --pairs does nothing with --regression 0; " +
        "--features does nothing with --gan 0. Leave them out.",
    );
    expect(refusal("scm", { settle: 0.3 })).toBe(
      "UsageError: scm: --settle does nothing without another --time-scale than the teacher's. Leave it out.",
    );
  });
  it("not where it is what it would be anyway, or does something", () => {
    expect(refusal("dmd", { regression: 0, pairs: 4096 })).toBe("");
    expect(refusal("dmd", { regression: 0, pairs: 16 }, undefined, { pairs: 16 })).toBe("");
    expect(refusal("dmd", { gan: 0.1, features: ["mid_block"], pairs: 9 })).toBe("");
  });
  it("when the teacher is known, what depends on it too", () => {
    const given = { guidanceMin: 1, embedding: 16 };
    expect(refusal("lcm", given)).toBe("");
    expect(refusal("lcm", given, teachers.curved)).toBe("");
    expect(refusal("lcm", given, teachers["without classes"])).toBe(
      "UsageError: lcm: --guidance-min does nothing with a teacher that cannot be guided; --embedding does nothing with a teacher that cannot be guided. Leave them out.",
    );
    expect(refusal("reflow", { start: "snr-matched" }, teachers.straight)).toBe(
      "UsageError: reflow: --start does nothing with a teacher on straight paths. Leave it out.",
    );
    expect(refusal("scm", { timeScale: 1000, settle: 0.3 })).toBe("");
    expect(refusal("scm", { timeScale: 1000, settle: 0.3 }, teachers.curved)).toMatch("--settle does nothing");
  });
});
