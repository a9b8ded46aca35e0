// Couplings and recipes through the engine, where everything is known: a Gaussian teacher and the ideal students.

import { afterAll, describe, expect, it } from "vitest";
import { chord, cosine, edm, eps, type Form, linear, table, uniformWindows, ve, vp } from "../../src/core/index.ts";
import { independent } from "../../src/couplings/independent.ts";
import { storedPairs } from "../../src/couplings/storedPairs.ts";
import { windowPairs } from "../../src/couplings/windowPairs.ts";
import { type DataColumns, drawsOf, type HostDraws } from "../../src/draws.ts";
import { add, mul } from "../../src/graph/index.ts";
import { guided, inForm } from "../../src/model.ts";
import { buildNetwork } from "../../src/nn/network.ts";
import type { Params } from "../../src/nn/params.ts";
import { read } from "../../src/pair.ts";
import { fold, key, normal } from "../../src/random.ts";
import { evenly } from "../../src/recipes/parts.ts";
import { perflow } from "../../src/recipes/perflow.ts";
import type { NetModel, Stage, Start } from "../../src/recipes/recipe.ts";
import { rectifiedDiffusion } from "../../src/recipes/rectifiedDiffusion.ts";
import { rectifiedDiffusionPhased } from "../../src/recipes/rectifiedDiffusionPhased.ts";
import { sampleAll, sampler, samplingGrid } from "../../src/run/sample.ts";
import { columnsOf } from "../../src/run/step.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { ddim, solverByName } from "../../src/solvers/index.ts";

const runtime = nodeRuntime({ threads: 1 });
const [m, s] = [0.5, 0.3];
const B = 48;
const nothing = (): never => {
  throw new Error("A closed form has no parameters.");
};
/** Closed forms have no parameters; whose they would be tells teacher and student apart. */
const none: Params = () => nothing();
const students: Params = () => nothing();

/** A "network" that is an affine function of x with coefficients that depend on t. */
const affine = (form: Form, slope: (t: number) => number, center: (t: number) => number): NetModel => ({
  form,
  prediction: eps,
  sampleShape: [1],
  conditions: {},
  apply: (_, x, clock) =>
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
const onData: DataColumns = { x: { shape: [1], dtype: "float32" } };
const onPairs: DataColumns = { ...onData, noise: onData.x };
const drawsFor = (columns: DataColumns, batch = B) => drawsOf(batch, [1], {}, columns);
/** What a step is fed, with the noise of `data`. */
const feedsOf = (draws: HostDraws, given: { x: Float32Array; noise: Float32Array } = data) => {
  const drawn = draws.feeds({ root: key(2), step: 1 }, given, 0);
  return { ...drawn, ...("~noise" in drawn ? { "~noise": given.noise } : {}) };
};
/** Draws exactly these times: those of a step cover [0, 1) in order. */
const exactly = (ts: Float64Array) => (q: number) => ts[Math.floor(q * ts.length)];
const spreadTimes = Float64Array.from({ length: B }, (_, i) => 1 - i / B);

afterAll(() => expect(runtime.open()).toBe(0));

describe.each([
  ["table", table()],
  ["vp", vp()],
] as const)("window pairs on %s", (_, form) => {
  const pairsOf = async (k: number, solver: "ddim" | "dpm++2m", steps: number, ts: Float64Array) => {
    const draws = drawsFor(onData);
    const windows = uniformWindows(k);
    const options = { solver, steps, guidance: 1 };
    const pair = windowPairs(gaussianTeacher(form), none, windows, options)(draws, draws.clock("t", exactly(ts)));
    const program = await runtime.compile({ a: pair.a, b: pair.b });
    const out = await program.run(feedsOf(draws));
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
    const draws = drawsFor(onPairs);
    const pair = storedPairs(form)(
      draws,
      draws.clock("t", () => 1),
    );
    const program = await runtime.compile({ start: read(pair, (t) => form.at(t)), x0: read(pair, () => [1, 0]) });
    const out = await program.run(feedsOf(draws));
    expect([...(out.start.data as Float32Array)]).toEqual([...data.noise].map((v) => expect.closeTo(v, 5)));
    await program.dispose();
  });
  it("read singular rows with a sentence, before anything runs", () => {
    const draws = drawsFor(onData, 2);
    const pair = independent(
      draws,
      draws.clock("t", () => 0.5),
    );
    read({ ...pair, rowA: () => [0, 1], rowB: () => [0, 1] }, () => [1, 0]);
    expect(() => draws.feeds({ root: key(2), step: 1 }, { x: new Float32Array(2) }, 0)).toThrow(/determinant 0/);
  });
});

const form = table();
const K = 4;
const windows = uniformWindows(K);
const options = {
  windows: K,
  teacherSteps: 200,
  teacherSolver: "dpm++2m",
  guidance: 1,
  atStarts: 0.25,
  distance: "mse",
} as const;
/** What a recipe starts from: the Gaussian's teacher, and where the student is asked, `student`. */
const startFrom = (student: NetModel, teacher = gaussianTeacher(form)): Start => ({
  model: {
    ...teacher,
    apply: (p, ...asked) => (p === none ? teacher : student).apply(p, ...asked),
  },
  params: none,
  network: buildNetwork({ family: "mlp", config: { dim: 1, width: 4, depth: 1 } }),
  timeInput: { scale: 1000, offset: 0 },
  spec: [],
  theta: new Float32Array(0),
  sampler: evenly([50]),
});
const only = (stages: Generator<Stage, void, Start>): Stage => {
  const { value } = stages.next();
  if (!value) throw new Error("There is no stage.");
  return value;
};
/** The largest loss of a sample that the recipe finds, with the closed form in the network's place. */
const lossOf = async (stage: Stage, given = data) => {
  const draws = drawsFor(columnsOf(stage));
  const loss = stage.players[0].loss((player) => (player === "student" ? students : nothing()), draws);
  const program = await runtime.compile({ loss });
  const out = await program.run(feedsOf(draws, given));
  await program.dispose();
  expect(out.loss.data).toHaveLength(B);
  return Math.max(...(out.loss.data as Float32Array));
};
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
  const perflowOf = (student: NetModel) =>
    only(perflow.stages(startFrom(student), perflow.options.parse({ ...options, predict: "ddim_eps" }), key(0)));
  const phasedOf = (student: NetModel) =>
    only(rectifiedDiffusionPhased.stages(startFrom(student), rectifiedDiffusionPhased.options.parse(options), key(0)));

  it("of PeRFlow has no loss, on the chord and only there", async () => {
    const ideal = perflowOf(windowStudent(chord(form, windows)));
    expect(ideal.model.form.name).toBe(chord(form, windows).name);
    expect(await lossOf(ideal)).toBeLessThan(1e-5);
    expect(await lossOf(perflowOf(windowStudent(form)))).toBeGreaterThan(1e-3);
  });
  it("of the phased method has no loss on the teacher's form, and only there", async () => {
    expect(await lossOf(phasedOf(windowStudent(form)))).toBeLessThan(1e-5);
    expect(await lossOf(phasedOf(windowStudent(chord(form, windows))))).toBeGreaterThan(1e-3);
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
    const parsed = rectifiedDiffusion.options.parse({ atNoise: 0.25, distance: "mse" });
    const lossAs = (student: NetModel) =>
      lossOf(only(rectifiedDiffusion.stages(startFrom(student), parsed, key(0))), { x: end, noise: start });
    expect(await lossAs(ideal)).toBeLessThan(1e-8);
    expect(await lossAs(gaussianTeacher(form))).toBeGreaterThan(1e-3);
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
