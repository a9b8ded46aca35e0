// What every method says around its losses, by hand: what it needs and costs, its stages, players, sources and samplers.

import { describe, expect, it } from "vitest";
import { cosine, eps, linear, velocity, vPrediction, vp } from "../../src/core/index.ts";
import { key } from "../../src/random.ts";
import { diffusion, flowMatching, type Recipe, recipes, type Stage, type Start } from "../../src/recipes/index.ts";
import { startOf } from "../../src/recipes/start.ts";
import { outline } from "../../src/run/outline.ts";
import { tinyModel } from "../run/helpers.ts";

type Options = Readonly<Record<string, unknown>>;
const teacher: Start = startOf({ ...tinyModel(vp(), vPrediction, 3), timeInput: { scale: 1000, offset: 0 } });
const all = [...recipes, diffusion, flowMatching] as unknown as readonly Recipe[];
const recipeOf = (name: string) => all.find((r) => r.name === name) as Recipe;
const stagesOf = (name: string, o: Options = {}, from = teacher): readonly Stage[] => {
  const recipe = recipeOf(name);
  const options = recipe.options.parse(o);
  return outline(() => recipe.stages(from, recipe.resolve?.(from, options) ?? options, key(1)));
};
const uniform = (solver: string, ...steps: number[]) => ({ solver, grid: { kind: "uniform" }, steps });

describe("needs and evaluations of the teacher", () => {
  const cases: readonly (readonly [string, Options, readonly string[], readonly [number, number]])[] = [
    ["diffusion", {}, ["data"], [0, 0]],
    ["flow-matching", {}, ["data"], [0, 0]],
    ["perflow", {}, ["data"], [8, 0]],
    ["perflow", { guidance: 3, teacherSteps: 5 }, ["data", "guidance"], [10, 0]],
    ["rectified-diffusion", {}, ["pairs"], [0, 50]],
    ["rectified-diffusion", { guidance: 3 }, ["pairs", "guidance"], [0, 100]],
    ["rectified-diffusion-phased", { guidance: 2 }, ["data", "guidance"], [20, 0]],
    ["rectified-diffusion-cd", {}, ["data", "pairs"], [0.5, 50]],
    ["rectified-diffusion-cd", { rectify: 0 }, ["data"], [1, 0]],
    ["rectified-diffusion-cd", { rectify: 0, guidance: 2 }, ["data", "guidance"], [2, 0]],
    ["reflow", {}, ["pairs"], [0, 50]],
    ["reflow", { guidance: 2, rounds: 3 }, ["pairs", "guidance"], [0, 200]],
    ["instaflow", {}, ["pairs"], [0, 100]],
    ["instaflow", { guidance: 2 }, ["pairs", "guidance"], [0, 150]],
    ["consistency", {}, ["data"], [1, 0]],
    ["consistency", { guidance: 2 }, ["data", "guidance"], [2, 0]],
    ["consistency", { distill: false }, ["data"], [0, 0]],
    ["lcm", {}, ["data", "network"], [2, 0]],
    ["progressive", {}, ["data"], [2, 0]],
    ["dmd", {}, ["data", "pairs"], [1, 50]],
    ["dmd", { guidance: 2 }, ["data", "pairs", "guidance"], [2, 100]],
    ["dmd", { regression: 0, every: 4, guidance: 2 }, ["data", "guidance"], [0.5, 0]],
    ["dmd", { gan: 0.1 }, ["data", "features", "pairs"], [1, 50]],
    ["swiftbrush", { rank: 0 }, [], [1, 0]],
    ["swiftbrush", { guidance: 4 }, ["guidance", "weights"], [2, 0]],
    ["swiftbrush", { rank: 0, every: 4, guidance: 2 }, ["guidance"], [0.5, 0]],
    ["adversarial", {}, ["data", "features", "weights", "pairs"], [3, 50]],
    ["adversarial", { gan: 0, guidance: 2 }, ["pairs", "guidance"], [0, 100]],
    ["meanflow", {}, ["data", "network"], [0, 0]],
    ["meanflow", { guidance: 2, timeScale: 5 }, ["data", "network", "guidance"], [1.2, 0]],
    ["meanflow", { distill: true }, ["data", "network"], [1, 0]],
    ["meanflow", { distill: true, guidance: 2, timeScale: 5, settle: 0.5 }, ["data", "network", "guidance"], [1.5, 0]],
    ["scm", {}, ["data"], [1, 0]],
    ["scm", { guidance: 2 }, ["data", "guidance"], [2, 0]],
    ["scm", { distill: false }, ["data"], [0, 0]],
  ];
  it.each(cases)("of %s %j", (name, o, needs, [perImage, perPair]) => {
    const recipe = recipeOf(name);
    const options = recipe.options.parse(o);
    expect(recipe.needs(options)).toEqual(needs);
    expect(recipe.teacherNfe(options)).toEqual({ perImage, perPair });
  });
});

