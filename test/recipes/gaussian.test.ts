// Couplings and recipes through the engine, where everything is known: a Gaussian teacher and the ideal students.

import { afterAll, describe, expect, it } from "vitest";
import { chord, cosine, edm, eps, type Form, linear, table, uniformWindows, ve, vp } from "../../src/core/index.ts";
import { independent } from "../../src/couplings/independent.ts";
import { storedPairs } from "../../src/couplings/storedPairs.ts";
import { windowPairs } from "../../src/couplings/windowPairs.ts";
import { add, input, mul } from "../../src/graph/index.ts";
import { guided, inForm, type Model } from "../../src/model.ts";
import type { Params } from "../../src/nn/params.ts";
import { type Clock, read, times } from "../../src/pair.ts";
import { fold, key, normal } from "../../src/random.ts";
import { type PerflowOptions, perflow } from "../../src/recipes/perflow.ts";
import type { NetModel } from "../../src/recipes/plan.ts";
import { rectifiedDiffusion } from "../../src/recipes/rectifiedDiffusion.ts";
import { rectifiedDiffusionPhased } from "../../src/recipes/rectifiedDiffusionPhased.ts";
import { sampleAll, sampler, samplingGrid } from "../../src/run/sample.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { ddim, solverByName } from "../../src/solvers/index.ts";

const runtime = nodeRuntime({ threads: 1 });
const [m, s] = [0.5, 0.3];
const B = 48;
const none: Params = () => {
  throw new Error("A closed form has no parameters.");
};

/** A "network" that is an affine function of x with coefficients that depend on t. */
const affine = (form: Form, slope: (t: number) => number, center: (t: number) => number): NetModel => ({
  form,
  prediction: eps,
  sampleShape: [1],
  labelCount: null,
  apply: (_, x, clock: Clock) =>
    add(
      mul(x, clock.column(slope, 2)),
      clock.column((t) => -slope(t) * center(t), 2),
    ),
});
const gaussianTeacher = (form: Form): NetModel =>
  affine(
    form,
    (t) => {
      const [a, b] = form.at(t);
      return b / (a * a * s * s + b * b);
    },
    (t) => form.at(t)[0] * m,
  );
const spread = (form: Form, t: number) => Math.hypot(form.at(t)[0] * s, form.at(t)[1]);
/** The exact trajectory keeps (x − alpha·m)/S. */
const flow = (form: Form, x: number, from: number, to: number) =>
  form.at(to)[0] * m + (spread(form, to) * (x - form.at(from)[0] * m)) / spread(form, from);
/** Mean prediction of a window: c·ξ with c = ΔS'/Δr (methods 6.3). */
const windowSlope = (form: Form, start: number, end: number) => {
  const at = (t: number) => form.at(t)[1] / form.at(t)[0];
  const spreadY = (t: number) => spread(form, t) / form.at(t)[0];
  return (spreadY(end) - spreadY(start)) / (at(end) - at(start));
};

const data = { x: normal(fold(key(1), "x"), B).map((v) => m + s * v), noise: normal(fold(key(1), "noise"), B) };
const tensors = { x: input("x", [B, 1]), noise: input("noise", [B, 1]) };
const spreadTimes = Float64Array.from({ length: B }, (_, i) => 1 - i / B);

afterAll(() => expect(runtime.open()).toBe(0));

describe.each([
  ["table", table()],
  ["vp", vp()],
] as const)("window pairs on %s", (_, form) => {
  const pairsOf = async (k: number, solver: "ddim" | "dpm++2m", steps: number, ts: Float64Array) => {
    const clock = times(B);
    const windows = uniformWindows(k);
    const { pair } = windowPairs(gaussianTeacher(form), none, windows, { solver, steps, guidance: 1 })(tensors, clock);
    const program = await runtime.compile({ a: pair.a, b: pair.b });
    const out = await program.run({ ...data, ...clock.feeds(ts) });
    await program.dispose();
    return { windows, a: out.a.data as Float32Array, b: out.b.data as Float32Array };
  };

  it("converge to the exact trajectory as the teacher takes more steps", async () => {
    const error = async (solver: "ddim" | "dpm++2m", steps: number, above = 0) => {
      const { windows, a, b } = await pairsOf(4, solver, steps, spreadTimes);
      return Math.max(
        ...spreadTimes.map((t, i) => {
          const { start, end } = windows.of(t);
          return t > above ? Math.abs(b[i] - flow(form, a[i], start, end)) : 0;
        }),
      );
    };
    const [few, many] = [await error("ddim", 8), await error("ddim", 64)];
    expect(many).toBeLessThan(few / 5);
    expect(many).toBeLessThan(0.02);
    // Second order shows before the last window, where the log-SNR runs off to the data end.
    expect(await error("dpm++2m", 64, 0.25)).toBeLessThan((await error("ddim", 64, 0.25)) / 20);
  });

  it("hold the right window at every edge, for K = 1 … 12", async () => {
    for (let k = 1; k <= 12; k++) {
      const edges = Float64Array.from({ length: B }, (_, i) => (k - (i % k)) / k);
      const { a } = await pairsOf(k, "ddim", 1, edges);
      edges.forEach((t, i) => {
        const [alpha, sigma] = form.at(t);
        expect(a[i]).toBeCloseTo(alpha * data.x[i] + sigma * data.noise[i], 5);
      });
    }
  });
});

