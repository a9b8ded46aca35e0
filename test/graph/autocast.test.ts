// Half precision inside a program: which operators compute in it, and what stays in float32.

import { fromBinary } from "@bufbuild/protobuf";
import { TensorProto_DataType as DataType, ModelProtoSchema } from "onnx-buf";
import { describe, expect, it } from "vitest";
import * as g from "../../src/graph/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const x = g.input("x", [1, 2]);
const w = g.input("w", [2, 1]);
const product = g.matmul(x, w);

/** The nodes of a half-precision program, as "Add(float32, half)"; casts are left out. */
function computed(y: g.Tensor): string[] {
  const { graph } = fromBinary(ModelProtoSchema, g.emitModel({ y }, "cpu", 1, "float16").bytes);
  if (!graph) throw new Error("The model has no graph.");
  const types = new Map<string, string>();
  const nameOf = (type: number) => (type === DataType.FLOAT ? "float32" : type === DataType.FLOAT16 ? "half" : "other");
  for (const { name, type } of graph.input)
    if (type?.value.case === "tensorType") types.set(name, nameOf(type.value.value.elemType));
  for (const { name, dataType } of graph.initializer) types.set(name, nameOf(dataType));
  const found: string[] = [];
  for (const { opType, input, output, attribute } of graph.node) {
    const from = input.map((name) => types.get(name) ?? "none").filter((type) => type !== "other");
    const to = opType === "Cast" ? nameOf(Number(attribute[0].i)) : from[0];
    for (const name of output) types.set(name, to);
    if (opType !== "Cast") found.push(`${opType}(${from.join(", ")})`);
  }
  expect(types.get("y"), "outputs are float32").toBe("float32");
  return found;
}

describe("in a program of half precision", () => {
  it.each([
    ["products and convolutions are half", product, ["MatMul(half, half)"]],
    [
      "convolutions are half, their bias too",
      g.conv2d(g.input("i", [1, 2, 3, 3]), g.input("k", [2, 2, 3, 3]), g.input("b", [2])),
      ["Conv(half, half, half)"],
    ],
    ["what has no product before it is float32", g.mul(x, 2), ["Mul(float32, float32)"]],
    ["constants take the type of what they meet", g.mul(product, 2), ["MatMul(half, half)", "Mul(half, half)"]],
    [
      "constants that float16 does not hold are float32",
      g.add(product, 1e9),
      ["MatMul(half, half)", "Add(float32, float32)"],
    ],
    ["other values are not rounded", g.add(product, x), ["MatMul(half, half)", "Add(float32, float32)"]],
    ["reductions are float32", g.sum(product), ["MatMul(half, half)", "ReduceSum(float32)", "Reshape(float32)"]],
    ["exponentials are float32", g.exp(product), ["MatMul(half, half)", "Exp(float32)"]],
    ["softmax is float32", g.softmax(product), ["MatMul(half, half)", "Softmax(float32)"]],
    ["activations follow", g.silu(product), ["MatMul(half, half)", "QuickGelu(half)"]],
    [
      "asFloat32 leaves half precision",
      g.mul(g.asFloat32(product), 2),
      ["MatMul(half, half)", "Mul(float32, float32)"],
    ],
  ] as const)("%s", (_, y, expected) => {
    expect(computed(y)).toEqual(expected);
  });

  it("a value is cast once", () => {
    const { counts } = g.emitModel({ a: g.matmul(x, w), b: g.matmul(w, x) }, "cpu", 1, "float16");
    // x and w to half, both products back.
    expect(counts.get("Cast")).toBe(4);
  });

  it("a normalization's statistics are float32", () => {
    expect(computed(g.layerNorm(product, 1))).toContain("LayerNormalization(float32, float32)");
  });
});

it("programs of half precision run, and gradients go through their casts", async () => {
  const runtime = nodeRuntime({ threads: 1 });
  const [dw] = g.grad(g.sum(g.square(product)), [w]);
  const program = await runtime.compile({ product, dw }, { precision: "float16" });
  const found = await program.run({ x: Float32Array.of(3, 2), w: Float32Array.of(2, -1) });
  await program.dispose();
  expect(Array.from(found.product.data, Number)).toEqual([4]);
  // 2·(x·w)·x.
  expect(Array.from(found.dw.data, Number)).toEqual([24, 16]);
});
