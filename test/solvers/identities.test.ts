// What holds exactly between solvers and forms: straight paths in any number of steps, one solver as a case of another.
import { describe, expect, test } from "vitest";
import {
  coefficients,
  edm,
  eps,
  linear,
  logSnr,
  quadraticGrid,
  table,
  uniformGrid,
  vp,
  x0,
} from "../../src/core/index.ts";
import { ddim, edmSampler, euler, solverByName, solvers } from "../../src/solvers/index.ts";
import { gaussianDenoiser } from "../oracle/gaussian.ts";
import { data, run } from "./run.ts";

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
    const [p, q] = coefficients(linear(), 0.2, x0, [1, 0]);
    expect([p, q]).toEqual([0, 1]);
  });
});
