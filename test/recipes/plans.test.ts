// What a recipe says around its loss: the student's form and prediction, where its data comes from, its times and sampler.

import { describe, expect, it } from "vitest";
import type { z } from "zod";
import {
  chord,
  diffEps,
  eps,
  type Form,
  linear,
  type Prediction,
  table,
  uniformWindows,
  velocity,
  vp,
} from "../../src/core/index.ts";
import { type Draws, drawsOf } from "../../src/draws.ts";
import { input } from "../../src/graph/index.ts";
import { fromTensors } from "../../src/nn/params.ts";
import { key } from "../../src/random.ts";
import {
  diffusion,
  dmd,
  flowMatching,
  perflow,
  type Recipe,
  rectifiedDiffusion,
  rectifiedDiffusionCd,
  rectifiedDiffusionPhased,
  type Stage,
  type Start,
} from "../../src/recipes/index.ts";
import { startOf } from "../../src/recipes/start.ts";
import { samplingGrid } from "../../src/run/sample.ts";
import { columnsOf } from "../../src/run/step.ts";
import { tinyModel } from "../run/helpers.ts";

const mse = "mse";
const teacher = (form: Form = table(), prediction: Prediction = eps, classes: number | null = 3): Start =>
  startOf({ ...tinyModel(form, prediction, classes), timeInput: { scale: 1000, offset: 0 } });
/** The only stage of a recipe. */
function planOf<S extends z.ZodObject>(made: Recipe<S>, start: Start, options: z.input<S>): Stage {
  const stages = made.stages(start, made.options.parse(options), key(0));
  const { value: stage } = stages.next();
  expect(stages.next(start).done).toBe(true);
  if (!stage) throw new Error(`${made.name} has no stage.`);
  return stage;
}
const windowed = {
  windows: 4,
  teacherSolver: "ddim",
  teacherSteps: 1,
  guidance: 1,
  atStarts: 0.5,
  distance: mse,
} as const;
const flow = (o: Partial<z.input<typeof perflow.options>> = {}) =>
  planOf(perflow, teacher(), { ...windowed, predict: "ddim_eps", weight: "uniform", ...o });

/** The law of the student's times. */
function lawOf(stage: Stage): (q: number) => number {
  const draws = drawsOf(1, stage.model.sampleShape, stage.model.conditions, columnsOf(stage));
  let found: ((q: number) => number) | undefined;
  const watched: Draws = {
    ...draws,
    clock(name, law) {
      if (name === "t") found = law;
      return draws.clock(name, law);
    },
  };
  const [{ spec, loss }] = stage.players;
  loss(() => fromTensors(new Map(spec.map(({ name, shape }) => [name, input(name, shape)]))), watched);
  if (!found) throw new Error(`${stage.name} draws no time.`);
  return found;
}
const timesOf = (plan: Stage, at = [0, 0.25, 0.5, 0.75]) => at.map(lawOf(plan));

