// Published tables of errors and endpoints for exact denoisers, and structural identities between solvers and forms.
import { describe, expect, test } from "vitest";
import {
  edm,
  eps,
  type Form,
  linear,
  logSnr,
  logSnrGrid,
  quadraticGrid,
  read,
  table,
  u,
  uniformGrid,
  v,
  ve,
  vp,
  x0,
} from "../../src/core/index.ts";
import { ddim, edmSampler, euler, integrate, type Solver, solverByName, solvers } from "../../src/solvers/index.ts";
import { gaussianDenoiser, gaussianFlow } from "../oracle/gaussian.ts";
import { cdf, endpoint, gmmA, mixtureDenoiser, posterior } from "../oracle/mixture.ts";

const data = { mean: 0.5, std: 0.3 };
const run = (
  solver: Solver,
  form: Form,
  times: readonly number[],
  start: number,
  prediction = eps,
  denoise = gaussianDenoiser<Float64Array>(data, form, prediction),
) => integrate(solver, { form, prediction, times, x: Float64Array.of(start), denoise }).then((x) => x[0]);

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
        expect(await run(solver, linear(), uniformGrid(steps), 1, u)).toBeCloseTo(end, 9);
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
    const still = gaussianDenoiser<Float64Array>({ mean: 0, std: 1 }, vp(), v);
    for (const solver of [euler, solverByName("heun"), solverByName("rk45")]) {
      expect(await run(solver, vp(), uniformGrid(7, { to: 0.01 }), 0.8, v, still)).toBeCloseTo(0.8, 12);
    }
  });
});

describe("mixture A", () => {
  const rows: [string, readonly [number, number], number[]][] = [
    [
      "VP 249",
      table().at(0.25),
      [-1.0492565592, 0.9019766176, -0.5138635965, 0.8429213874, -0.9025365705, -1.3567849839],
    ],
    [
      "VP 499",
      table().at(0.5),
      [-0.9975820635, -0.0924044948, 0.0785345986, 0.6324270249, -0.4961165438, -0.5538924263],
    ],
    ["VP 999", table().at(1), [-0.9930641628, -0.381993054, 0.381101952, 0.289857117, -0.2631650549, 0.091244835]],
    [
      "FM .25",
      linear().at(0.25),
      [-0.7369564978, 2.2950620927, -0.5737655232, 0.7245885077, -0.6114712693, -1.298354031],
    ],
    [
      "FM .5",
      linear().at(0.5),
      [-0.6383585478, 0.1782640252, -0.0891320126, 0.8891320126, -0.4891320126, -0.9782640252],
    ],
    ["FM .9", linear().at(0.9), [-0.907390722, -0.4541120179, 0.4087008161, 0.321692655, -0.2486533079, 0.0870081611]],
    ["VE .5", [1, 0.5], [-1.2672740993, 1.4508830851, -0.7254415426, 0.7627207713, -1.1068019282, -1.4881623138]],
    ["VE 2", [1, 2], [-1.776615888, 0.0058991013, -0.0117982026, 0.4235964051, -0.8589910128, -0.4353946077]],
    ["VE 10", [1, 10], [-3.228788338, -0.0014226015, 0.0142260151, 0.257739849, -2.5631724748, -0.2435138339]],
    ["sub-VP", [0.8, 0.36], [-0.8897383668, 1.7218067677, -0.6198504364, 0.7789326964, -0.7762961198, -1.3987831327]],
  ];
  test.each(rows)("posterior at x = 0.4, %s", (_name, row, values) => {
    const p = posterior(gmmA, row, 0.4);
    const vang = row[0] * p.eps - row[1] * p.x0;
    [p.logp, p.score, p.eps, p.x0, vang, p.eps - p.x0].forEach((value, i) => {
      expect(value).toBeCloseTo(values[i], 9);
    });
  });

  test("eps and x0 do not depend on the form", () => {
    const y = 0.7;
    const lambda = logSnr(table(), 0.5);
    for (const form of [table(), linear(), ve(), vp(), edm()]) {
      const [alpha, sigma] = form.at(form.tAt(lambda));
      const p = posterior(gmmA, [alpha, sigma], y * alpha);
      expect(p.eps).toBeCloseTo(0.0544342823, 9);
      expect(p.x0).toBeCloseTo(0.6122036976, 9);
    }
  });

  test("DDIM on matched log-SNR grids gives the same scaled states in every form", async () => {
    const levels = Array.from({ length: 9 }, (_, i) => -2.5 + 0.6 * i);
    const paths: number[][] = [];
    for (const form of [table(), linear(), ve(), vp()]) {
      const times = levels.map((l) => form.tAt(l));
      const path: number[] = [];
      const x = Float64Array.of(5 * form.at(times[0])[0]);
      const denoise = mixtureDenoiser<Float64Array>(gmmA, form, v);
      await integrate(ddim(), {
        form,
        prediction: v,
        times,
        x,
        denoise,
        onStep: ({ x, next }) => path.push(x[0] / form.at(next)[0]),
      });
      paths.push(path);
    }
    const spread = levels
      .slice(1)
      .map((_, i) => Math.max(...paths.map((p) => p[i])) - Math.min(...paths.map((p) => p[i])));
    expect(Math.max(...spread)).toBeLessThan(1e-11);
  });

  test("endpoints by quantile", () => {
    const ends = [
      [-30, 0.0655522405, -1.6556429527],
      [-15, 0.2232857977, -1.3685127997],
      [-10.4, 0.2975146241, -1.020179759],
      [-5, 0.3966409944, 0.5642305415],
      [0, 0.4950129699, 0.7651124613],
      [10, 0.686732028, 1.0527825756],
      [25, 0.8916396441, 1.4065508184],
    ];
    for (const [y, f, end] of ends) {
      expect(cdf(gmmA, y, 20)).toBeCloseTo(f, 9);
      expect(endpoint(gmmA, y, 20, 0.01)).toBeCloseTo(end, 8);
    }
  });

  test("few-step teacher baselines, VP trailing: mean and rms error over 199 quantiles", async () => {
    const form = table();
    const ratio = (t: number) => form.at(t)[1] / form.at(t)[0];
    const quantile = (level: number, r: number) => {
      let [low, high] = [-200, 200];
      for (let i = 0; i < 100; i++) {
        const middle = (low + high) / 2;
        if (cdf(gmmA, middle, r) < level) low = middle;
        else high = middle;
      }
      return (low + high) / 2;
    };
    const levels = Array.from({ length: 199 }, (_, j) => (j + 1) / 200);
    const start = Float64Array.from(levels, (q) => form.at(1)[0] * quantile(q, ratio(1)));
    const ends = levels.map((q) => form.at(0)[0] * quantile(q, ratio(0)));
    for (const [steps, mean, rms] of [
      [1, 0.9617, 1.07958],
      [2, 0.51789, 0.59232],
      [4, 0.19353, 0.2926],
      [8, 0.10113, 0.17482],
      [25, 0.03768, 0.08726],
      [50, 0.01987, 0.04923],
    ]) {
      const x = await integrate(ddim(), {
        form,
        prediction: eps,
        times: uniformGrid(steps),
        x: start,
        denoise: mixtureDenoiser(gmmA, form, eps),
      });
      // Errors of x0: undo the last level's scale, as the table does.
      const errors = ends.map((e, i) => Math.abs(x[i] - e));
      expect(errors.reduce((a, b) => a + b) / 199).toBeCloseTo(mean, 3);
      expect(Math.sqrt(errors.reduce((a, b) => a + b * b, 0) / 199)).toBeCloseTo(rms, 3);
    }
  });
});

