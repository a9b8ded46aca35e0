// The contract of every sampler: measured order = declared order on every form, counted NFE = declared NFE, identity at rest.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { chord, edm, linear, table, uniformWindows, velocity, vPrediction, vp } from "../../src/core/index.ts";
import { integrate, type Solver, solverByName, solvers } from "../../src/solvers/index.ts";
import { consistencyStudent, gaussianDenoiser, gaussianFlow } from "../oracle/gaussian.ts";
import { arenaGrid, arenas, measureOrder, sdeError, supports } from "../oracle/order.ts";

const data = { mean: 0.5, std: 0.3 };
const converging = solvers.filter((s) => s.kind !== "consistency");

describe.each(converging.map((s) => [s.name, s] as const))("%s", (_name, solver) => {
  test.each(
    arenas.filter((a) => supports(solver, a)).map((a) => [a.form.name, a] as const),
  )("has its declared order on %s", async (_form, arena) => {
    const measured = await measureOrder(solver, arena);
    // What is left of the next order bends the slope of three step counts; order 5 reaches rounding before it settles.
    expect(Math.abs(measured - solver.order), `measured ${measured.toFixed(2)}, declared ${solver.order}`).toBeLessThan(
      solver.order === 5 ? 0.6 : 0.35,
    );
  });
});

const someArena = (solver: Solver) => arenas.find((a) => supports(solver, a)) ?? arenas[0];

describe.each(solvers.map((s) => [s.name, s] as const))("%s", (_name, solver) => {
  const arena = someArena(solver);
  const { form, from } = arena;
  const denoise = gaussianDenoiser<Float64Array>(data, form, vPrediction);
  const noise = (): Float64Array => Float64Array.of(0.3, -1.2);

  test("counted NFE = declared NFE", async () => {
    const steps = 12;
    const seen: number[] = [];
    let calls = 0;
    await integrate(solver, {
      form,
      prediction: vPrediction,
      times: arenaGrid(arena, steps),
      x: Float64Array.of(0.4, -1) as Float64Array,
      predict: (x, t) => {
        calls++;
        return denoise(x, t);
      },
      noise,
      onStep: ({ nfe }) => seen.push(nfe),
    });
    expect(seen.at(-1)).toBe(calls);
    if (solver.nfePerStep === "adaptive") expect(calls).toBeGreaterThanOrEqual(6 * steps);
    else expect(seen).toEqual(Array.from({ length: steps }, (_, k) => (k + 1) * (solver.nfePerStep as number)));
  });

  // Consistency sampling jumps to data and diffuses back, churn adds noise first: the same level, but a new state.
  const rests = solver.kind !== "consistency" && !solver.name.includes("churn");
  test(rests ? "a step of length zero is the identity" : "a step of length zero draws a new state", async () => {
    const x = Float64Array.of(0.4, -1);
    const t = from - 0.1;
    const times = [t, t - 0.05];
    const step = {
      form,
      prediction: vPrediction,
      t,
      next: t,
      x,
      k: 0,
      times,
      predict: denoise,
      noise,
      state: solver.init<Float64Array>(),
    };
    const { x: there } = await solver.step(step);
    for (const i of [0, 1]) {
      expect(Number.isFinite(there[i])).toBe(true);
      if (rests) expect(Math.abs(there[i] - x[i])).toBeLessThan(1e-14);
      else expect(Math.abs(there[i] - x[i])).toBeGreaterThan(1e-3);
    }
  });

  test("does not change its input and keeps float32", async () => {
    const x = Float32Array.of(0.4, -1);
    const steps = arenaGrid(arena, 6);
    const run = () =>
      integrate(solver, {
        form,
        prediction: vPrediction,
        times: steps,
        x,
        predict: gaussianDenoiser<Float32Array>(data, form, vPrediction),
        noise: () => Float32Array.of(0.3, -1.2),
      });
    const [first, second] = [await run(), await run()];
    expect(first).toBeInstanceOf(Float32Array);
    expect(second).toEqual(first);
    expect([...x]).toEqual([...Float32Array.of(0.4, -1)]);
  });
});

const exponential = solvers.filter(({ kind, smooth }) => kind === "ode" && !smooth);
test("most ODE solvers are of the exponential type", () =>
  expect(exponential.length).toBeGreaterThan(solvers.filter(({ kind }) => kind === "ode").length / 2));

describe.each(exponential.map((s) => [s.name, s] as const))("%s", (_name, solver) => {
  const arena = someArena(solver);
  const { form, from } = arena;
  test("point mass: every path ends at the point", async () => {
    const point = { mean: 0.7, std: 0 };
    const x = await integrate(solver, {
      form,
      prediction: vPrediction,
      times: arenaGrid(arena, 6),
      x: Float64Array.of(1.3),
      predict: gaussianDenoiser(point, form, vPrediction),
    });
    expect(x[0]).toBeCloseTo(gaussianFlow(point, form, 1.3, from, arena.to), 10);
  });
});

describe("stochastic solvers", () => {
  test.each(
    converging.filter((s) => s.kind === "sde").map((s) => [s.name, s] as const),
  )("%s keeps the mean exactly", async (_n, solver) => {
    for (const arena of arenas.filter((a) => supports(solver, a)))
      expect((await sdeError(solver, arena, 24, data)).mean).toBeLessThan(1e-12);
  });
  test("noise is refused when there is none", async () => {
    const run = integrate(solverByName("ancestral"), {
      form: vp(),
      prediction: vPrediction,
      times: [1, 0.5],
      x: Float64Array.of(1),
      predict: gaussianDenoiser(data, vp(), vPrediction),
    });
    await expect(run).rejects.toThrow(/ancestral is stochastic/);
  });
});

