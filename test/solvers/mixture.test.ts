// Published tables for the exact denoiser of a mixture of Gaussians: posteriors, endpoints, errors of few steps.
import { describe, expect, test } from "vitest";
import { edm, eps, linear, logSnr, table, uniformGrid, ve, vPrediction, vp } from "../../src/core/index.ts";
import { ddim, integrate } from "../../src/solvers/index.ts";
import { cdf, endpoint, gmmA, mixtureDenoiser, posterior } from "../oracle/mixture.ts";

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
      const predict = mixtureDenoiser<Float64Array>(gmmA, form, vPrediction);
      await integrate(ddim(), {
        form,
        prediction: vPrediction,
        times,
        x,
        predict,
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
        predict: mixtureDenoiser(gmmA, form, eps),
      });
      // Errors of x0: undo the last level's scale, as the table does.
      const errors = ends.map((e, i) => Math.abs(x[i] - e));
      expect(errors.reduce((a, b) => a + b) / 199).toBeCloseTo(mean, 3);
      expect(Math.sqrt(errors.reduce((a, b) => a + b * b, 0) / 199)).toBeCloseTo(rms, 3);
    }
  });
});
