// Wasm as in a page, run in Node: values, losses and samples are those of the Node runtime.

import * as ort from "onnxruntime-web/wasm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cosine, vPrediction } from "../../src/core/index.ts";
import { emitModel, input, mul, sum } from "../../src/graph/index.ts";
import { networkModel } from "../../src/model.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { draw } from "../../src/page/draw.ts";
import { key } from "../../src/random.ts";
import { startOf } from "../../src/recipes/start.ts";
import { freshState, type TrainOptions, train } from "../../src/run/train.ts";
import { openForeign } from "../../src/runtime/foreign.ts";
import { createRuntime, type Runtime } from "../../src/runtime/index.ts";
import { writesInPlace } from "../../src/runtime/inPlace.ts";
import { nodeRuntime, onnxruntime } from "../../src/runtime/node.ts";
import type { OrtSession } from "../../src/runtime/runtime.ts";
import { type OrtWeb, webRuntime } from "../../src/runtime/web.ts";
import { lossesOf, stagesOfEvery } from "../support/everyMethod.ts";
import { tinyUnet } from "../support/tinyUnet.ts";
import { accelerations, families, type Training } from "../support/trainings.ts";

const node = nodeRuntime({ threads: 1 });
let wasm: Runtime;
beforeAll(async () => {
  wasm = await webRuntime(ort);
});
afterAll(() => expect([node.open(), wasm.open()]).toEqual([0, 0]));

/** The largest of the relative differences. */
const apart = (got: ArrayLike<number>, expected: ArrayLike<number>): number => {
  expect(got.length).toBe(expected.length);
  return Math.max(...Array.from(expected, (x, i) => Math.abs(got[i] - x) / Math.abs(x)));
};

it("is a runtime of one thread that says what it is", () => {
  expect(wasm).toMatchObject({ device: "wasm", threads: 1, notes: [] });
});

describe("results", () => {
  it("onnxruntime-web leaves the caller's buffers as they are, onnxruntime-node does not", async () => {
    // Should the first line fail one day, results need no copies any more: see inPlace.ts.
    expect(await writesInPlace(ort, "wasm")).toBe(false);
    expect(await writesInPlace(onnxruntime(), "cpu")).toBe(true);
  });

  it.each([
    ["webRuntime", () => webRuntime(ort)],
    ["createRuntime", async () => createRuntime(ort, "wasm", 1)],
  ])("are in the buffers that were given, with %s", async (_, open) => {
    const runtime = await open();
    const x = input("x", [3]);
    const program = await runtime.compile({ y: mul(x, 2), s: sum(x), both: [mul(x, 3), mul(x, 4)] });
    const [y, both] = [new Float32Array(3), new Float32Array(6)];
    const made = await program.run({ x: Float32Array.of(1, 2, 3) }, { y, both });
    await program.dispose();
    expect([...y]).toEqual([2, 4, 6]);
    expect([...both]).toEqual([3, 6, 9, 4, 8, 12]);
    expect(made.y.data).toBe(y);
    expect(made.both.data).toBe(both);
    expect(made.s.data[0]).toBe(6);
  });
});

describe("training", () => {
  async function losses({ stage, data, options }: Training, on: Runtime) {
    const [losses, norms]: number[][] = [[], []];
    let theta = new Float32Array();
    for await (const event of train(stage, data, on, freshState(stage), options)) {
      if (event.kind === "step") [losses, norms].map((list, i) => list.push(i === 0 ? event.loss : event.norm));
      theta = event.state?.players.student.theta.slice() ?? theta;
    }
    return { losses, norms, theta };
  }

  it.each(
    [...families, ...accelerations].map((t) => [t.name, t] as const),
  )("of %s is Node's", async (name, training) => {
    const [expected, got] = [await losses(training, node), await losses(training, wasm)];
    expect(expected.losses).toHaveLength(training.options.steps);
    expect(Math.min(...expected.losses)).toBeGreaterThan(0);
    const [loss, norm] = [apart(got.losses, expected.losses), apart(got.norms, expected.norms)];
    const moved = got.theta.filter((x, i) => x !== training.stage.players[0].start[i]).length;
    console.log(`${name}: losses off by ${loss.toExponential(1)}, norms by ${norm.toExponential(1)}`);
    expect(loss).toBeLessThan(1e-6);
    // Of gradients that are sums over thousands of pixels.
    expect(norm).toBeLessThan(1e-5);
    expect(moved).toBeGreaterThan(0.5 * got.theta.length);
  });

  it("over 40 steps of PeRFlow too", async () => {
    const [perflow] = accelerations;
    const long = { ...perflow, options: { ...perflow.options, steps: 40, saveEvery: 40 } };
    const [expected, got] = [await losses(long, node), await losses(long, wasm)];
    // AdamW makes a whole step of a gradient that is nothing but rounding.
    expect(apart(got.losses, expected.losses)).toBeLessThan(1e-4);
  });
});