describe("stages", () => {
  const uniformTicks = { kind: "ticks", total: 1_000_000, edges: [1_000_000, 0] };
  const cases: readonly (readonly [string, Options, readonly (readonly [string, number, object])[]])[] = [
    [
      "rectified-diffusion-cd",
      { rectify: 0.3 },
      [
        ["rectified-diffusion", 0.3, uniform("ddim", 1, 2)],
        ["consistency", 0.7, uniform("ddim", 1, 2, 4)],
      ],
    ],
    ["rectified-diffusion-cd", { rectify: 0 }, [["consistency", 1, uniform("ddim", 1, 2, 4)]]],
    [
      "reflow",
      { rounds: 2 },
      [
        ["reflow 1 of 2", 1, uniform("ddim", 1, 2, 4)],
        ["reflow 2 of 2", 1, uniform("ddim", 1, 2, 4)],
      ],
    ],
    [
      "instaflow",
      { distillShare: 0.3 },
      [
        ["reflow", 0.7, uniform("ddim", 1, 2, 4)],
        ["one step", 0.3, uniform("ddim", 1)],
      ],
    ],
    ["consistency", {}, [["consistency", 1, uniform("lcm", 1, 2, 4)]]],
    ["lcm", {}, [["lcm", 1, uniform("lcm", 1, 2, 4)]]],
    [
      "progressive",
      { from: 4, to: 2 },
      [
        ["4 steps", 1, uniform("ddim", 4)],
        ["2 steps", 1, uniform("ddim", 2)],
      ],
    ],
    ["dmd", {}, [["dmd", 1, uniform("ddim", 1)]]],
    ["dmd", { regression: 0, steps: 2 }, [["dmd", 1, uniform("lcm", 2)]]],
    [
      "dmd",
      { regression: 0, stepTimes: [1] },
      [["dmd", 1, { solver: "ddim", grid: { kind: "windows", windows: uniformTicks }, steps: [1] }]],
    ],
    ["swiftbrush", {}, [["swiftbrush", 1, uniform("ddim", 1)]]],
    ["adversarial", {}, [["adversarial", 1, uniform("ddim", 1)]]],
    [
      "meanflow",
      { timeScale: 5 },
      [
        ["smooth in time", 0.2, uniform("ddim", 4)],
        ["meanflow", 0.8, uniform("ddim", 1, 2, 4)],
      ],
    ],
    ["scm", { timeScale: 1000 }, [["scm", 1, uniform("lcm", 1, 2, 4)]]],
    ["scm", { timeScale: 5, settle: 0 }, [["scm", 1, uniform("lcm", 1, 2, 4)]]],
    [
      "scm",
      { timeScale: 5, settle: 0.4 },
      [
        ["smooth in time", 0.4, uniform("ddim", 4)],
        ["scm", 0.6, uniform("lcm", 1, 2, 4)],
      ],
    ],
  ];
  it.each(cases)("of %s %j", (name, o, expected) => {
    const found = stagesOf(name, o).map((stage) => [stage.name, stage.share, stage.sampler]);
    expect(found).toEqual(expected.map(([stage, share, sampler]) => [stage, expect.closeTo(share, 12), sampler]));
  });
});

