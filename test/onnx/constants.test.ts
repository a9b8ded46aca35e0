// Weights that lie in Constant nodes: trained, saved and read again like those of initializers.
import { describe, expect, test } from "vitest";
import { importOnnx } from "../../src/onnx/index.ts";
import { distance, evaluate, fed, ortOutputs } from "./helpers.ts";
import { described, f, floats, graphProto, modelBytes, node, type Single, stored } from "./model.ts";

const w = f(4, 3);
const b = f(3);
const scale = floats([2], []);
const constant = (name: string, data: typeof w) => node("Constant", [], [name], { value: stored("", data) });
const x = { ...f(2, 4), stored: false };

const model: Single = {
  bytes: modelBytes(
    graphProto({
      node: [
        constant("w", w),
        node("MatMul", ["x", "w"], ["h"]),
        constant("b", b),
        node("Add", ["h", "b"], ["s"]),
        constant("two", scale),
        node("Mul", ["s", "two"], ["y"]),
      ],
      input: [described("x", [2, 4])],
      output: [described("y", null)],
    }),
    17,
  ),
  fed: new Map([["x", x]]),
};

describe("weights in Constant nodes", () => {
  const imported = importOnnx(model.bytes);
  test("are parameters by the names of their values; a factor is none", () => {
    expect(imported.parameters.map(({ name, shape }) => [name, [...shape]])).toEqual([
      ["w", [4, 3]],
      ["b", [3]],
    ]);
    expect(imported.parameters[0].data).toEqual(w.data);
  });
  test("enter as inputs and compute what ONNX Runtime computes", async () => {
    const { inputs, feeds } = fed(model);
    const { input } = await import("../../src/graph/index.ts");
    const outputs = imported.apply((name, shape) => input(name, shape), inputs);
    const values = Object.fromEntries(imported.parameters.map(({ name, data }) => [name, data]));
    const [wanted] = await ortOutputs(model);
    expect(distance((await evaluate(outputs, { ...feeds, ...values })).y, wanted.data)).toBeLessThan(1e-6);
  });
  test("lie in the other file of a saved model, and are weights of it again", () => {
    const saved = imported.detached(
      "model.safetensors",
      new Map([
        ["w", 0],
        ["b", 48],
      ]),
    );
    const again = importOnnx(saved, { withoutWeights: true });
    expect(again.parameters.map(({ name }) => name).sort()).toEqual(["b", "w"]);
    const bytes = new Uint8Array(60);
    bytes.set(new Uint8Array((w.data as Float32Array).buffer, (w.data as Float32Array).byteOffset, 48), 0);
    bytes.set(new Uint8Array((b.data as Float32Array).buffer, (b.data as Float32Array).byteOffset, 12), 48);
    const read = importOnnx(saved, { externalData: new Map([["model.safetensors", bytes]]) });
    expect(read.parameters.find(({ name }) => name === "b")?.data).toEqual(b.data);
  });
});