describe("with a small U-Net with classes", () => {
  const network = buildNetwork(tinyUnet);
  const spec = collect(network).map((s) => ({ ...s, init: { normal: 0.2 } }));
  const timeInput = { scale: 1000, offset: 0 };
  const model = networkModel(network, cosine(), vPrediction, timeInput);
  const start = startOf({ model, network, timeInput, spec, theta: initialize(spec, key(7)) });
  const options: TrainOptions = {
    batch: 2,
    steps: 2,
    rate: { kind: "constant", peak: 1e-3, warmup: 0, final: 1 },
    ema: 0.9,
    clip: 1,
    dropLabels: 0.5,
    seed: 6,
  };

  it.each(stagesOfEvery(start).map(([name, stages]) => [name, stages[stages.length - 1]] as const))(
    "%s trains as in Node",
    { timeout: 180_000 },
    async (name, stage) => {
      const off = apart(await lossesOf(stage, wasm, options), await lossesOf(stage, node, options));
      console.log(`${name}: losses and norms off by ${off.toExponential(1)}`);
      // Differences of two predictions (swiftbrush, scm) lose the digits that these have in common.
      expect(off).toBeLessThan(1e-4);
    },
  );

  it("samples are Node's", async () => {
    const asked = { n: 5, steps: 4, seed: 3, guidance: 2, batch: 4 };
    const [expected, got] = await Promise.all([node, wasm].map((on) => draw(start, on, asked)));
    const off = Math.max(...expected.x.map((x, i) => Math.abs(got.x[i] - x)));
    const size = Math.max(...expected.x.map(Math.abs));
    console.log(`samples off by ${(off / size).toExponential(1)}`);
    expect(off / size).toBeLessThan(1e-6);
  });
});

describe("a step that did nothing", () => {
  /** A module whose runs return zeros. */
  const idle = (module: OrtWeb): OrtWeb => ({
    env: module.env,
    Tensor: module.Tensor,
    InferenceSession: {
      async create(...given) {
        const session = await module.InferenceSession.create(...given);
        const run: OrtSession["run"] = async (feeds) => {
          const made = await session.run(feeds);
          for (const { data } of Object.values(made)) (data as Float32Array).fill(0 as never);
          return made;
        };
        return { run, release: () => session.release() };
      },
    },
  });

  it("is an error", async () => {
    const [{ stage, data, options }] = families;
    const runtime = createRuntime(idle(ort), "wasm", 1);
    const steps = train(stage, data, runtime, freshState(stage), options);
    await expect(steps.next()).rejects.toThrow(
      "The loss of the student is exactly 0 at step 1 and its weights did not move: the device wasm returned nothing. Use another device.",
    );
    expect(runtime.open()).toBe(0);
  });
});

describe("two runtimes of one module", () => {
  it("do not disturb each other", async () => {
    const other = await webRuntime(ort);
    const x = input("x", [2000]);
    const twice = await wasm.compile({ y: mul(x, 2), z: mul(x, 5) });
    const thrice = await other.compile({ y: mul(x, 3) });
    const runs = Array.from({ length: 20 }, (_, i) => {
      const feed = { x: new Float32Array(2000).fill(i) };
      return i % 2 === 0 ? twice.run(feed) : thrice.run(feed);
    });
    const made = await Promise.all(runs);
    made.forEach(({ y }, i) => {
      const factor = i % 2 === 0 ? 2 : 3;
      expect([...y.data].every((value) => value === factor * i)).toBe(true);
    });
    await twice.dispose();
    await thrice.dispose();
    expect(other.open()).toBe(0);
  });

  it("have the threads of the first", async () => {
    const other = await webRuntime(ort, { threads: 2 });
    expect(other.threads).toBe(1);
    expect(other.notes).toEqual(["1 thread and not 2: another runtime has started this module of onnxruntime-web."]);
  });
});

it("runs someone else's model in the same order", async () => {
  const runtime = await webRuntime(ort);
  const { bytes, outputs } = emitModel({ y: mul(input("x", [2]), 7) }, "wasm");
  const foreign = await openForeign(runtime.ort, bytes);
  expect([foreign.input, foreign.output]).toEqual(["x", outputs[0].name]);
  const program = await runtime.compile({ y: mul(input("x", [2]), 2) });
  const [own, other] = await Promise.all([
    program.run({ x: Float32Array.of(1, 2) }),
    foreign.run(Float32Array.of(1, 2), [2]),
  ]);
  expect([[...own.y.data], [...other.data]]).toEqual([
    [2, 4],
    [7, 14],
  ]);
  await program.dispose();
  await foreign.dispose();
});

it("computes half precision, or says that it does not", async () => {
  const [{ stage, data, options }] = families;
  const found: number[] = [];
  for await (const event of train(stage, data, wasm, freshState(stage), { ...options, precision: "float16" }))
    if (event.kind === "step" && !event.skipped) found.push(event.loss);
  const full: number[] = [];
  for await (const event of train(stage, data, node, freshState(stage), { ...options, precision: "float16" }))
    if (event.kind === "step" && !event.skipped) full.push(event.loss);
  expect(apart(found, full)).toBeLessThan(1e-2);
});