describe("a consistency student is sampled exactly", () => {
  const form = table();
  const student = consistencyStudent<Float64Array>(data, form, vPrediction, 0);
  // TCD reads in between, where this student is not exact, unless there is only one step.
  test.each([
    ["lcm", 1],
    ["lcm", 2],
    ["lcm", 4],
    ["tcd(0.3)", 1],
  ] as const)("%s, %d steps", async (name, steps) => {
    const times = Array.from({ length: steps + 1 }, (_, i) => 1 - i / steps);
    const x = new Float64Array(steps + 2);
    x[1] = 1;
    const noise = (k: number) => x.map((_, i) => (i === k + 2 ? 1 : 0));
    const end = await integrate(solverByName(name), {
      form,
      prediction: vPrediction,
      times,
      x,
      predict: student,
      noise,
    });
    const [a, b] = [form.at(1), form.at(0)];
    let variance = (end[1] - end[0]) ** 2 * ((a[0] * data.std) ** 2 + a[1] ** 2);
    for (let k = 0; k < steps; k++) variance += (end[k + 2] - end[0]) ** 2;
    expect(variance).toBeCloseTo((b[0] * data.std) ** 2 + b[1] ** 2, 10);
    expect(end[0] + (end[1] - end[0]) * a[0] * data.mean).toBeCloseTo(b[0] * data.mean, 10);
  });
});

test("docs/solvers.md lists every solver with its declared order", () => {
  const text = readFileSync(new URL("../../docs/solvers.md", import.meta.url), "utf8");
  for (const { name } of solvers) expect(text).toContain(`| \`${name}\` |`);
  const rows = text.split("\n").filter((line) => line.startsWith("| `"));
  expect(rows.map((row) => row.split(" | ")[2])).toEqual(solvers.map(({ order }) => String(order || "–")));
});

describe("special ends: alpha = 0 at the start, sigma = 0 at the end", () => {
  test.each(
    solvers.filter((s) => !s.refuses?.(linear())).map((s) => [s.name, s] as const),
  )("%s", async (_name, solver) => {
    const times = [1, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0];
    const x = await integrate(solver, {
      form: linear(),
      prediction: velocity,
      times,
      x: Float64Array.of(1),
      predict: gaussianDenoiser(data, linear(), velocity),
      noise: () => Float64Array.of(0),
    });
    expect(Number.isFinite(x[0])).toBe(true);
    if (solver.kind === "ode") expect(Math.abs(x[0] - 0.8)).toBeLessThan(0.13);
  });
});

describe("impossible plans are refused with the values named", () => {
  const run = (name: string, form = vp(), times: number[] = [1, 0.5], prediction = vPrediction) =>
    integrate(solverByName(name), {
      form,
      prediction,
      times,
      x: Float64Array.of(1),
      predict: gaussianDenoiser(data, form, prediction),
    });
  test("too few steps to warm up", () =>
    expect(run("dpm++3m")).rejects.toThrow(/dpm\+\+3m has order 3 and cannot warm up in 1 steps/));
  test("fewer steps than windows", () =>
    expect(run("ddim", chord(table(), uniformWindows(4)), [1, 0.5, 0])).rejects.toThrow(
      /2 steps cannot cover 4 windows/,
    ));
  test("a step across a window edge", () =>
    expect(run("ddim", chord(table(), uniformWindows(2)), [1, 0.6, 0.4, 0])).rejects.toThrow(
      /0.6 to 0.4 crosses the window edge 0.5/,
    ));
  test("a grid that does not fall", () => expect(run("ddim", vp(), [1, 0.5, 0.7])).rejects.toThrow(/0.5 and 0.7/));
  test("the wrong form", async () => {
    await expect(run("perflow")).rejects.toThrow(/perflow samples on a chord, but the form is vp/);
    await expect(run("heun", chord(table(), uniformWindows(1)), [1, 0])).rejects.toThrow(/kink/);
    await expect(run("phased", chord(table(), uniformWindows(1)), [1, 0])).rejects.toThrow(/own form/);
  });
  test("a singular read", () => {
    const noisePrediction = { ...vPrediction, name: "eps" as const, row: () => [0, 1] as const };
    return expect(run("ddim", linear(), [1, 0.5], noisePrediction)).rejects.toThrow(/eps on the form linear at t = 1/);
  });
  test("an unknown name", () => expect(() => solverByName("magic")).toThrow(/Unknown solver "magic"/));
});

test("rk45 meets its tolerance", async () => {
  const { rk45 } = await import("../../src/solvers/index.ts");
  for (const form of [linear(), vp(), edm()]) {
    const [from, to] = [0.98, 0.02];
    const errors: number[] = [];
    for (const rtol of [1e-3, 1e-5, 1e-7]) {
      const x = await integrate(rk45({ rtol, atol: rtol }), {
        form,
        prediction: vPrediction,
        times: [from, to],
        x: Float64Array.of(1),
        predict: gaussianDenoiser(data, form, vPrediction),
      });
      errors.push(Math.abs(x[0] - gaussianFlow(data, form, 1, from, to)));
      expect(errors.at(-1)).toBeLessThan(20 * rtol);
    }
    expect(errors[2]).toBeLessThan(errors[0] / 100);
  }
});