describe("the plan of", () => {
  it("diffusion covers the form's times", () => {
    const start = teacher(vp());
    const model = { ...start.model, form: { ...start.model.form, tMin: 0.2, tMax: 0.8 } };
    const plan = planOf(diffusion, { ...start, model }, {});
    expect([plan.name, plan.source]).toEqual(["diffusion", { data: "" }]);
    expect(plan.sampler).toEqual({ solver: "ddim", grid: { kind: "uniform" }, steps: [50] });
    expect(timesOf(plan)).toEqual([0.8, 0.65, 0.5, 0.35].map((t) => expect.closeTo(t, 12)));
  });

  it("flow matching differs from it in times and sampler", () => {
    const start = teacher(linear(), velocity, null);
    const plan = planOf(flowMatching, start, { times: "uniform" });
    expect([plan.name, plan.source]).toEqual(["flow-matching", { data: "" }]);
    expect(plan.model).toBe(start.model);
    expect(plan.sampler).toEqual({ solver: "euler", grid: { kind: "uniform" }, steps: [50] });
    expect(timesOf(plan)).toEqual([1, 0.75, 0.5, 0.25]);
    const logistic = lawOf(planOf(flowMatching, start, { times: "logit-normal" }));
    expect(logistic(0.5)).toBe(0.5);
    // sigmoid of the normal's quantile at 0.75, 0.6745.
    expect(logistic(0.75)).toBeCloseTo(1 / (1 + Math.exp(-0.674489750196)), 9);
  });

  it("PeRFlow trains on the chord, and samples window by window", () => {
    const plan = flow();
    expect([plan.name, plan.source]).toEqual(["perflow", { data: "" }]);
    expect(plan.model.form.spec).toEqual(chord(table(), uniformWindows(4)).spec);
    expect(plan.sampler).toEqual({
      solver: "ddim",
      grid: { kind: "windows", windows: { kind: "uniform", count: 4 } },
      steps: [4, 8],
    });
    // Half the batch at the four starts, the rest anywhere.
    expect(timesOf(plan)).toEqual([1, 0.5, 1, 0.5]);
    expect(timesOf(plan, [0.125, 0.375])).toEqual([0.75, 0.25]);
    expect(timesOf(flow({ atStarts: 0 }))).toEqual([1, 0.75, 0.5, 0.25]);
  });

  it("PeRFlow's student predicts what it is told to", () => {
    const predictions = (["ddim_eps", "diff_eps", "velocity"] as const).map((predict) => flow({ predict }));
    expect(predictions.map((plan) => plan.model.prediction)).toEqual([eps, diffEps, velocity]);
  });

  it("Rectified Diffusion keeps the teacher's model and learns from pairs", () => {
    const start = teacher();
    const solve = { guidance: 2, teacherSolver: "dpm++2m", teacherSteps: 7, pairs: 99 } as const;
    const plan = planOf(rectifiedDiffusion, start, { atNoise: 0.5, distance: mse, ...solve });
    expect([plan.name, plan.source]).toEqual([
      "rectified-diffusion",
      { pairs: { prefix: "", teacher: start, guidance: 2, solver: "dpm++2m", steps: 7, pairs: 99 } },
    ]);
    expect(plan.model).toBe(start.model);
    expect(plan.sampler).toEqual({ solver: "ddim", grid: { kind: "uniform" }, steps: [1, 2] });
    const { tMin } = start.model.form;
    expect(timesOf(plan)).toEqual([1, 1, 1, 1 - (1 - tMin) / 2]);
  });

  it("Rectified Diffusion's times begin where the form does", () => {
    const start = teacher();
    const form = { ...start.model.form, tMin: 0.2 };
    const plan = planOf(
      rectifiedDiffusion,
      { ...start, model: { ...start.model, form } },
      { atNoise: 0, distance: mse },
    );
    expect(timesOf(plan)).toEqual([1, 0.8, 0.6, 0.4].map((t) => expect.closeTo(t, 12)));
  });

  it("phased Rectified Diffusion keeps it too, and samples window by window", () => {
    const made = teacher();
    const plan = planOf(rectifiedDiffusionPhased, made, windowed);
    expect([plan.name, plan.source]).toEqual(["rectified-diffusion-phased", { data: "" }]);
    expect(plan.model).toBe(made.model);
    expect(plan.sampler).toEqual({
      solver: "ddim",
      grid: { kind: "windows", windows: { kind: "uniform", count: 4 } },
      steps: [4, 8],
    });
    expect(timesOf(plan)).toEqual([1, 0.5, 1, 0.5]);
  });

  it("DMD2 trains and samples at the times it is given, and refuses those that do not fall", () => {
    const dmd2 = (o: Partial<z.input<typeof dmd.options>>) => planOf(dmd, teacher(), { regression: 0, ...o });
    const given = dmd2({ steps: 3, stepTimes: [1, 0.625, 0.21] });
    const draws = drawsOf(4, given.model.sampleShape, given.model.conditions, columnsOf(given));
    const laws = new Map<string, (q: number) => number>();
    const watched: Draws = { ...draws, clock: (name, law) => draws.clock(name, laws.set(name, law).get(name) ?? law) };
    const [{ spec, loss }] = given.players;
    loss(() => fromTensors(new Map(spec.map(({ name, shape }) => [name, input(name, shape)]))), watched);
    expect([0, 0.4, 0.99].map(laws.get("generator_t") ?? (() => Number.NaN))).toEqual([1, 0.625, 0.21]);
    const { solver, grid, steps } = given.sampler;
    expect([solver, steps]).toEqual(["lcm", [3]]);
    expect(samplingGrid(given.model.form, grid, 3, eps)).toEqual([1, 0.625, 0.21, 0]);
    expect(dmd2({ steps: 4 }).sampler).toEqual({ solver: "lcm", grid: { kind: "uniform" }, steps: [4] });
    expect(() => dmd2({ stepTimes: [1, 0.2, 0.5] })).toThrow("The step times are 1, 0.2, 0.5. Times that fall from 1");
    expect(() => dmd2({ stepTimes: [0.9, 0.5] })).toThrow("fall from 1");
    expect(() => dmd2({ steps: 2, stepTimes: [1, 0.5, 0.2] })).toThrow("2 times that fall from 1 are expected");
  });

  it("Rectified Diffusion (CD) without its first stage counts and uses the guidance of its steps", () => {
    const stagesOf = (o: { rectify: number; guidance: number }) => {
      const options = rectifiedDiffusionCd.options.parse({ ...o, distance: mse });
      return { options, nfe: rectifiedDiffusionCd.teacherNfe(options) };
    };
    expect(stagesOf({ rectify: 0, guidance: 3 }).nfe).toEqual({ perImage: 2, perPair: 0 });
    expect(stagesOf({ rectify: 0.5, guidance: 3 }).nfe).toEqual({ perImage: 0.5, perPair: 100 });
    // A teacher that cannot be guided is refused, so the guidance is not forgotten.
    const plan = () => planOf(rectifiedDiffusionCd, teacher(table(), eps, null), { rectify: 0, guidance: 3 });
    expect(plan).toThrow("Guidance 3 needs a conditional model");
  });
});
