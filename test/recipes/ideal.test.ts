// Every method with a closed form: the ideal student has no loss, and what is nearly right has one. The data are N(m, s²);
// its "networks" are affine in the state, with coefficients that depend on the time.

import { afterAll, describe, expect, it } from "vitest";
import type { Clock } from "../../src/clock.ts";
import type { Cond } from "../../src/condition.ts";
import {
  cosine,
  eps,
  type Form,
  linear,
  type Prediction,
  type Row,
  table,
  transfer,
  ve,
  velocity,
  vPrediction,
  vp,
} from "../../src/core/index.ts";
import { drawsOf, type HostDraws } from "../../src/draws.ts";
import { add, div, mul, perSample, sqrt, square, sub, type Tensor } from "../../src/graph/index.ts";
import { buildNetwork } from "../../src/nn/network.ts";
import type { Params } from "../../src/nn/params.ts";
import { matching } from "../../src/objectives/distribution.ts";
import { meanVelocity } from "../../src/objectives/meanVelocity.ts";
import { noised } from "../../src/pair.ts";
import { fold, key, normal } from "../../src/random.ts";
import * as recipes from "../../src/recipes/index.ts";
import { evenly } from "../../src/recipes/parts.ts";
import type { NetModel, Recipe, Stage, Start } from "../../src/recipes/recipe.ts";
import { columnsOf } from "../../src/run/step.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const B = 64;
const [m, s] = [0.5, 0.3];

/** slope·x + offset, at a time. */
type Affine = (t: number) => readonly [slope: number, offset: number];
/** The value of a row, for states at this time: affine in the state. */
type Knows = (form: Form, want: (t: number) => Row) => Affine;

/** x0 and eps of a state as (mean, slope)·ξ with ξ = (x − αm)/(αa + σb) where x0 = m + a·ξ and eps = b·ξ. */
const along =
  (split: (row: Row) => readonly [ofData: number, ofNoise: number], mean = m): Knows =>
  (form, want) =>
  (t) => {
    const row = form.at(t);
    const [a, b] = split(row);
    const [p, q] = want(t);
    const slope = (p * a + q * b) / (row[0] * a + row[1] * b);
    return [slope, p * mean - slope * row[0] * mean];
  };
/** What a trained model knows: the conditional means, E[x0 | x] and E[eps | x]. */
const denoiser = (mean = m, std = s): Knows => along(([alpha, sigma]) => [alpha * std ** 2, sigma], mean);
/** First-order trajectories: each has one x0 and one eps, x0 = m + s·eps. What Rectified Diffusion and reflow learn. */
const firstOrder: Knows = along(() => [s, 1]);

/** The data part of a student whose end of the trajectory is right when joined with the state by (skip, out). */
const consistent =
  (end: (form: Form) => Affine, joined: (form: Form, t: number) => readonly [skip: number, out: number]): Knows =>
  (form, want) =>
  (t) => {
    const [skip, out] = joined(form, t);
    if (out === 0) return [0, 0];
    const [slope, offset] = end(form)(t);
    const data = [(slope - skip) / out, offset / out];
    const [p, q] = transfer(form.at(t), [1, 0], want(t));
    return [p + q * data[0], q * data[1]];
  };

const nothing = (): never => {
  throw new Error("A closed form has no parameters.");
};
/** Whose parameters they would be tells which closed form is asked. */
const roles = {
  teacher: (() => nothing()) as Params,
  student: (() => nothing()) as Params,
  critic: (() => nothing()) as Params,
};
type Roles = Partial<Readonly<Record<keyof typeof roles, Knows>>>;