describe("pairs", () => {
  it("of stored samples start where the sampler starts", async () => {
    const form = table();
    const clock = times(B);
    const { pair } = storedPairs(form)(tensors, clock);
    const program = await runtime.compile({ start: read(pair, (t) => form.at(t)), x0: read(pair, () => [1, 0]) });
    const out = await program.run({ ...data, ...clock.feeds(new Float64Array(B).fill(1)) });
    expect([...(out.start.data as Float32Array)]).toEqual([...data.noise].map((v) => expect.closeTo(v, 5)));
    await program.dispose();
  });
  it("read singular rows with a sentence, before anything runs", () => {
    const clock = times(2);
    const { pair } = independent({ x: input("x", [2, 1]), noise: input("noise", [2, 1]) }, clock);
    read({ ...pair, rowA: () => [0, 1], rowB: () => [0, 1] }, () => [1, 0]);
    expect(() => clock.feeds([0.5, 0.5])).toThrow(/determinant 0/);
  });
});

const form = table();
const K = 4;
const windows = uniformWindows(K);
const options: PerflowOptions = {
  windows: K,
  teacherSteps: 200,
  teacherSolver: "dpm++2m",
  guidance: 1,
  predict: "ddim_eps",
  weight: "uniform",
  atStarts: 0.25,
  distance: { kind: "mse" },
};
const teacher = { model: gaussianTeacher(form), params: none };
/** The closed-form student of a windowed method on its path: eps = c·ξ, ξ read from the state. */
const windowStudent = (path: Form): NetModel => {
  const chordSpread = (t: number) => {
    const { start, end } = windows.of(t);
    const q = path.windows ? (t - start) / (end - start) : 0;
    if (path.windows) return (1 - q) * spread(form, start) + q * spread(form, end);
    const [a, b] = form.at(t);
    const y = spread(form, start) / form.at(start)[0];
    return a * (y + (b / a - form.at(start)[1] / form.at(start)[0]) * windowSlope(form, start, end));
  };
  return affine(
    path,
    (t) => windowSlope(form, windows.of(t).start, windows.of(t).end) / chordSpread(t),
    (t) => path.at(t)[0] * m,
  );
};
const endpointError = async (model: NetModel, steps: number) => {
  const ready = await sampler(model, none, runtime, 16);
  const spec = { kind: "windows", windows: windows.spec } as const;
  const { x, start } = await sampleAll(ready, {
    n: 16,
    seed: 3,
    solver: ddim(),
    times: samplingGrid(model.form, spec, steps, eps),
  });
  await ready.dispose();
  return Math.max(...x.map((v, i) => Math.abs(v - flow(form, start[i], 1, 0))));
};

