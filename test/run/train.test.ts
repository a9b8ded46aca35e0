// The training loop by itself: what it draws, when it saves, and where it stops.

import { afterAll, describe, expect, it } from "vitest";
import { uniform, withAtoms } from "../../src/core/index.ts";
import { add, cast, mul, reshape, sqrt, square, sub, sum, type Tensor } from "../../src/graph/index.ts";
import { initialize } from "../../src/nn/initialize.ts";
import type { RowAt } from "../../src/pair.ts";
import { fold, key, normal } from "../../src/random.ts";
import type { Player } from "../../src/recipes/recipe.ts";
import { freshPlayer, freshState, keptOf, NotFinite, randomWeights } from "../../src/run/train.ts";
import type { Held, Runtime } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { all, losses, type Measure, probe, stageWith, start, studentOf } from "./probe.ts";

const runtime = nodeRuntime({ threads: 1 });

afterAll(() => expect(runtime.open()).toBe(0));

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const perSample = (x: Tensor) => reshape(x, [x.shape[0]]);
const at =
  (f: (t: number) => number): Measure =>
  (_, clock) =>
    clock.column(f, 1);

describe("labels", () => {
  const droppedShare = (dropLabels: number, seed = 1) =>
    losses(
      probe({ measure: ({ labels }) => cast(labels!, "float32"), labels: true }, runtime, {
        batch: 64,
        steps: 40,
        dropLabels,
        seed,
      }),
    );

  it("are dropped at the share asked for, sample by sample", async () => {
    const shares = await droppedShare(0.3);
    // 2560 draws: three standard deviations of the mean are 0.027; of a step of 64, one is 0.057.
    expect(Math.abs(mean(shares) - 0.3)).toBeLessThan(0.027);
    const spread = Math.sqrt(mean(shares.map((share) => (share - 0.3) ** 2)));
    expect(spread).toBeGreaterThan(0.04);
    expect(spread).toBeLessThan(0.08);
    expect(await droppedShare(0.3, 2)).not.toEqual(shares);
  });

  it("are all kept at 0 and all dropped at 1", async () => {
    expect(new Set(await droppedShare(0))).toEqual(new Set([0]));
    expect(new Set(await droppedShare(1))).toEqual(new Set([1]));
  });
});

describe("times", () => {
  it("are one per eighth of the law in a batch of eight, moved together and anew each step", async () => {
    for (let k = 0; k < 8; k++) {
      const inside = at((t) => (t > k / 8 && t <= (k + 1) / 8 ? 1 : 0));
      expect(await losses(probe({ measure: inside }, runtime))).toEqual([1 / 8, 1 / 8, 1 / 8]);
    }
    // t = 1 − (i + offset)/8: the mean over i, where the offset was drawn uniformly.
    const offsets = (await losses(probe({ measure: at((t) => t) }, runtime, { steps: 60 }))).map((t) => 4.5 - 8 * t);
    expect(new Set(offsets).size).toBe(60);
    expect(Math.min(...offsets)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...offsets)).toBeLessThan(1);
    expect(Math.abs(mean(offsets) - 0.5)).toBeLessThan(0.12);
  });

  it("take a share at a method's own times in every step", async () => {
    const times = withAtoms(0.5, [1, 0.5], uniform({ to: 0.4 }));
    for (const [t, share] of [
      [1, 0.25],
      [0.5, 0.25],
    ])
      expect(await losses(probe({ measure: at((x) => (x === t ? 1 : 0)), times }, runtime))).toEqual(
        Array(3).fill(share),
      );
  });
});

describe("noise", () => {
  const measured = (measure: Measure, noise?: Float32Array, seed?: number) =>
    losses(probe({ measure, noise }, runtime, { batch: 500, steps: 4, ...(seed ? { seed } : {}) }));
  const first: Measure = ({ pair }) => perSample(pair.b);

  it("is standard normal, and another in every step and for every seed", async () => {
    const [means, squares] = [await measured(first), await measured(({ pair }) => perSample(square(pair.b)))];
    // 2000 draws: three standard deviations.
    expect(Math.abs(mean(means))).toBeLessThan(0.067);
    expect(Math.abs(mean(squares) - 1)).toBeLessThan(0.095);
    expect(new Set([...means, ...(await measured(first, undefined, 2))]).size).toBe(8);
  });

  it("is the data's own where that brings some", async () => {
    const noise = normal(key(9), 500);
    for (const found of await measured(first, noise)) expect(found).toBeCloseTo(mean([...noise]), 6);
  });
});

describe("events", () => {
  const shown: Measure = ({ pair }) => perSample(pair.a);

  it("count steps and images from where the state was, and data begins at 0", async () => {
    const events = await all(probe({ measure: shown }, runtime, { steps: 5 }, { ...start, step: 2 }));
    const steps = events.filter((event) => event.kind === "step");
    expect(steps.map(({ step, images, loss }) => [step, images, loss])).toEqual([
      [3, 24, 2],
      [4, 32, 3],
      [5, 40, 4],
    ]);
    expect(steps.every((event) => event.state === undefined && !("skipped" in event))).toBe(true);
  });

  it("bring a copy of the state after every few steps and at the end, once", async () => {
    const saves = async (steps: number, saveEvery: number) =>
      (await all(probe({ measure: shown }, runtime, { steps, saveEvery })))
        .filter((event) => event.kind === "save")
        .map(({ step, state }) => {
          expect(state?.step).toBe(step);
          expect(state?.scale).toBeUndefined();
          return step;
        });
    expect(await saves(5, 2)).toEqual([2, 4, 5]);
    expect(await saves(4, 2)).toEqual([2, 4]);
    expect(await saves(1, 10)).toEqual([1]);
  });

  it("none come where all steps are done", async () => {
    expect(await all(probe({ measure: shown }, runtime, {}, { ...start, step: 3 }))).toEqual([]);
  });
});