function startOf(form: Form, prediction: Prediction, who: Roles, timeInput = { scale: 1000, offset: 0 }): Start {
  const network = buildNetwork({ family: "mlp", config: { dim: 1, width: 4, depth: 1 } });
  const known = new Map<Params, Affine>();
  for (const role of ["teacher", "student", "critic"] as const) {
    const knows = who[role];
    if (knows)
      known.set(
        roles[role],
        knows(form, (t) => prediction.row(form, t)),
      );
  }
  const model: NetModel = {
    form,
    prediction,
    sampleShape: [1],
    conditions: {},
    apply(p, x, clock) {
      const affine = known.get(p);
      if (!affine) throw new Error("Somebody was asked who has no closed form here.");
      const part = (which: 0 | 1) => clock.column((t) => affine(t)[which], 2);
      return add(mul(x, part(0)), part(1));
    },
  };
  return {
    model,
    params: roles.teacher,
    network,
    timeInput,
    spec: [],
    theta: new Float32Array(0),
    sampler: evenly([50]),
  };
}

type Given = Readonly<Record<string, Float32Array>>;
const xi = normal(fold(key(4), "xi"), B);
const data: Given = { x: normal(fold(key(4), "x"), B).map((z) => m + s * z) };
/** Pairs of first-order trajectories. */
const pairs: Given = { x: xi.map((z) => m + s * z), noise: xi };

/** The largest loss of a sample, and the notes, of a player of the first stage. */
async function run(
  recipe: Recipe,
  start: Start,
  options: Record<string, unknown>,
  { given = data, player = "student" }: { given?: Given; player?: string } = {},
): Promise<{ loss: number; notes: Readonly<Record<string, Float32Array>> }> {
  const { value: stage } = recipe.stages(start, recipe.options.parse(options), key(0)).next();
  return evaluate(stage as Stage, given, player);
}
async function evaluate(stage: Stage, given: Given, player: string) {
  const draws = drawsOf(B, [1], {}, columnsOf(stage));
  const found = stage.players.find(({ name }) => name === player);
  if (!found) throw new Error(`${stage.name} has no ${player}.`);
  const losses = found.loss((name) => (name === "critic" ? roles.critic : roles.student), draws);
  return valuesOf(losses, draws, given);
}
async function valuesOf(losses: Tensor, draws: HostDraws, given: Given) {
  const program = await runtime.compile<string>({ losses, ...Object.fromEntries(draws.notes) });
  const names = new Set(program.inputs.map(({ source }) => (source.kind === "input" ? source.name : "")));
  const fed = draws.feeds({ root: key(7), step: 1 }, given, 0);
  const out = await program.run(Object.fromEntries(Object.entries(fed).filter(([name]) => names.has(name))));
  await program.dispose();
  expect(out.losses.data).toHaveLength(B);
  return {
    loss: Math.max(...(out.losses.data as Float32Array)),
    notes: Object.fromEntries(Object.entries(out).map(([name, { data }]) => [name, data as Float32Array])),
  };
}
const generic = <T>(recipe: T): Recipe => recipe as unknown as Recipe;
const largest = (x: Float32Array) => Math.max(...x.map(Math.abs));

describe("on first-order pairs, reflow's ideal student", () => {
  const reflow = generic(recipes.reflow);
  const mse = { distance: "mse" };
  it("is the constant velocity, and the conditional mean of crossing paths is not", async () => {
    const of = (student: Knows) => run(reflow, startOf(linear(), velocity, { student }), mse, { given: pairs });
    expect((await of(firstOrder)).loss).toBeLessThan(1e-10);
    expect((await of(denoiser())).loss).toBeGreaterThan(1e-2);
  });
  it("read from another form sees the starts of its own sampler, whatever the teacher's are scaled by", async () => {
    const options = { ...mse, start: "snr-matched" };
    for (const form of [table(), vp(), ve()]) {
      const scale = form.spec.kind === "ve" ? form.at(1)[1] : 1;
      const given = { ...pairs, noise: xi.map((z) => z * scale) };
      const of = (student: Knows) => run(reflow, startOf(form, eps, { student }), options, { given });
      expect((await of(firstOrder)).loss).toBeLessThan(1e-7);
      expect((await of(denoiser())).loss).toBeGreaterThan(1e-2);
    }
  });
});