describe("the student as it is sampled", () => {
  const straight = startOf({ ...tinyModel(linear(), velocity, 3), timeInput: { scale: 1000, offset: 0 } });
  const matched = { native: "vp", prediction: "v", scale: 1000 };
  const edm = { kind: "edm", sigmaData: 0.7 };
  const cases: readonly (readonly [string, Options, form: string, more: object, Start?])[] = [
    ["rectified-diffusion", {}, "vp", {}],
    ["rectified-diffusion-cd", { rectify: 0 }, "vp", {}],
    ["reflow", {}, "linear", { prediction: "u" }],
    ["reflow", { start: "snr-matched" }, "linear", matched],
    ["instaflow", {}, "linear", { prediction: "u" }],
    ["consistency", {}, "vp", {}],
    ["consistency", { boundary: "edm", sigmaData: 0.7 }, "vp", { prediction: "x0", boundary: edm }],
    [
      "lcm",
      { sigmaData: 0.3 },
      "vp",
      { prediction: "x0", boundary: { kind: "lcm", sigmaData: 0.3 }, told: "guidance" },
    ],
    ["progressive", {}, "vp", {}],
    ["dmd", {}, "vp", {}],
    ["swiftbrush", {}, "vp", {}],
    ["adversarial", {}, "vp", {}],
    ["meanflow", {}, "linear", { prediction: "u", told: "span" }],
    ["meanflow", { start: "snr-matched" }, "linear", { ...matched, told: "span" }],
    ["meanflow", { timeScale: 5 }, "linear", { prediction: "u", told: "span", scale: 5 }, straight],
    ["meanflow", { timeScale: 5, start: "snr-matched" }, "linear", { ...matched, told: "span", scale: 5 }],
    ["scm", {}, "cosine", matched],
    ["scm", { timeScale: 5 }, "cosine", { ...matched, scale: 5 }],
  ];
  const rows = cases.map(([name, o, form, more, from]) => [name, o, form, more, from ?? teacher] as const);
  it.each(rows)("of %s %j: %s %j", (name, o, form, more, from) => {
    const { model, timeInput } = stagesOf(name, o, from).at(-1) as Stage;
    const [told] = Object.keys(model.conditions).filter((c) => c !== "labels");
    const facts = { native: model.native?.spec.kind, boundary: model.boundary, told };
    expect(model.form.spec.kind).toBe(form);
    const plain = { prediction: "v", native: undefined, boundary: undefined, told: undefined, scale: 1000 };
    expect({ ...facts, prediction: model.prediction.name, scale: timeInput.scale }).toEqual({ ...plain, ...more });
  });
  it("on the angle already, is read there as it is", () => {
    for (const prediction of [vPrediction, eps]) {
      const trig = startOf({ ...tinyModel(cosine(), prediction, 3), timeInput: { scale: 1000, offset: 0 } });
      expect(stagesOf("scm", {}, trig)[0].model).toBe(trig.model);
    }
  });
});

