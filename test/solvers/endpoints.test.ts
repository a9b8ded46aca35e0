// Published tables of errors and endpoints for the exact denoiser of a Gaussian, and for paths that cross.
import { describe, expect, test } from "vitest";
import { eps, linear, logSnrGrid, table, uniformGrid, ve, velocity, vPrediction, vp } from "../../src/core/index.ts";
import { ddim, euler, solverByName } from "../../src/solvers/index.ts";
import { gaussianDenoiser, gaussianFlow } from "../oracle/gaussian.ts";
import { data, run } from "./run.ts";

describe("signed errors on continuous VP, log-SNR-uniform grid, t from 1 to 1e-3, x = 1.2", () => {
  const form = vp();
  const exact = gaussianFlow(data, form, 1.2, 1, 1e-3);
  const table64: Record<string, number[]> = {
    ddim: [-1.367e-1, -7.649e-2, -4.051e-2, -2.086e-2, -1.058e-2, -5.332e-3],
    "dpm-2s": [1.07e-1, 2.399e-2, 5.568e-3, 1.339e-3, 3.282e-4, 8.124e-5],
    "dpm-3s": [6.093e-3, 7.13e-4, 6.695e-5, 7.064e-6, 8.019e-7, 9.52e-8],
    "dpm++2s": [-5.193e-2, -1.673e-2, -4.689e-3, -1.232e-3, -3.151e-4, -7.962e-5],
    "dpm++2m": [-2.88e-2, 1.023e-2, 4.608e-3, 1.251e-3, 3.18e-4, 7.981e-5],
    "dpm-2m": [-5.892e-2, -1.796e-2, -4.927e-3, -1.276e-3, -3.224e-4, -8.085e-5],
    "deis-tAB1": [-1.119e-1, -4.703e-2, -1.586e-2, -4.656e-3, -1.264e-3, -3.292e-4],
    "deis-tAB2": [-9.763e-2, -3.489e-2, -8.34e-3, -1.464e-3, -2.159e-4, -2.923e-5],
    "deis-tAB3": [-8.842e-2, -2.764e-2, -5.04e-3, -5.55e-4, -4.526e-5, -3.206e-6],
    "deis-rhoAB1": [-1.247e-1, -5.307e-2, -1.807e-2, -5.358e-3, -1.466e-3, -3.84e-4],
    euler: [1.047e-1, 5.766e-2, 2.572e-2, 1.198e-2, 5.762e-3, 2.824e-3],
    heun: [-1.439e-1, -1.627e-2, -2.411e-3, -4.253e-4, -8.602e-5, -1.91e-5],
  };
  test("exact end", () => expect(exact).toBeCloseTo(0.8591933285, 9));
  test.each(Object.entries(table64))("%s", async (name, errors) => {
    for (const [i, error] of errors.entries()) {
      const x = await run(solverByName(name), form, logSnrGrid(form, 5 * 2 ** i), 1.2);
      expect(Math.abs((x - exact) / error - 1)).toBeLessThan(6e-4); // four printed digits
    }
  });
  test("time-uniform grid", async () => {
    const errors = [-4.77e-2, 9.36e-2, 1.015e-1, 5.08e-2, 1.67e-2, 4.44e-3];
    for (const [i, error] of errors.entries()) {
      const x = await run(solverByName("dpm++2m"), form, uniformGrid(5 * 2 ** i, { to: 1e-3 }), 1.2);
      expect(Math.abs((x - exact) / error - 1)).toBeLessThan(6e-3);
    }
  });
  test("point values", async () => {
    const at = (name: string, steps: number) => run(solverByName(name), form, logSnrGrid(form, steps), 1.2);
    expect(await at("ddim", 10)).toBeCloseTo(0.7827069578, 9);
    expect(await at("dpm++2m", 10)).toBeCloseTo(0.869425762, 9);
    expect(await at("dpm-2s", 5)).toBeCloseTo(0.966172477, 9);
    expect(await at("deis-tAB2", 10)).toBeCloseTo(0.8242990533, 9);
  });
});

