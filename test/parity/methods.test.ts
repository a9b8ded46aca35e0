// Every method's arithmetic against golden values of an independent implementation: losses, gradients and what lies on
// the way, for given draws; and three steps of the optimizer.

import { afterAll, describe, expect, it } from "vitest";
import { distance } from "../../bench/distance.ts";
import { input, type Tensor } from "../../src/graph/index.ts";
import { guidanceEmbedding } from "../../src/nn/embed.ts";
import { adamwDefaults, adamwScalars } from "../../src/optim/adamw.ts";
import { emaDecay } from "../../src/optim/ema.ts";
import { averagesOf, gradientProgram, stepProgram } from "../../src/run/step.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { goldenOf, largestDifference, reportCases, tensorsIn } from "./folders.ts";
import {
  caseOf,
  type Drawn,
  fixedDraws,
  type GoldenArray,
  type GoldenPlayer,
  type MethodGolden,
} from "./methodCase.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

interface OneStep extends MethodGolden {
  readonly draws: Drawn;
  readonly expected: Readonly<Record<string, GoldenPlayer>>;
}

/** Norm of the difference over the norm of the golden array; methods that divide by small differences get ten times more. */
const toleranceOf = (method: string) => (["dmd", "dmd2", "swiftbrush"].includes(method) ? 1e-4 : 1e-5);

/** Golden names of values that recipes note under another one, by method and player. */
const noted: Readonly<Record<string, string>> = {
  "adversarial.student.state": "state_noise_2",
  "adversarial.student.logits": "logits_noise_2",
  "dmd2.student.logits": "logits_noise_gan",
  "dmd2.student.state_gan": "state_noise_gan",
};
const byNoise = {
  logits_fake: "logits_critic_noise_fake",
  logits_real: "logits_critic_noise_real",
  state_fake: "state_critic_noise_fake",
  state_real: "state_critic_noise_real",
};

const ones = goldenOf<OneStep>("method");
const counts = new Map<string, number>();
const worst = new Map<string, number>();

describe("one step of", () => {
  it.each(ones.map((one) => [one.name, one] as const))("%s", async (_, one) => {
    const { golden } = one;
    const { stage, weights } = caseOf(one);
    const unseen: string[] = [];
    for (const [name, expected] of Object.entries(golden.expected)) {
      const player = stage.players.find((p) => p.name === name)!;
      const draws = fixedDraws(golden, golden.draws, stage);
      const options = { batch: draws.batch, adamw: adamwDefaults, clip: 1 };
      const { outputs } = gradientProgram(stage, [player], options, draws);
      const wanted = Object.entries(expected).filter(
        ([key, value]) => !["gradient", "parameters"].includes(key) && isArray(value),
      );
      const notes: Record<string, Tensor> = {};
      for (const [key] of wanted) {
        const own = noted[`${golden.method}.${name}.${key}`] ?? byNoise[key as keyof typeof byNoise] ?? key;
        const note = draws.notes.get(own);
        if (note) notes[`note.${key}`] = note;
        else if (key !== "losses") unseen.push(`${name}.${key}`);
      }
      const program = await runtime.compile<string>({ ...outputs, ...notes });
      const vectors = Object.fromEntries(
        stage.players.flatMap((p) => [
          [`${p.name}.theta`, weights(p.name)],
          ...averagesOf(p).map((average) => [`${p.name}.average.${average}`, weights(p.name, average)] as const),
        ]),
      );
      const feeds = taken(program.inputs, { ...vectors, ...draws.given() });
      const out = await program.run(feeds);
      await program.dispose();
      const tolerance = toleranceOf(golden.method);
      const off: Record<string, number> = {};
      for (const [key, value] of wanted) {
        const found = key === "losses" ? out[`${name}.losses`] : out[`note.${key}`];
        if (found) off[key] = distance(found.data as Float32Array, (value as GoldenArray).data);
      }
      off.loss = distance([Number(out[`${name}.loss`].data[0])], [expected.loss as number]);
      off.gradient = distance(
        inOrder(out[`${name}.gradient`].data as Float32Array, player.spec, expected.parameters),
        (expected.gradient as GoldenArray).data,
      );
      off.gradient_norm = distance([norm(out[`${name}.gradient`].data)], [expected.gradient_norm as number]);
      expect(Object.entries(off).filter(([, x]) => !(x <= tolerance))).toEqual([]);
      worst.set(golden.method, Math.max(worst.get(golden.method) ?? 0, ...Object.values(off)));
      if (isArray(expected.embedding)) await compareEmbedding(golden, expected.embedding);
    }
    // Numbers on the way that no recipe of ours computes as such; a new name here is looked at, not waved through.
    expect(unseen.filter((name) => !notOurs.has(name.split(".")[1]))).toEqual([]);
    counts.set(golden.method, (counts.get(golden.method) ?? 0) + 1);
  });
});

