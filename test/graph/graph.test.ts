// What the graph refuses, shares and leaves out.

import { describe, expect, it } from "vitest";
import * as g from "../../src/graph/index.ts";
import { operator } from "../../src/graph/tensor.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

describe("errors are sentences", () => {
  const x = g.input("x", [2, 3]);
  it.each([
    [() => g.add(x, g.input("y", [2, 4])), "add: shapes [2,3] and [2,4] do not broadcast."],
    [() => g.matmul(x, g.input("y", [2, 4])), "inner sizes 3 and 2 differ"],
    [() => g.reshape(x, [4, -1]), "[2,3] does not fit into [4,-1]"],
    [() => g.sum(x, [2]), "axis 2 does not exist in shape [2,3]"],
    [
      () =>
        g.slice(x, [
          [0, 2],
          [1, 5],
        ]),
      "outside dimension 1 of [2,3]",
    ],
    [() => g.split(x, [1, 1], 1), "sizes add up to 2, but axis 1 of [2,3] has 3"],
    [() => g.concat([x, g.input("y", [3, 3])], 1), "differ outside axis 1"],
    [() => g.conv2d(g.input("i", [1, 3, 4, 4]), g.input("w", [2, 4, 3, 3])), "do not fit"],
    [() => g.groupNorm(g.input("i", [1, 3, 4, 4]), 2), "3 channels do not divide into 2 groups"],
    [() => g.grad(x, [x]), "the loss must be a scalar, got shape [2,3]"],
    [() => g.constant([1, 2, 3], [2]), "needs 2 values, but 3 were given"],
    [() => g.exp(g.input("i", [2], "int64")), "expected a float32 tensor, got int64"],
  ])("%#", (make, message) => {
    expect(make).toThrow(message);
  });

  it("a missing rule names the operator", () => {
    const opaque = operator<Record<string, never>>({
      name: "opaque",
      infer: ([a]) => [{ shape: a.shape, dtype: "float32" }],
      emit: (to, [a]) => [to.op("Identity", [a])],
      jvp: "none",
    });
    expect(() => g.grad(g.sum(opaque([x], {})[0]), [x])).toThrow('"opaque" has no gradient');
  });

  it("two inputs of one name are refused", () => {
    expect(() => g.emitModel({ y: g.add(g.input("a", [2]), g.input("a", [2])) }, "cpu")).toThrow('called "a"');
  });
});

describe("emission", () => {
  const x = g.input("x", [4]);
  it("shares common subexpressions", () => {
    const { counts } = g.emitModel({ y: g.add(g.exp(x), g.exp(x)) }, "cpu");
    expect(counts.get("Exp")).toBe(1);
  });
  it("leaves out what no output needs", () => {
    g.log(x);
    const { counts } = g.emitModel({ y: g.exp(x) }, "cpu");
    expect([...counts.keys()]).toEqual(["Exp"]);
  });
  it("gives an output that is an input, and an output called like an input", () => {
    const { outputs } = g.emitModel({ x, same: x }, "cpu");
    expect(outputs.map((o) => o.key)).toEqual(["x", "same"]);
    expect(new Set(outputs.map((o) => o.name)).size).toBe(2);
  });
  it("is the same bytes for the same graph", () => {
    const build = () => g.emitModel({ y: g.silu(g.mul(g.input("x", [4]), 2)) }, "cpu").bytes;
    expect(build()).toEqual(build());
  });
});

describe("derivatives", () => {
  const x = g.input("x", [4]);
  it("do not flow through stopGradient", () => {
    const [d] = g.grad(g.sum(g.mul(g.stopGradient(x), 3)), [x]);
    expect(g.emitModel({ d }, "cpu").inputs).toEqual([]);
  });
  it("are zeros where nothing depends on the input", async () => {
    const [d] = g.grad(g.sum(x), [g.input("other", [2, 2])]);
    expect(d.shape).toEqual([2, 2]);
    const program = await nodeRuntime({ threads: 1 }).compile({ d });
    const { d: zeros } = await program.run({});
    await program.dispose();
    expect([...(zeros.data as Float32Array)]).toEqual([0, 0, 0, 0]);
  });
});
