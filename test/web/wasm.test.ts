// Wasm as in a page, run in Node: values, losses and samples are those of the Node runtime.

import * as ort from "onnxruntime-web/wasm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { input, mul, sum } from "../../src/graph/index.ts";
import { freshState, train } from "../../src/run/train.ts";
import { createRuntime, type OrtModule, type Runtime } from "../../src/runtime/index.ts";
import { writesInPlace } from "../../src/runtime/inPlace.ts";
import { nodeRuntime, onnxruntime } from "../../src/runtime/node.ts";
import { webRuntime } from "../../src/runtime/web.ts";
import { accelerations, families, type Training } from "../support/trainings.ts";

const node = nodeRuntime({ threads: 1 });
let wasm: Runtime;
beforeAll(async () => {
  wasm = await webRuntime(ort);
});
afterAll(() => expect([node.open(), wasm.open()]).toEqual([0, 0]));

async function losses({ stage, data, options }: Training, on: Runtime) {
  const found: number[] = [];
  let theta: Float32Array | undefined;
  for await (const event of train(stage, data, on, freshState(stage), options)) {
    found.push(event.loss, event.norm);
    theta = event.state?.players.student.theta;
  }
  return { found, theta };
}

it("is a runtime of one thread that says what it is", () => {
  expect(wasm).toMatchObject({ device: "wasm", threads: 1, notes: [] });
});

it("onnxruntime-web leaves the caller's buffers as they are, onnxruntime-node does not", async () => {
  // Should this change, results need no copy: see inPlace.ts.
  expect(await writesInPlace(ort as unknown as OrtModule, "wasm")).toBe(false);
  expect(await writesInPlace(onnxruntime(), "cpu")).toBe(true);
});

it("results are in the buffers that were given", async () => {
  const x = input("x", [3]);
  const program = await wasm.compile({ y: mul(x, 2), s: sum(x) });
  const y = new Float32Array(3);
  const made = await program.run({ x: Float32Array.of(1, 2, 3) }, { y });
  expect([...y]).toEqual([2, 4, 6]);
  expect(made.y.data).toBe(y);
  expect(made.s.data[0]).toBe(6);
  await program.dispose();
});

describe.each([...families, ...accelerations])("$name", (training) => {
  it("trains as in Node", async () => {
    const [expected, got] = [await losses(training, node), await losses(training, wasm)];
    expect(expected.found.every((x) => x > 0)).toBe(true);
    const off = Math.max(...got.found.map((x, i) => Math.abs(x / expected.found[i] - 1)));
    console.log(`${training.name}: losses and norms off by ${off.toExponential(1)}`);
    expect(off).toBeLessThan(1e-6);
  });
});

it("createRuntime alone notices it too", async () => {
  const runtime = createRuntime(ort as unknown as OrtModule, "wasm", 1);
  const program = await runtime.compile({ y: mul(input("x", [1]), 3) });
  const y = new Float32Array(1);
  await program.run({ x: Float32Array.of(2) }, { y });
  await program.dispose();
  expect(y[0]).toBe(6);
});