describe("behind a first-order teacher, whose one step is exact,", () => {
  const teacher = firstOrder;
  const endAt =
    (time: number) =>
    (form: Form): Affine =>
      firstOrder(form, () => form.at(time));
  const rMin = (form: Form) => form.at(form.tMin)[1] / form.at(form.tMin)[0];
  /** c_skip and c_out of EDM in r = sigma/alpha, for the state itself. */
  const edm = (form: Form, t: number): readonly [number, number] => {
    const [alpha, sigma] = form.at(t);
    const [r, sd] = [sigma / alpha, 0.5];
    if (t <= form.tMin) return [1 / alpha, 0];
    const out = (r - rMin(form)) / r;
    return [(sd ** 2 / ((r - rMin(form)) ** 2 + sd ** 2) - (out * sd ** 2) / (r ** 2 + sd ** 2)) / alpha, out];
  };
  const ofEdm = consistent((form) => {
    const end = endAt(form.tMin)(form);
    return (t) => end(t).map((part) => part / form.at(form.tMin)[0]) as [number, number];
  }, edm);
  const mse = { distance: "mse" };

  it.each([
    ["table", table(), eps],
    ["vp", vp(), vPrediction],
  ] as const)("the exact consistency function has no loss, with its own boundary (%s)", async (_, form, prediction) => {
    const of = (student: Knows, boundary: string, by = teacher) =>
      run(generic(recipes.consistency), startOf(form, prediction, { teacher: by, student }), { ...mse, boundary });
    // With the jump the teacher itself is consistent.
    expect((await of(firstOrder, "jump")).loss).toBeLessThan(1e-10);
    expect((await of(ofEdm, "edm")).loss).toBeLessThan(1e-9);
    // Neighbors on the grid nearly agree whatever the boundary, so a wrong one costs little; still a thousand times more.
    expect((await of(firstOrder, "edm")).loss).toBeGreaterThan(1e-6);
    expect((await of(ofEdm, "jump")).loss).toBeGreaterThan(1e-6);
    // A teacher that bends: its step is not exact.
    expect((await of(firstOrder, "jump", denoiser())).loss).toBeGreaterThan(1e-5);
  });

  it("Rectified Diffusion (CD) has nothing left to learn", async () => {
    const of = (student: Knows) =>
      run(generic(recipes.rectifiedDiffusionCd), startOf(table(), eps, { teacher, student }), { rectify: 0, ...mse });
    expect((await of(firstOrder)).loss).toBeLessThan(1e-10);
    expect((await of(denoiser())).loss).toBeGreaterThan(1e-5);
  });

  it("LCM's student is the identity where its label is 0", async () => {
    const timeInput = { scale: 1000, offset: -1 };
    const lcm = (_: Form, t: number): readonly [number, number] => {
      const n = 10 * (timeInput.scale * t + timeInput.offset);
      return [0.25 / (n * n + 0.25), n / Math.sqrt(n * n + 0.25)];
    };
    const of = (student: Knows) =>
      run(generic(recipes.lcm), startOf(table(), eps, { teacher, student }, timeInput), mse);
    expect((await of(consistent(endAt(0.001), lcm))).loss).toBeLessThan(1e-10);
    expect((await of(firstOrder)).loss).toBeGreaterThan(1e-6);
    expect((await of(consistent(endAt(0.01), lcm))).loss).toBeGreaterThan(1e-6);
  });

  it("progressive distillation's student is its teacher, for any number of steps", async () => {
    for (const from of [1, 2, 8]) {
      const of = (by: Knows, student: Knows) =>
        run(generic(recipes.progressive), startOf(cosine(), vPrediction, { teacher: by, student }), { from, ...mse });
      expect((await of(teacher, firstOrder)).loss).toBeLessThan(1e-8);
      expect((await of(denoiser(), denoiser())).loss).toBeGreaterThan(1e-5);
    }
  });
});

