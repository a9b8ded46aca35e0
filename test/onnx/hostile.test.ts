// Small files that ask for much, or are damaged: refused in one sentence, soon, and without taking the memory they name.
import { create, toBinary } from "@bufbuild/protobuf";
import {
  TensorProto_DataType as DataType,
  FunctionProtoSchema,
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
  OperatorSetIdProtoSchema,
} from "onnx-buf";
import { describe, expect, test } from "vitest";
import { input } from "../../src/graph/index.ts";
import { importOnnx } from "../../src/onnx/index.ts";
import { fold, key, randint } from "../../src/random.ts";
import { fixture } from "./helpers.ts";
import { described, floats, graphProto, int, ints, modelBytes, node, stored } from "./model.ts";

/** Reads and applies a model as the command line would; gives the message of its refusal, or undefined. */
function attempt(bytes: Uint8Array): string | undefined {
  try {
    const model = importOnnx(bytes);
    const inputs = Object.fromEntries(
      model.inputs.map(({ name, shape, dtype }) => [
        name,
        input(
          name,
          shape.map((d) => (typeof d === "number" ? Math.min(d, 64) : 2)),
          dtype,
        ),
      ]),
    );
    const weights = new Map(model.parameters.map((p) => [p.name, input(`weight:${p.name}`, p.shape)]));
    model.apply((name) => weights.get(name)!, inputs);
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    const { message, name } = error as Error;
    expect(name, message).not.toMatch(/^(TypeError|SyntaxError)$/);
    expect(message.length, message).toBeLessThanOrEqual(500);
    expect(message).toMatch(/^["A-Z].*[.)]$/s);
    expect(message).not.toMatch(
      /undefined|NaN|\[object|is not a function|Maximum call stack|Invalid (typed )?array length/,
    );
    return message;
  }
}

/** In seconds of the processor, not of the clock: other tests run beside this one. */
function refused(bytes: Uint8Array): string | undefined {
  const [cpu, before] = [process.cpuUsage(), process.memoryUsage().rss];
  const message = attempt(bytes);
  const { user, system } = process.cpuUsage(cpu);
  expect((user + system) / 1e6, "seconds").toBeLessThan(2);
  expect((process.memoryUsage().rss - before) / 2 ** 20, "MiB").toBeLessThan(500);
  return message;
}

const x = described("x", [2]);
const y = described("y", null);
const graph = (nodes: NodeProto[], initializer = [] as GraphProto["initializer"]): Uint8Array =>
  modelBytes(graphProto({ node: nodes, initializer, input: [x], output: [y] }), 17);

describe("a few bytes that name a large size", () => {
  const much = [
    stored("n", ints(40000, 40000)),
    stored("far", int(1e9)),
    stored("zero", int(0)),
    stored("one", int(1)),
  ];
  const vector = (n: number) => stored("shape", ints(n));
  test.each<[string, NodeProto[], GraphProto["initializer"]]>([
    ["Range", [node("Range", ["zero", "far", "one"], ["y"])], much],
    ["ConstantOfShape", [node("ConstantOfShape", ["n"], ["y"])], much],
    ["Expand of a constant", [node("Expand", ["one", "n"], ["y"])], much],
    [
      "Tile of a constant",
      [node("Unsqueeze", ["one", "zero"], ["o"]), node("Tile", ["o", "shape"], ["y"])],
      [...much, vector(2 ** 33)],
    ],
    [
      "OneHot",
      [node("Cast", ["x"], ["i"], { to: DataType.INT64 }), node("OneHot", ["i", "far", "v"], ["y"])],
      [...much, stored("v", floats([0, 1]))],
    ],
    ["Resize", [node("Unsqueeze", ["x", "zero"], ["r"]), node("Resize", ["r", "", "", "n"], ["y"])], much],
    [
      "a number of axes",
      [
        node("ConstantOfShape", ["shape"], ["ones"], { value: stored("v", ints(1)) }),
        node("Expand", ["x", "ones"], ["y"]),
      ],
      [vector(100000)],
    ],
    [
      "more than any machine holds",
      [node("Reshape", ["x", "s"], ["r"]), node("Expand", ["r", "big"], ["y"])],
      [...much, stored("s", ints(2, 1)), stored("big", ints(1e6, 2, 1e6))],
    ],
    [
      "a product of many factors",
      [
        node("Reshape", ["x", "s"], ["r"]),
        node("Expand", ["r", "big"], ["e"]),
        node("ReduceProd", ["e"], ["y"], { axes: [1], keepdims: 0 }),
      ],
      [stored("s", ints(2, 1)), stored("big", ints(2, 1e6))],
    ],
  ])("%s", (_, nodes, initializer) => expect(refused(graph(nodes, initializer))).toMatch(/at most \d+/));

  test("many arrays that are allowed one by one", () => {
    const nodes = Array.from({ length: 200 }, (_, i) => node("ConstantOfShape", ["n"], [i === 199 ? "y" : `y${i}`]));
    const sum = node("Concat", [...nodes.map((n) => n.output[0]), "z"].slice(0, 199), ["y"], { axis: 0 });
    expect(refused(graph([...nodes.slice(0, 199), sum], [stored("n", ints(4_000_000))]))).toMatch(
      /more than 16777216 values/,
    );
  });
  test("a window of many places, more parts than outputs", () => {
    const image = modelBytes(
      graphProto({
        node: [node("MaxPool", ["x"], ["y"], { kernel_shape: [100000, 100000] })],
        input: [described("x", [1, 1, 8, 8])],
        output: [y],
      }),
      17,
    );
    expect(refused(image)).toMatch(/10000000000 places in its window; at most/);
    const parts = graph([node("Split", ["x"], ["y"], { num_outputs: 1000000000 })]);
    expect(refused(parts)).toMatch(/num_outputs is 1000000000, but it has 1 output/);
  });
});

describe("a few bytes that name much work", () => {
  test("functions that each call the one before twice", () => {
    const functions = Array.from({ length: 30 }, (_, i) =>
      create(FunctionProtoSchema, {
        name: `f${i}`,
        domain: "own",
        input: ["a"],
        output: ["b"],
        node:
          i === 0
            ? [node("Neg", ["a"], ["b"])]
            : [node(`f${i - 1}`, ["a"], ["m"], {}, "own"), node(`f${i - 1}`, ["m"], ["b"], {}, "own")],
      }),
    );
    const bytes = toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        irVersion: 8n,
        graph: graphProto({ node: [node("f29", ["x"], ["y"], {}, "own")], input: [x], output: [y] }),
        functions,
        opsetImport: [
          create(OperatorSetIdProtoSchema, { domain: "", version: 17n }),
          create(OperatorSetIdProtoSchema, { domain: "own", version: 1n }),
        ],
      }),
    );
    expect(refused(bytes)).toMatch(/more than \d+ nodes/);
  });
  test("a function that calls itself, branches within branches", () => {
    const own = create(FunctionProtoSchema, {
      name: "f",
      domain: "own",
      input: ["a"],
      output: ["b"],
      node: [node("f", ["a"], ["b"], {}, "own")],
    });
    const bytes = toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        irVersion: 8n,
        graph: graphProto({ node: [node("f", ["x"], ["y"], {}, "own")], input: [x], output: [y] }),
        functions: [own],
        opsetImport: [create(OperatorSetIdProtoSchema, { domain: "", version: 17n })],
      }),
    );
    expect(refused(bytes)).toMatch(/more than 32 deep/);
    let chain = graphProto({ node: [node("Neg", ["x"], ["y"])], output: [y] });
    for (let i = 0; i < 60; i++)
      chain = graphProto({ node: [node("If", ["c"], ["y"], { then_branch: chain })], output: [y] });
    // The decoder has a limit of its own.
    expect(refused(graph(chain.node, []))).toMatch(/no ONNX model|more than 32 deep/);
  });
  test("a long chain of nodes is no deep one", () => {
    const nodes = Array.from({ length: 15000 }, (_, i) => node("Identity", [i === 0 ? "w" : `v${i}`], [`v${i + 1}`]));
    const bytes = graph([...nodes, node("Mul", ["x", "v15000"], ["y"])], [stored("w", floats([1, 2]))]);
    expect(refused(bytes)).toBeUndefined();
  });
});