/**
 * Values that our composition never holds as a tensor: they are implied by those that are compared. The embedding of the
 * guidance is made inside the network and compared by itself.
 */
const notOurs = new Set(["effective_noise", "native_state", "embedding"]);

/** Its angles reach 4000 and are rounded to float32 step by step, so it is compared to 1e-3 absolutely. */
async function compareEmbedding({ draws }: OneStep, { shape, data }: GoldenArray): Promise<void> {
  const w = draws.w as GoldenArray;
  const program = await runtime.compile({ embedding: guidanceEmbedding(input("w", w.shape), shape[1]) });
  const { embedding } = await program.run({ w: Float32Array.from(w.data) });
  await program.dispose();
  expect(largestDifference(embedding.data as Float32Array, Float32Array.from(data))).toBeLessThan(1e-3);
}

describe("three steps of", () => {
  interface Three {
    readonly losses: readonly GoldenArray[];
    readonly loss: readonly number[];
    readonly gradient_norm: readonly number[];
  }
  interface Steps extends MethodGolden {
    readonly draws: readonly Drawn[];
    readonly optimizer: { lr: number; beta1: number; beta2: number; eps: number; weightDecay: number; clip: number };
    readonly averages: Readonly<Record<string, number>>;
    readonly expected: Readonly<Record<string, GoldenPlayer & Three>>;
  }
  const all = goldenOf<Steps>("method-steps");
  const threes = new Map<string, number>();
  const moves = new Map<string, number>();
  it.each(all.map((one) => [one.name, one] as const))("%s", async (_, one) => {
    const { golden } = one;
    const { stage, weights } = caseOf(one);
    const { lr, clip, ...adam } = golden.optimizer;
    const truth = tensorsIn(one.file.replace(/\.json$/, ".safetensors"));
    const state: Record<string, Float32Array> = {};
    for (const p of stage.players) {
      const theta = weights(p.name);
      Object.assign(state, {
        [`${p.name}.theta`]: theta,
        [`${p.name}.m`]: new Float32Array(theta.length),
        [`${p.name}.v`]: new Float32Array(theta.length),
      });
      // Averages start as copies.
      for (const average of averagesOf(p)) state[`${p.name}.average.${average}`] = theta.slice();
    }
    const begin = { ...state };
    for (const [k, drawn] of golden.draws.entries()) {
      const draws = fixedDraws(golden, drawn, stage);
      const players = stage.players.map((p) => ({ ...p, optimizer: {} }));
      const made = { ...stage, players: players as unknown as typeof stage.players, watch: [] };
      const { outputs } = stepProgram(made, players, { batch: draws.batch, adamw: adam, clip }, draws);
      const program = await runtime.compile<string>(outputs);
      const scalars: Record<string, Float32Array> = {};
      for (const p of players) {
        for (const [name, value] of Object.entries(adamwScalars(k + 1, lr, adam)))
          scalars[`${p.name}.${name}`] = Float32Array.of(value);
        for (const average of averagesOf(p))
          scalars[`${p.name}.average.${average}.decay`] = Float32Array.of(emaDecay(k + 1, golden.averages[average]));
      }
      const out = await program.run(taken(program.inputs, { ...state, ...scalars, ...draws.given() }));
      await program.dispose();
      for (const name of Object.keys(state)) state[name] = (out[name].data as Float32Array).slice();
      for (const [name, expected] of Object.entries(golden.expected)) {
        const off = {
          loss: distance([Number(out[`${name}.loss`].data[0])], [expected.loss[k]]),
          losses: distance(out[`${name}.losses`].data as Float32Array, expected.losses[k].data),
          norm: distance([Number(out[`${name}.norm`].data[0])], [expected.gradient_norm[k]]),
        };
        expect(Object.entries(off).filter(([, x]) => !(x <= toleranceOf(golden.method)))).toEqual([]);
      }
    }
    let compared = 0;
    for (const [name, expected] of Object.entries(golden.expected)) {
      const { spec } = stage.players.find((p) => p.name === name)!;
      for (const [ours, theirs] of [
        ["theta", "theta"],
        ["m", "m"],
        ["v", "v"],
        ...averagesOf(stage.players.find((p) => p.name === name)!).map((a) => [`average.${a}`, `average.${a}`]),
      ]) {
        const wanted = truth.get(theirs.startsWith("average.") ? theirs : `${name}.${theirs}`)
          ?.data as ArrayLike<number>;
        compared++;
        const found = inOrder(state[`${name}.${ours}`], spec, expected.parameters);
        expect([`${name}.${ours}`, distance(found, wanted) < 1e-5]).toEqual([`${name}.${ours}`, true]);
        if (ours === "theta") {
          const from = inOrder(begin[`${name}.theta`], spec, expected.parameters);
          const moved = distance(found, wanted, from);
          expect(moved).toBeLessThan(
            ["dmd", "dmd2", "swiftbrush", "consistency"].includes(golden.method) ? 1e-3 : 1e-4,
          );
          moves.set(golden.method, Math.max(moved, moves.get(golden.method) ?? 0));
        }
      }
    }
    expect(compared).toBeGreaterThanOrEqual(3 * Object.keys(golden.expected).length);
    threes.set(golden.method, (threes.get(golden.method) ?? 0) + 1);
  });
  const total = (numbers: ReadonlyMap<string, number>) => [...numbers.values()].reduce((a, b) => a + b, 0);
  const shown = (numbers: ReadonlyMap<string, number>, off: ReadonlyMap<string, number>) =>
    [...numbers]
      .map(([method, n]) => `${method} ${n} (${(off.get(method) ?? Number.NaN).toExponential(0)})`)
      .join(", ");
  afterAll(() => {
    reportCases("method", "one-step", ones, total(counts));
    console.log(`Cases, with the largest relative distance of anything compared: ${shown(counts, worst)}`);
    reportCases("method-steps", "three-step", all, total(threes));
    console.log(`Cases, with the relative distance of what theta moved by: ${shown(threes, moves)}`);
  });
});