describe("Gaussian endpoints", () => {
  test("teacher, DDIM trailing", async () => {
    for (const [steps, end] of [
      [1, 0.5339579224],
      [2, 0.5795322392],
      [4, 0.6363919654],
      [8, 0.6883122047],
      [25, 0.7469064448],
    ]) {
      expect(await run(ddim(), table(), uniformGrid(steps), 1)).toBeCloseTo(end, 9);
    }
  });
  test("flow matching, Euler = DDIM", async () => {
    for (const [steps, end] of [
      [1, 0.5],
      [2, 0.5825688073],
      [4, 0.6772467429],
      [8, 0.7347314254],
      [25, 0.777707712],
      [100, 0.794274267],
    ]) {
      for (const solver of [euler, ddim()])
        expect(await run(solver, linear(), uniformGrid(steps), 1, velocity)).toBeCloseTo(end, 9);
    }
  });
  test("teacher chains inside windows", async () => {
    const rows: [number, number, number[], number][] = [
      [1, 0.75, [1.0603177107, 1.0609432475, 1.0613537129, 1.0614933251], 1.0616334746],
      [0.75, 0.5, [1.0407368837, 1.0430618941, 1.0445227598, 1.0450154396], 1.0455094023],
      [0.5, 0.25, [0.9265393396, 0.9329084615, 0.9370117585, 0.9384096123], 0.9398157442],
      [0.25, 0, [0.6381986004, 0.6877870882, 0.735156493, 0.7571584032], 0.7856912428],
    ];
    for (const [from, to, ends, exact] of rows) {
      for (const [i, steps] of [1, 2, 5, 10].entries()) {
        expect(await run(ddim(), table(), uniformGrid(steps, { from, to }), 1)).toBeCloseTo(ends[i], 9);
      }
      expect(gaussianFlow(data, table(), 1, from, to)).toBeCloseTo(exact, 9);
    }
    const grid = [1, 0.75, 0.5, 0.25].flatMap((s) => Array.from({ length: 10 }, (_, j) => s - j / 40));
    expect(await run(ddim(), table(), [...grid, 0], 1)).toBeCloseTo(0.7614035106, 9);
  });
  test("data N(0, 1) on VP does not move", async () => {
    const still = gaussianDenoiser<Float64Array>({ mean: 0, std: 1 }, vp(), vPrediction);
    for (const solver of [euler, solverByName("heun"), solverByName("rk45")]) {
      expect(await run(solver, vp(), uniformGrid(7, { to: 0.01 }), 0.8, vPrediction, still)).toBeCloseTo(0.8, 12);
    }
  });
});

describe("crossing paths: many steps re-wire an anti-monotone coupling", () => {
  const ideal = (y: number, r: number) => {
    const [a, b] = [(y + 1) / r, (y - 1) / r];
    const density = (z: number) => Math.exp((-z * z) / 2);
    const [wa, wb] = [y > -1 ? density(a) : 0, y < 1 ? density(b) : 0];
    return (a * wa + b * wb) / (wa + wb);
  };
  const rows: [number, number[]][] = [
    [0.8, [-0.992, -0.69691, -0.960637, 0.978686, 0.987509, 0.992904, 0.99434]],
    [0.3, [-0.997, -0.916094, 0.905907, 0.968398, 0.979731, 0.985772, 0.988032]],
    [0.05, [-0.9995, -0.95876, -0.903406, -0.900188, 0.959875, 0.975921, 0.979224]],
    [-0.5, [0.995, 0.856864, 0.980319, -0.908264, -0.984324, -0.990129, -0.991178]],
  ];
  test.each(rows)("eps = %d", async (noise, ends) => {
    const form = ve({ sigmaMin: 0.01, sigmaMax: 50 });
    const denoise = async (x: Float64Array, t: number) => x.map((y) => ideal(y, form.at(t)[1]));
    for (const [i, steps] of [1, 2, 4, 8, 16, 64, 1000].entries()) {
      const start = -Math.sign(noise) + 50 * noise;
      expect(await run(ddim(), form, uniformGrid(steps), start, eps, denoise)).toBeCloseTo(ends[i], 5);
    }
  });
});