it("progressive distillation's target is what takes one step to where two of the teacher's end", async () => {
  // t = 0.5, N = 4, state 0.7; the numbers are computed apart.
  const start = startOf(cosine(), vPrediction, { teacher: denoiser(), student: denoiser() });
  const progressive = generic(recipes.progressive);
  const { value: stage } = progressive.stages(start, progressive.options.parse({ from: 4 }), key(0)).next();
  const draws = drawsOf(B, [1], {}, columnsOf(stage as Stage));
  const at = { ...draws, clock: (name: string) => draws.clock(name, () => 0.5), normal: () => draws.data("x") };
  const losses = (stage as Stage).players[0].loss(() => roles.student, at);
  // Data and noise alike: the state is √2 times both.
  const given = { x: new Float32Array(B).fill(0.7 / Math.SQRT2) };
  const { notes } = await valuesOf(losses, draws, given);
  expect(notes.state[0]).toBeCloseTo(0.7, 6);
  expect(notes.middle[0]).toBeCloseTo(0.6990975445, 5);
  expect(notes.end[0]).toBeCloseTo(0.6772002895, 5);
  expect(notes.target[0]).toBeCloseTo(0.5513029738, 5);
});

describe("distribution matching", () => {
  it.each([
    ["dmd", generic(recipes.dmd), { regression: 0 }],
    ["swiftbrush", generic(recipes.swiftbrush), { rank: 0 }],
  ] as const)("%s moves nothing if and only if the critic knows what the teacher knows", async (_, recipe, options) => {
    const of = (critic: Knows) => {
      const who = { teacher: denoiser(), student: denoiser(), critic };
      return run(recipe, startOf(vp(), vPrediction, who), options);
    };
    const same = await of(denoiser());
    expect([same.loss, largest(same.notes.direction)]).toEqual([0, 0]);
    for (const other of [denoiser(0.2), denoiser(m, 0.5)])
      expect(largest((await of(other)).notes.direction)).toBeGreaterThan(0.02);
  });

  it.each([
    ["dmd", -2.9835164835],
    ["vsd", -0.0691352785],
  ] as const)("%s moves a sample towards the teacher's mean by what is known", async (kind, direction) => {
    // alpha 0.8, sigma 0.6; sample 0.6, noised to 0.7; real N(0.5, 0.3²), fake N(0.2, 0.5²).
    const form = cosine();
    const { model } = startOf(form, eps, { teacher: denoiser(), critic: denoiser(0.2, 0.5) });
    const draws = drawsOf(B, [1], {}, { x: { shape: [1], dtype: "float32" }, noise: { shape: [1], dtype: "float32" } });
    const t = draws.clock("t", () => (2 * Math.acos(0.8)) / Math.PI);
    const [real, fake] = [roles.teacher, roles.critic].map((params) => ({ model, params }));
    const losses = matching(kind, real, fake, draws.data("x"), {}, t, draws.data("noise"), draws);
    const given = { x: new Float32Array(B).fill(0.6), noise: new Float32Array(B).fill((0.7 - 0.8 * 0.6) / 0.6) };
    const { notes } = await valuesOf(losses, draws, given);
    expect(notes.state[0]).toBeCloseTo(0.7, 6);
    expect(notes.direction[0]).toBeCloseTo(direction, 5);
    expect(notes.losses[0]).toBeCloseTo(direction ** 2 / 2, 4);
  });

  it("a critic that knows the student's samples has the least loss", async () => {
    const one = (critic: Knows) =>
      run(
        generic(recipes.dmd),
        startOf(vp(), vPrediction, { teacher: denoiser(), student: firstOrder, critic }),
        { regression: 0 },
        {
          player: "critic",
        },
      );
    const mean = (x: Float32Array) => x.reduce((a, b) => a + b, 0) / x.length;
    const [right, wide, far] = await Promise.all([one(denoiser()), one(denoiser(m, 0.9)), one(denoiser(-0.5))]);
    expect(mean(right.notes.losses)).toBeLessThan(mean(wide.notes.losses));
    expect(mean(right.notes.losses)).toBeLessThan(mean(far.notes.losses));
  });
});

