// Models that PyTorch's two exporters wrote (test/fixtures/onnx/make.py): outputs and gradients are PyTorch's.

import { resolve } from "node:path";
import { expect, test } from "vitest";
import { input, type Tensor } from "../../src/graph/index.ts";
import { topological } from "../../src/graph/walk.ts";
import { importOnnx, type OnnxParameter } from "../../src/onnx/index.ts";
import type { Feed } from "../../src/runtime/index.ts";
import { floats, longs, type RawTensor, readGoldenTensors } from "../support/golden.ts";
import { distance, fixture, outputAndGradients } from "./helpers.ts";

const expected = (name: string) =>
  readGoldenTensors(resolve(import.meta.dirname, `../fixtures/onnx/${name}.safetensors`));

/** An exporter may have renamed a weight, and turned it over if it is a matrix; its norm tells which one it is. */
function find(parameters: readonly OnnxParameter[], name: string, norm: number): { name: string; turned: boolean } {
  const same = parameters.find((p) => p.name === name);
  if (same) return { name, turned: false };
  const close = parameters.filter(({ data }) => Math.abs(Math.hypot(...data) / norm - 1) < 1e-6);
  expect(
    close.map((p) => p.name),
    `weights with the norm of ${name}`,
  ).toHaveLength(1);
  return { name: close[0].name, turned: close[0].shape.length === 2 };
}

function turn(data: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  return data.map((_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);
}

test.each([
  ["unet", "unet-torchscript-11"],
  ["unet", "unet-dynamo-18"],
  ["dit", "dit-torchscript-14"],
  ["dit", "dit-dynamo-21"],
])("%s from %s.onnx", async (kind, file) => {
  const tensors = expected(kind);
  const model = importOnnx(fixture(`${file}.onnx`));
  const given = new Map<string, RawTensor>(
    [...tensors].flatMap(([name, x]) => (name.startsWith("in.") ? [[name.slice(3), x] as const] : [])),
  );
  expect(model.inputs.map((x) => x.name)).toEqual([...given.keys()]);
  const inputs: Record<string, Tensor> = {};
  const feeds: Record<string, Feed> = {};
  for (const [name, x] of given) {
    inputs[name] = input(name, x.shape, x.dtype === "F32" ? "float32" : "int64");
    feeds[name] = x.dtype === "F32" ? floats(x) : longs(x);
  }
  const { output, gradients } = await outputAndGradients(model, inputs, feeds);
  expect(distance(output, floats(tensors.get("output")!))).toBeLessThan(2e-6);
  const names = [...tensors.keys()].filter((n) => n.startsWith("grad.")).map((n) => n.slice(5));
  expect(names.length).toBe(model.parameters.length);
  for (const name of names) {
    const wanted = tensors.get(`grad.${name}`)!;
    const own = find(model.parameters, name, floats(tensors.get(`norm.${name}`)!)[0]);
    const target = own.turned ? turn(floats(wanted), wanted.shape) : floats(wanted);
    expect(distance(gradients.get(own.name)!, target), name).toBeLessThan(2e-5);
  }
});

/** Of the graph of a fixture, how many operators of each kind. */
function countOf(file: string): (op: string) => number {
  const model = importOnnx(fixture(file));
  const inputs = model.inputs.map((x) => input(x.name, [2, ...x.shape.slice(1).map(Number)], x.dtype));
  const outputs = model.apply(
    (name, shape) => input(`w.${name}`, shape),
    Object.fromEntries(inputs.map((x, i) => [model.inputs[i].name, x])),
  );
  const ops = topological(Object.values(outputs)).map((node) => node.op);
  return (op) => ops.filter((name) => name === op).length;
}

test("what exporters write out in several nodes becomes one operator again", () => {
  for (const file of ["unet-torchscript-11.onnx", "unet-dynamo-18.onnx"]) {
    const count = countOf(file);
    expect([count("group_norm"), count("normalize"), count("sigmoid_gate"), count("sigmoid")], file).toEqual([
      8, 0, 9, 0,
    ]);
    expect(count("upsample_nearest"), file).toBe(1);
  }
  for (const file of ["dit-torchscript-14.onnx", "dit-dynamo-21.onnx"]) {
    const count = countOf(file);
    // Two of the five normalizations have weights.
    expect([count("layer_norm"), count("normalize"), count("gelu"), count("erf")], file).toEqual([2, 3, 2, 0]);
  }
});