const norm = (x: ArrayLike<number | bigint>) => Math.sqrt(Array.from(x, Number).reduce((sum, v) => sum + v * v, 0));

const isArray = (value: unknown): value is GoldenArray =>
  typeof value === "object" && value !== null && "data" in value && "shape" in value;

type Inputs = readonly {
  readonly source: { readonly kind: string; readonly name?: string; readonly part?: { readonly of: string } };
}[];
function taken<T>(inputs: Inputs, feeds: Readonly<Record<string, T>>): Record<string, T> {
  const names = new Set(inputs.map(({ source }) => source.part?.of ?? source.name ?? ""));
  return Object.fromEntries(Object.entries(feeds).filter(([name]) => names.has(name)));
}

/** Our flat vector in the golden order of parameters. */
function inOrder(
  flat: Float32Array,
  spec: readonly { readonly name: string; readonly shape: readonly number[] }[],
  order: GoldenPlayer["parameters"],
): number[] {
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const places = new Map<string, Float32Array>();
  let at = 0;
  for (const { name, shape } of spec) {
    places.set(name, flat.subarray(at, at + size(shape)));
    at += size(shape);
  }
  expect(order.map(({ name }) => ours(name, places)).sort()).toEqual([...places.keys()].sort());
  return order.flatMap(({ name }) => [...places.get(ours(name, places))!]);
}

/** Golden heads may be called with or without their prefix. */
const ours = (name: string, places: ReadonlyMap<string, unknown>): string =>
  places.has(name) ? name : places.has(`heads.${name}`) ? `heads.${name}` : name;
