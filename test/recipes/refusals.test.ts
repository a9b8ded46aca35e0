// Options that a method has no use for with others, and those that it refuses, by hand. That they change nothing, and no
// other options do not, is seen in idle.test.ts.

import { describe, expect, it } from "vitest";
import { cosine, eps, type Form, linear, type Prediction, velocity, vPrediction, vp } from "../../src/core/index.ts";
import { buildNetwork } from "../../src/nn/network.ts";
import { key } from "../../src/random.ts";
import { perflow, type Recipe, recipes, type Start } from "../../src/recipes/index.ts";
import { startOf } from "../../src/recipes/start.ts";
import { outline } from "../../src/run/outline.ts";
import { tinyModel } from "../run/helpers.ts";

type Options = Readonly<Record<string, unknown>>;
const recipeOf = (name: string) => (recipes as unknown as readonly Recipe[]).find((r) => r.name === name) as Recipe;
const start = (form: Form, prediction: Prediction, classes: number | null = 3): Start =>
  startOf({ ...tinyModel(form, prediction, classes), timeInput: { scale: 1000, offset: 0 } });
const curved = start(cosine(), vPrediction);
const straight = start(linear(), velocity);
const free = start(cosine(), vPrediction, null);

describe("idle are", () => {
  const all = (why: string, ...names: string[]) => Object.fromEntries(names.map((name) => [name, why]));
  const scale = all("with --distance mse", "distanceScale");
  const decay = all("with --target student", "targetDecay");
  const settle = all("without another --time-scale than the teacher's", "settle");
  const straightStart = all("with a teacher on straight paths", "start");
  const noPairs = all("with --regression 0", "teacherSteps", "teacherSolver", "pairs");
  const noGan = all("with --gan 0", "ganCritic", "features");
  const huber = { distance: "huber" };
  const mse = { distance: "mse" };
  const cases: readonly (readonly [string, Options, Options, Start?])[] = [
    ["perflow", {}, scale],
    ["perflow", huber, {}],
    ["rectified-diffusion", {}, {}],
    ["rectified-diffusion", mse, scale],
    ["rectified-diffusion-phased", {}, scale],
    ["rectified-diffusion-phased", huber, {}],
    ["rectified-diffusion-cd", {}, {}],
    ["rectified-diffusion-cd", { ...mse, target: "student" }, { ...scale, ...decay }],
    [
      "rectified-diffusion-cd",
      { rectify: 0 },
      all("with --rectify 0", "teacherSteps", "teacherSolver", "atNoise", "pairs", "compare"),
    ],
    ["reflow", {}, scale],
    ["reflow", huber, {}, curved],
    ["reflow", huber, straightStart, straight],
    ["instaflow", {}, {}],
    ["instaflow", { distillDistance: "mse" }, scale],
    ["instaflow", { ...huber, distillDistance: "mse" }, {}, curved],
    ["instaflow", {}, straightStart, straight],
    ["consistency", {}, all("with --boundary jump", "sigmaData")],
    ["consistency", { boundary: "edm", ...mse, target: "student" }, { ...scale, ...decay }],
    ["consistency", { boundary: "edm", distill: false }, all("with --no-distill", "guidance")],
    ["lcm", {}, {}],
    ["lcm", mse, scale, curved],
    ["lcm", {}, all("with a teacher that cannot be guided", "guidanceMin", "guidanceMax", "embedding"), free],
    ["progressive", {}, scale],
    ["progressive", huber, {}],
    ["dmd", {}, noGan],
    ["dmd", { gan: 0.1 }, {}],
    ["dmd", { regression: 0 }, { ...noPairs, ...noGan }],
    ["dmd", { regression: 0, gan: 0.1 }, noPairs],
    ["swiftbrush", {}, {}],
    ["swiftbrush", { rank: 0 }, all("with --rank 0", "alpha", "layers")],
    ["adversarial", {}, scale],
    ["adversarial", huber, {}],
    ["adversarial", { ...huber, gan: 0 }, all("with --gan 0", "ganLoss", "features", "criticRate")],
    ["adversarial", { regression: 0 }, all("with --regression 0", "distance", "distanceScale")],
    ["meanflow", {}, settle],
    ["meanflow", { timeScale: 5 }, {}, curved],
    ["meanflow", { timeScale: 1000 }, {}],
    ["meanflow", { timeScale: 1000 }, settle, curved],
    ["meanflow", { timeScale: 5, weightPower: 0 }, all("with --weight-power 0", "weightOffset")],
    ["meanflow", { timeScale: 5 }, straightStart, straight],
    ["scm", {}, settle, curved],
    ["scm", { timeScale: 5 }, {}, curved],
    ["scm", { timeScale: 5, normalize: false }, all("with --no-normalize", "tangentOffset")],
    ["scm", { timeScale: 5, distill: false }, all("with --no-distill", "guidance")],
  ];
  const rows = cases.map(([name, o, idle, teacher]) => [name, o, idle, teacher] as const);
  it.each(rows)("of %s %j: %j", (name, o, idle, teacher) => {
    const recipe = recipeOf(name);
    expect(recipe.idle?.(recipe.options.parse(o), teacher)).toEqual(idle);
  });
});