describe("in continuous time", () => {
  /** The average velocity of exact trajectories over [r, t]; `span` is a tensor, so that its derivative is taken too. */
  const averageVelocity = (wrong = 0): NetModel => {
    const form = linear();
    const apply = (_: Params, z: Tensor, clock: Clock, cond: Cond): Tensor => {
      const t = clock.column((time) => time, 2);
      const reach = perSample(cond.span, 2);
      const r = sub(t, reach);
      const spread = (time: Tensor) => sqrt(add(square(mul(sub(1, time), s)), square(time)));
      const centered = sub(z, mul(sub(1, t), m));
      const before = add(mul(sub(1, r), m), mul(centered, div(spread(r), spread(t))));
      return mul(div(sub(z, before), reach), add(1, mul(reach, wrong)));
    };
    return { form, prediction: velocity, sampleShape: [1], conditions: {}, apply };
  };

  it("MeanFlow's identity holds for the exact average velocity, and for nothing near it", async () => {
    const of = async (wrong: number) => {
      const draws = drawsOf(
        B,
        [1],
        {},
        { x: { shape: [1], dtype: "float32" }, noise: { shape: [1], dtype: "float32" } },
      );
      const t = draws.clock("t", () => 0.8);
      const r = draws.clockAfter("r", t, (q) => 0.6 * q);
      const loss = meanVelocity(averageVelocity(wrong), { guidance: 1, weightPower: 0, weightOffset: 1 });
      const losses = loss(roles.student, noised(t, draws.data("x"), draws.data("noise")), r, {}, draws);
      // Conditional means of states z in place of data and noise: their velocity is that of the trajectory through z.
      const z = xi.map((x) => 0.2 * m + Math.hypot(0.2 * s, 0.8) * x);
      const read = (row: Row) => {
        const [slope, offset] = denoiser()(linear(), () => row)(0.8);
        return z.map((x) => slope * x + offset);
      };
      return valuesOf(losses, draws, { x: read([1, 0]), noise: read([0, 1]) });
    };
    expect((await of(0)).loss).toBeLessThan(1e-9);
    expect((await of(0.05)).loss).toBeGreaterThan(1e-4);
  });

  it("with the velocity known, MeanFlow's identity holds at every state of independent data and noise", async () => {
    const of = async (known: boolean) => {
      const column = { shape: [1], dtype: "float32" } as const;
      const draws = drawsOf(B, [1], {}, { x: column, noise: column });
      const t = draws.clock("t", () => 0.8);
      const r = draws.clockAfter("r", t, (q) => 0.6 * q);
      const [slope, offset] = denoiser()(linear(), () => [-1, 1])(0.8);
      const velocityAt = (z: Tensor) => add(mul(z, slope), offset);
      const options = { guidance: 1, weightPower: 0, weightOffset: 1 };
      const loss = meanVelocity(averageVelocity(), options, known ? velocityAt : undefined);
      const losses = loss(roles.student, noised(t, draws.data("x"), draws.data("noise")), r, {}, draws);
      const noise = Float32Array.from(xi, (_, i) => xi[(7 * i + 3) % B]);
      return valuesOf(losses, draws, { x: Float32Array.from(xi, (x) => m + s * x), noise });
    };
    expect((await of(true)).loss).toBeLessThan(1e-9);
    expect((await of(false)).loss).toBeGreaterThan(0.01);
  });

  it("sCM's tangent is zero for the exact consistency function, and only for it", async () => {
    const exact: Knows = consistent(
      (form) => (t) => {
        const [alpha, sigma] = form.at(t);
        const slope = s / Math.hypot(alpha * s, sigma);
        return [slope, m - slope * alpha * m];
      },
      () => [0, 1],
    );
    const of = (student: Knows) =>
      run(generic(recipes.scm), startOf(cosine(), vPrediction, { teacher: denoiser(), student }), { tangentWarmup: 0 });
    expect(largest((await of(exact)).notes.tangent)).toBeLessThan(1e-4);
    expect(largest((await of(denoiser())).notes.tangent)).toBeGreaterThan(0.01);
    expect(largest((await of(firstOrder)).notes.tangent)).toBeGreaterThan(0.01);
  });
});
