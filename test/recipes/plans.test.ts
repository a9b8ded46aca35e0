// What a recipe says around its loss: the student's form and prediction, where its data comes from, its times and sampler.

import { describe, expect, it } from "vitest";
import { chord, diffEps, eps, type Form, linear, table, u, uniformWindows, vp } from "../../src/core/index.ts";
import type { Plan } from "../../src/recipes/index.ts";
import {
  diffusion,
  flowMatching,
  type PerflowOptions,
  perflow,
  rectifiedDiffusion,
  rectifiedDiffusionPhased,
} from "../../src/recipes/index.ts";
import { tinyModel } from "../run/helpers.ts";

const mse = { kind: "mse" } as const;
const teacher = (form: Form = table()) => tinyModel(form, eps, 3);
const windowed = {
  windows: 4,
  teacherSolver: "ddim",
  teacherSteps: 1,
  guidance: 1,
  atStarts: 0.5,
  distance: mse,
} as const;
const flow = (o: Partial<PerflowOptions> = {}) =>
  perflow(teacher(), { ...windowed, predict: "ddim_eps", weight: "uniform", ...o });
const timesOf = (plan: Plan) => [0, 0.25, 0.5, 0.75].map(plan.times);

describe("the plan of", () => {
  it("diffusion covers the form's times", () => {
    const { model } = teacher(vp());
    const plan = diffusion({ ...model, form: { ...model.form, tMin: 0.2, tMax: 0.8 } });
    expect([plan.method, plan.source]).toEqual(["diffusion", "data"]);
    expect(plan.sampler).toEqual({ solver: "ddim", grid: { kind: "uniform" }, steps: [50] });
    expect(timesOf(plan)).toEqual([0.8, 0.65, 0.5, 0.35].map((t) => expect.closeTo(t, 12)));
  });

  it("flow matching differs from it in times and sampler", () => {
    const { model } = tinyModel(linear(), u);
    const plan = flowMatching(model, { times: "uniform" });
    expect([plan.method, plan.source, plan.model]).toEqual(["flow-matching", "data", model]);
    expect(plan.sampler).toEqual({ solver: "euler", grid: { kind: "uniform" }, steps: [50] });
    expect(timesOf(plan)).toEqual([1, 0.75, 0.5, 0.25]);
    const logistic = flowMatching(model, { times: "logit-normal" });
    expect(logistic.times(0.5)).toBe(0.5);
    // sigmoid of the normal's quantile at 0.75, 0.6745.
    expect(logistic.times(0.75)).toBeCloseTo(1 / (1 + Math.exp(-0.674489750196)), 9);
  });

  it("PeRFlow trains on the chord, and samples window by window", () => {
    const plan = flow();
    expect([plan.method, plan.source]).toEqual(["perflow", "data"]);
    expect(plan.model.form.spec).toEqual(chord(table(), uniformWindows(4)).spec);
    expect(plan.sampler).toEqual({
      solver: "ddim",
      grid: { kind: "windows", windows: { kind: "uniform", count: 4 } },
      steps: [4, 8],
    });
    // Half the batch at the four starts, the rest anywhere.
    expect(timesOf(plan)).toEqual([1, 0.5, 1, 0.5]);
    expect([0.125, 0.375].map(plan.times)).toEqual([0.75, 0.25]);
    expect(timesOf(flow({ atStarts: 0 }))).toEqual([1, 0.75, 0.5, 0.25]);
  });

  it("PeRFlow's student predicts what it is told to", () => {
    const predictions = (["ddim_eps", "diff_eps", "velocity"] as const).map((predict) => flow({ predict }));
    expect(predictions.map((plan) => plan.model.prediction)).toEqual([eps, diffEps, u]);
  });

  it("Rectified Diffusion keeps the teacher's model and learns from pairs", () => {
    const { model } = teacher();
    const plan = rectifiedDiffusion({ model }, { atNoise: 0.5, distance: mse });
    expect([plan.method, plan.source, plan.model]).toEqual(["rectified-diffusion", "pairs", model]);
    expect(plan.sampler).toEqual({ solver: "ddim", grid: { kind: "uniform" }, steps: [1, 2] });
    const { tMin } = model.form;
    expect(timesOf(plan)).toEqual([1, 1, 1, 1 - (1 - tMin) / 2]);
  });

  it("Rectified Diffusion's times begin where the form does", () => {
    const { model } = teacher();
    const form = { ...model.form, tMin: 0.2 };
    const plan = rectifiedDiffusion({ model: { ...model, form } }, { atNoise: 0, distance: mse });
    expect(timesOf(plan)).toEqual([1, 0.8, 0.6, 0.4].map((t) => expect.closeTo(t, 12)));
  });

  it("phased Rectified Diffusion keeps it too, and samples window by window", () => {
    const made = teacher();
    const plan = rectifiedDiffusionPhased(made, windowed);
    expect([plan.method, plan.source, plan.model]).toEqual(["rectified-diffusion-phased", "data", made.model]);
    expect(plan.sampler).toEqual({
      solver: "ddim",
      grid: { kind: "windows", windows: { kind: "uniform", count: 4 } },
      steps: [4, 8],
    });
    expect(timesOf(plan)).toEqual([1, 0.5, 1, 0.5]);
  });
});