it("PeRFlow's student predicts what is closest to its teacher, unless told", () => {
  const resolved = (teacher: Start, o: Options = {}) => perflow.resolve?.(teacher, perflow.options.parse(o)).predict;
  expect(resolved(start(vp(), eps))).toBe("ddim_eps");
  expect(resolved(start(vp(), vPrediction))).toBe("ddim_eps");
  expect(resolved(start(vp(), velocity))).toBe("velocity");
  // eps says nothing at pure noise.
  expect(resolved(curved)).toBe("velocity");
  expect(resolved(straight, { predict: "diff_eps" })).toBe("diff_eps");
  const { prediction } = outline(() => perflow.stages(straight, perflow.options.parse({}), key(1)))[0].model;
  expect(prediction).toBe(velocity);
});

describe("refused is", () => {
  const names = (name: string, o: Options, teacher = curved) => {
    const recipe = recipeOf(name);
    return outline(() => recipe.stages(teacher, recipe.options.parse(o), key(1))).map((stage) => stage.name);
  };
  it("what never ends, or has nothing to learn from", () => {
    expect(names("progressive", { from: 6, to: 1 })).toEqual(["6 steps", "3 steps", "1 step"]);
    expect(names("progressive", { from: 8, to: 2 })).toEqual(["8 steps", "4 steps", "2 steps"]);
    expect(() => names("progressive", { from: 8, to: 3 })).toThrow(
      "8 steps become 8, 4, 2, 1 by halving. Expected --to to be one of them, not 3.",
    );
    expect(() => names("progressive", { from: 2, to: 8 })).toThrow("2 steps become 2, 1 by halving");
    expect(() => names("adversarial", { regression: 0, gan: 0 })).toThrow(
      "With --regression 0 and --gan 0 there is nothing to learn from. Expected one of them above 0.",
    );
    expect(() => names("lcm", { guidanceMin: 5, guidanceMax: 2 })).toThrow(
      "--guidance-min 5 is more than --guidance-max 2. Expected the lesser one first.",
    );
    expect(names("lcm", { guidanceMin: 3, guidanceMax: 3 })).toEqual(["lcm"]);
  });
  it("times of a student that do not fall, or are not as many as its steps", () => {
    const said = (o: Options) => () => names("dmd", { regression: 0, ...o });
    expect(said({ stepTimes: [1, 0.5, 0.5] })).toThrow(
      new RangeError("The step times are 1, 0.5, 0.5. Times that fall from 1 are expected."),
    );
    expect(said({ steps: 3, stepTimes: [1, 0.5] })).toThrow(
      new RangeError("The step times are 1, 0.5. 3 times that fall from 1 are expected."),
    );
    // The number of steps may be left to the times.
    expect(said({ stepTimes: [1, 0.5] })()).toEqual(["dmd"]);
    expect(said({ steps: 2, stepTimes: [1, 0.5] })()).toEqual(["dmd"]);
  });
  it("a discriminator on a network whose inside is not known", () => {
    const network = buildNetwork({ family: "exact", config: { shape: [2], points: 3 } });
    expect(() => names("dmd", { gan: 0.1 }, { ...curved, network })).toThrow(
      "An ONNX file does not say what is computed inside, and a discriminator looks there. Use another method.",
    );
  });
});