describe("a first-order trajectory (constant eps) is solved exactly", () => {
  const exponential = solvers.filter(
    (s) => s.kind === "ode" && !s.smooth && s.name !== "perflow" && s.name !== "euler",
  );
  test.each(
    exponential.map((s) => [s.name, s] as const),
  )("%s, any number of steps, any grid", async (_name, solver) => {
    const [noise, signal] = [0.7, -0.4];
    for (const form of [vp(), linear(), table()]) {
      for (const times of [
        uniformGrid(4, { from: 0.95, to: 0.05 }),
        quadraticGrid(9, { from: 0.95, to: 0.05 }),
        [0.95, 0.3, 0.29, 0.05],
      ]) {
        const denoise = async () => Float64Array.of(noise);
        const at = (t: number) => form.at(t)[0] * signal + form.at(t)[1] * noise;
        expect(Math.abs((await run(solver, form, times, at(0.95), eps, denoise)) - at(0.05))).toBeLessThan(1e-11);
      }
    }
  });
  test("Heun in t is not, off the straight forms (negative control)", async () => {
    const denoise = async () => Float64Array.of(0.7);
    const at = (t: number) => vp().at(t)[0] * -0.4 + vp().at(t)[1] * 0.7;
    const x = await run(solverByName("heun"), vp(), uniformGrid(4, { from: 0.95, to: 0.05 }), at(0.95), eps, denoise);
    expect(Math.abs(x - at(0.05))).toBeGreaterThan(1e-3);
  });
});

describe("identities between solvers", () => {
  test("Euler on the linear form, Euler in sigma, DPM-1 are DDIM; EDM without the second evaluation too", async () => {
    const grid = uniformGrid(5, { from: 0.9, to: 0.1 });
    const a = await run(ddim(), linear(), grid, 1);
    expect(await run(euler, linear(), grid, 1)).toBeCloseTo(a, 13);
    const levels = grid.map((t) => logSnr(linear(), t));
    let y = 1 / linear().at(0.9)[0];
    for (let i = 0; i < 5; i++) {
      const [r, next] = [Math.exp(-levels[i]), Math.exp(-levels[i + 1])];
      const e = (
        await gaussianDenoiser<Float64Array>(data, linear(), eps)(Float64Array.of(y * linear().at(grid[i])[0]), grid[i])
      )[0];
      y += (next - r) * e;
    }
    expect(y * linear().at(0.1)[0]).toBeCloseTo(a, 13);
  });
  test("EDM's sampler is Heun in r", async () => {
    const form = edm();
    const grid = uniformGrid(8);
    let y = 40;
    const slope = (value: number, r: number) => (r * (value - data.mean)) / (data.std ** 2 + r * r);
    for (let i = 0; i < 8; i++) {
      const [r, next] = [form.at(grid[i])[1], form.at(grid[i + 1])[1]];
      const first = slope(y, r);
      const predicted = y + (next - r) * first;
      y += ((next - r) * (first + slope(predicted, next))) / 2;
    }
    expect(await run(edmSampler(), form, grid, 40)).toBeCloseTo(y, 12);
  });
  test("the last step to pure data returns x0", async () => {
    const [p, q] = read(linear(), 0.2, x0, [1, 0]);
    expect([p, q]).toEqual([0, 1]);
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