describe("players and what they learn from", () => {
  const solves = { teacher, solver: "ddim", steps: 50, pairs: 4096 };
  const follows = { critic: "critic_error", teacher: "teacher_error" };
  const cases: readonly (readonly [string, Options, readonly object[], object, object])[] = [
    ["consistency", {}, [{ averages: { target: 0.95 } }], { data: "" }, {}],
    ["consistency", { target: "student" }, [{}], { data: "" }, {}],
    ["lcm", {}, [{ averages: { target: 0.95 } }], { data: "" }, {}],
    ["meanflow", {}, [{}], { data: "" }, {}],
    ["scm", {}, [{}], { data: "" }, {}],
    ["progressive", { from: 1 }, [{}], { data: "" }, {}],
    [
      "swiftbrush",
      { every: 3 },
      [{ every: 3 }, { optimizer: { rate: 10, weightDecay: 0 } }],
      { conditions: "" },
      { watch: ["critic_error", "teacher_error"], lag: follows },
    ],
    [
      "dmd",
      { every: 5, regression: 0 },
      [{ every: 5 }, { optimizer: { rate: 1 } }],
      { data: "" },
      { watch: ["critic_error", "teacher_error"], lag: follows },
    ],
    [
      "dmd",
      { gan: 0.1, guidance: 3, criticRate: 2 },
      [{ every: 1 }, { optimizer: { rate: 2 } }],
      { data: "", pairs: { ...solves, prefix: "pair_", guidance: 3 } },
      {
        watch: ["critic_error", "teacher_error", "discriminator"],
        lag: follows,
        nothing: { discriminator: 2 * Math.LN2 },
      },
    ],
    [
      "adversarial",
      { criticRate: 3 },
      [{}, { optimizer: { rate: 3 } }],
      { data: "real_", pairs: { ...solves, prefix: "", guidance: 1 } },
      { watch: ["discriminator"], nothing: { discriminator: 2 } },
    ],
    ["adversarial", { gan: 0 }, [{}], { pairs: { ...solves, prefix: "", guidance: 1 } }, {}],
    [
      "adversarial",
      { ganLoss: "logistic" },
      [{}, { optimizer: { rate: 1 } }],
      { data: "real_", pairs: { ...solves, prefix: "", guidance: 1 } },
      { watch: ["discriminator"], nothing: { discriminator: 2 * Math.LN2 } },
    ],
    ["reflow", { guidance: 2 }, [{}], { pairs: { ...solves, prefix: "", guidance: 2 } }, {}],
  ];
  it.each(cases)("of %s %j", (name, o, players, source, watched) => {
    const [stage] = stagesOf(name, o);
    const found = stage.players.map(({ name: who, spec, start, loss, ...rest }) => [who, rest]);
    expect(found).toEqual(players.map((rest, i) => [["student", "critic"][i], rest]));
    expect(stage.source).toEqual(source);
    const { watch, nothing, lag } = stage;
    expect({ watch, nothing, lag }).toEqual({ watch: undefined, nothing: undefined, lag: undefined, ...watched });
  });

  it("the second round of reflow learns from the first one's pairs, unguided; instaflow's second stage too", () => {
    for (const stages of [stagesOf("reflow", { guidance: 2, rounds: 2 }), stagesOf("instaflow", { guidance: 2 })]) {
      const [first, second] = stages.map(({ source }) => source.pairs);
      expect([first?.guidance, second?.guidance]).toEqual([2, 1]);
      expect(first?.teacher).toBe(teacher);
      expect(second?.teacher.model).toBe(stages[0].model);
    }
  });

  it("a critic begins as the teacher, with heads after it; a low-rank one changes nothing at first", () => {
    const [, critic] = stagesOf("dmd", { gan: 0.1 })[0].players;
    expect(critic.start.slice(0, teacher.theta.length)).toEqual(teacher.theta);
    const heads = critic.spec.slice(teacher.spec.length).map(({ name }) => name);
    expect(heads.every((name) => name.startsWith("heads.blocks.0."))).toBe(true);
    expect(critic.start.length).toBe(critic.spec.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0));
    const [, low] = stagesOf("swiftbrush", { rank: 2 })[0].players;
    expect(low.spec.map(({ name }) => name).every((name) => /^blocks\.0\..*\.lora_[AB]$/.test(name))).toBe(true);
    const [, whole] = stagesOf("swiftbrush", { rank: 0 })[0].players;
    expect([whole.start, whole.spec]).toEqual([teacher.theta, teacher.spec]);
  });
});