describe("the ideal student", () => {
  const loss = async (plan: ReturnType<typeof perflow>, model: NetModel) => {
    const clock = times(B);
    const draw = plan.coupling(tensors, clock);
    const rebuilt = plan.method === "perflow" ? perflow({ ...teacher, model }, options) : plan;
    // The recipe's objective with the closed form in the network's place.
    const { objective } =
      plan.method === "perflow" ? { objective: rebuilt.objective } : { objective: phasedPlan(model).objective };
    const program = await runtime.compile({ loss: objective(none, draw, clock) });
    const out = await program.run({ ...data, ...clock.feeds(spreadTimes) });
    await program.dispose();
    return Math.max(...(out.loss.data as Float32Array));
  };
  const phasedPlan = (model: Model<Params>) =>
    rectifiedDiffusionPhased({ ...teacher, model }, { ...options, distance: { kind: "mse" } });

  it("of PeRFlow has no loss, on the chord and only there", async () => {
    const plan = perflow(teacher, options);
    expect(plan.model.form.name).toBe(chord(form, windows).name);
    expect(await loss(plan, windowStudent(chord(form, windows)))).toBeLessThan(1e-5);
    expect(await loss(plan, windowStudent(form))).toBeGreaterThan(1e-3);
  });
  it("of the phased method has no loss on the teacher's form", async () => {
    expect(await loss(phasedPlan(teacher.model), windowStudent(form))).toBeLessThan(1e-5);
  });
  it("of Rectified Diffusion has no loss on exact pairs", async () => {
    const ideal = affine(
      form,
      (t) => {
        // Through the start state at t = 1 and the end at t = 0, both affine in ξ: the row algebra of the pair.
        const [[a1, b1], [a0, b0]] = [form.at(1), form.at(0)];
        const det = a1 * b0 - b1 * a0;
        const [s1, s0] = [spread(form, 1), spread(form, 0)];
        const [x0, e] = [(s1 * b0 - b1 * s0) / det, (a1 * s0 - s1 * a0) / det];
        const [a, b] = form.at(t);
        return e / (a * x0 + b * e);
      },
      (t) => form.at(t)[0] * m,
    );
    const start = data.noise.map((v) => form.at(1)[0] * m + spread(form, 1) * v);
    const end = start.map((v) => flow(form, v, 1, 0));
    const clock = times(B);
    const plan = rectifiedDiffusion({ model: ideal }, { atNoise: 0.25, distance: { kind: "mse" } });
    const program = await runtime.compile({ loss: plan.objective(none, plan.coupling(tensors, clock), clock) });
    const out = await program.run({ x: end, noise: start, ...clock.feeds(spreadTimes) });
    expect(Math.max(...(out.loss.data as Float32Array))).toBeLessThan(1e-8);
    await program.dispose();
  });

  it("lands on the teacher's end with one, two and three steps per window", async () => {
    for (const steps of [K, 2 * K, 3 * K]) {
      expect(await endpointError(windowStudent(chord(form, windows)), steps)).toBeLessThan(2e-5);
      expect(await endpointError(windowStudent(form), steps)).toBeLessThan(2e-5);
    }
  });
  it("in the wrong form misses, and one step per window does not show it", async () => {
    const wrong = { ...windowStudent(chord(form, windows)), form };
    expect(await endpointError(wrong, K)).toBeLessThan(2e-5);
    expect(await endpointError(wrong, 3 * K)).toBeGreaterThan(1e-2);
  });
});

describe("models", () => {
  it("in another form of equal SNR give the same samples", async () => {
    const moved = inForm(gaussianTeacher(form), vp());
    const ready = await sampler(moved, none, runtime, 8);
    const grid = Array.from({ length: 401 }, (_, i) => 0.7 - (0.68 * i) / 400);
    const { x, start } = await sampleAll(ready, { n: 8, seed: 1, solver: ddim(), times: grid });
    x.forEach((v, i) => {
      expect(v).toBeCloseTo(flow(vp(), start[i], grid[0], grid[400]), 2);
    });
    await ready.dispose();
  });
  it("in another form reach as far as their own, whole sampling grids included", async () => {
    const ends: number[][] = [];
    for (const other of [form, linear(), linear(3), cosine(), ve(), edm(), vp()]) {
      const moved = inForm(gaussianTeacher(form), other);
      const times = samplingGrid(moved.form, { kind: "uniform" }, 400, moved.prediction);
      expect([times.length, times[400]]).toEqual([401, 0]);
      const ready = await sampler(moved, none, runtime, 8);
      ends.push([...(await sampleAll(ready, { n: 8, seed: 1, solver: solverByName("dpm++2m"), times })).x]);
      await ready.dispose();
    }
    for (const end of ends) for (const [i, x] of end.entries()) expect(Math.abs(x - ends[0][i])).toBeLessThan(0.01);
  });
  it("without labels refuse guidance", () => {
    expect(() => guided(gaussianTeacher(form), 2)).toThrow("Guidance 2 needs a conditional model");
    expect(guided(gaussianTeacher(form), 1).form).toBe(form);
  });
});