test("long names are cut in messages", () => {
  const name = "n".repeat(100_000);
  expect(refused(graph([node(name, ["x"], ["y"])]))).toMatch(/cut off/);
  expect(refused(graph([node("Neg", [name], ["y"])]))).toMatch(/cut off/);
  const many = Array.from({ length: 300 }, (_, i) => node(`Odd${i}`, ["x"], [i === 299 ? "y" : `y${i}`]));
  const all = node(
    "Sum",
    many.map((n) => n.output[0]),
    ["z"],
  );
  expect(
    refused(modelBytes(graphProto({ node: [...many, all], input: [x], output: [described("z", null)] }), 17)),
  ).toMatch(/the operator Odd0/);
});

test("damaged files: one sentence, whatever byte is wrong", () => {
  const [small, large] = [
    graph(
      [node("Range", ["a", "b", "c"], ["r"]), node("Mul", ["x", "r"], ["y"])],
      [stored("a", int(0)), stored("b", int(2)), stored("c", int(1))],
    ),
    fixture("unet-dynamo-18.onnx"),
  ];
  let refusals = 0;
  for (const [bytes, times] of [
    [small, 300],
    [large, 60],
  ] as const)
    for (let i = 0; i < times; i++) {
      const k = fold(key(5), i + bytes.length);
      const damaged = bytes.slice(0, i % 3 === 0 ? Number(randint(k, 1, bytes.length)[0]) : bytes.length);
      if (damaged.length === 0) continue;
      for (const at of randint(fold(k, 1), 3, damaged.length)) damaged[Number(at)] ^= 1 << (Number(at) % 8);
      if (attempt(damaged) !== undefined) refusals++;
    }
  expect(refusals).toBeGreaterThan(100);
}, 120_000);