describe("a state", () => {
  const pull: Measure = ({ pair }, _, weights) => square(sub(perSample(pair.b), sum(weights)));

  it("goes on to the same bytes as if it had not stopped, and is not written to afterwards", async () => {
    const states = (await all(probe({ measure: pull }, runtime, { steps: 4, saveEvery: 2 }))).flatMap(
      (event) => event.state ?? [],
    );
    const kept = structuredClone(states[0]);
    const resumed = await all(probe({ measure: pull }, runtime, { steps: 4, saveEvery: 2 }, states[0]));
    expect(resumed.flatMap((event) => event.state ?? [])).toEqual(states.slice(1));
    expect(states[0]).toEqual(kept);
    expect(studentOf(states[1]).theta).not.toEqual(studentOf(kept).theta);
    expect(start).toEqual({ step: 0, players: { student: freshPlayer(Float32Array.of(0.5, -0.25)) } });
  });

  it("fresh holds copies of the weights and no moments", () => {
    const theta = Float32Array.of(1, 2);
    const spec = [{ name: "w", shape: [2], init: "zeros" }] as const;
    const player: Player = { name: "student", spec, start: theta, loss: (_, draws) => draws.data("x") };
    const fresh = freshState(stageWith([player]));
    theta[0] = 7;
    expect(fresh).toEqual({
      step: 0,
      players: {
        student: {
          updates: 0,
          theta: Float32Array.of(1, 2),
          m: new Float32Array(2),
          v: new Float32Array(2),
          averages: { kept: Float32Array.of(1, 2) },
        },
      },
    });
    const { theta: weights, m, v } = studentOf(fresh);
    m[0] = 1;
    keptOf(fresh)[0] = 3;
    expect([v[0], weights[0]]).toEqual([0, 1]);
  });

  it("random follows from its seed", () => {
    const spec = [{ name: "w", shape: [50], init: { normal: 1 } }] as const;
    expect(randomWeights(spec, 3)).toEqual(randomWeights(spec, 3));
    expect(randomWeights(spec, 3)).not.toEqual(randomWeights(spec, 4));
    expect(new Set(randomWeights(spec, 3)).size).toBe(50);
    expect(randomWeights(spec, 3)).toEqual(initialize(spec, fold(key(3), "init")));
  });

  it("moves by AdamW's defaults where none are given", async () => {
    const end = async (options = {}) =>
      studentOf((await all(probe({ measure: pull }, runtime, options))).flatMap((event) => event.state ?? [])[0]).theta;
    expect(await end()).toEqual(await end({ adamw: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.01 } }));
    expect(await end()).not.toEqual(await end({ adamw: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 } }));
  });
});

describe("what is not finite ends the run", () => {
  it("a loss, naming the step, before anything is saved", async () => {
    const breaks: Measure = ({ pair }) => sqrt(sub(1.5, perSample(pair.a)));
    const events: string[] = [];
    const run = async () => {
      for await (const event of probe({ measure: breaks }, runtime, { saveEvery: 1, steps: 5 }))
        events.push(`${event.kind} ${event.step}`);
    };
    const error = await run().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(NotFinite);
    expect(error).toMatchObject({ name: "NotFinite", step: 3 });
    expect((error as Error).message).toMatch(
      /^The loss \(NaN\) is not a finite number at step 3\. The last saved state is unharmed; resume from it with a lower learning rate \(--lr\), a longer warm-up, or check the data for values outside \[-1, 1\]\.$/,
    );
    expect(events).toEqual(["step 1", "save 1", "step 2", "save 2"]);
  });

  it("a gradient under a finite loss", async () => {
    const steep: Measure = ({ pair }, _, weights) => add(perSample(pair.a), sqrt(mul(sum(weights), 0)));
    await expect(all(probe({ measure: steep }, runtime))).rejects.toThrow(
      /^The norm of the gradient \(.*\) is not a finite number at step 1\./,
    );
  });
});

it("a run that is left early gives everything back", async () => {
  for await (const event of probe({ measure: at((t) => t) }, runtime)) if (event.step === 1) break;
  expect(runtime.open()).toBe(0);
});

it("gives back both sets of buffers, which may lie on a device, and copies what it yields", async () => {
  const released = new Set<Held>();
  const watched: Runtime = { ...runtime, release: (held) => released.add(held) };
  const events = await all(probe({ measure: at((t) => t) }, watched, { steps: 2 }));
  expect(released.size).toBe(8);
  const { theta } = studentOf(events.flatMap((event) => event.state ?? [])[0]);
  expect(released.has(theta)).toBe(false);
});

/** Rows must be the draw's own: a probe reads them as they are. */
it("an independent draw has data and noise as its rows", async () => {
  const rows: RowAt[] = [];
  await all(
    probe(
      {
        measure: ({ pair }, clock) => {
          rows.push(pair.rowA, pair.rowB);
          return clock.column((t) => t, 1);
        },
      },
      runtime,
      { steps: 1 },
    ),
  );
  expect(rows.map((row) => row(0.3))).toEqual([
    [1, 0],
    [0, 1],
  ]);
});
