// What surrounds the operators: shape arithmetic, branches, functions, stored types, weights, and what is refused.
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
} from "onnx-buf";
import { describe, expect, test } from "vitest";
import { constant, input, type Tensor } from "../../src/graph/index.ts";
import { externalFiles, type ImportOptions, importOnnx } from "../../src/onnx/index.ts";
import { evaluate, fixture } from "./helpers.ts";
import { described, floats, graphProto, int, ints, modelBytes, node, type Operand, stored } from "./model.ts";

interface Parts {
  readonly nodes: NodeProto[];
  readonly arrays?: Readonly<Record<string, Pick<Operand, "shape" | "data">>>;
  readonly x?: readonly (number | string)[];
  readonly opset?: number;
}

/** A model from "x" to "y". */
const model = ({ nodes, arrays = {}, x = ["batch", 4], opset = 17 }: Parts): Uint8Array =>
  modelBytes(
    graphProto({
      node: nodes,
      initializer: Object.entries(arrays).map(([name, a]) => stored(name, a)),
      input: [described("x", x)],
      output: [described("y", null)],
    }),
    opset,
  );

const fill = (shape: readonly number[]) =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i - 2.5);

async function run(bytes: Uint8Array, shape: readonly number[], options: ImportOptions = {}) {
  const imported = importOnnx(bytes, options);
  const x = input("x", shape);
  const weights = new Map(imported.parameters.map((p) => [p.name, constant(p.data, p.shape)]));
  const { y } = imported.apply((name) => weights.get(name)!, { x });
  return { y, values: (await evaluate({ y }, { x: fill(shape) })).y, nodes: countOf(y) };
}
const countOf = (y: Tensor): number => {
  const seen = new Set<Tensor>();
  const visit = (x: Tensor): void => {
    if (seen.has(x)) return;
    seen.add(x);
    if (x.source.kind === "output") x.source.node.inputs.forEach(visit);
  };
  visit(y);
  return [...seen].filter((x) => x.source.kind === "output").length;
};

describe("shapes are computed while importing", () => {
  /** y = reshape(x, [batch, 2, product of the rest / 2]), written as exporters write it. */
  const shapeArithmetic = model({
    x: ["batch", "rows", 4],
    arrays: { zero: int(0), first: ints(1), last: ints(2 ** 53), two: ints(2), axis: ints(0) },
    nodes: [
      node("Shape", ["x"], ["shape"]),
      node("Gather", ["shape", "zero"], ["batch"]),
      node("Unsqueeze", ["batch", "axis"], ["batch1"]),
      node("Slice", ["shape", "first", "last", "axis"], ["rest"]),
      node("Cast", ["rest"], ["rest32"], { to: DataType.INT32 }),
      node("ReduceProd", ["rest32"], ["product"], { keepdims: 1 }),
      node("Cast", ["product"], ["product64"], { to: DataType.INT64 }),
      node("Div", ["product64", "two"], ["half"]),
      node("Size", ["shape"], ["rank"]),
      node("Equal", ["rank", "rank"], ["same"]),
      node("Where", ["same", "half", "zero"], ["chosen"]),
      node("Concat", ["batch1", "two", "chosen"], ["target"], { axis: 0 }),
      node("Reshape", ["x", "target"], ["y"]),
    ],
  });
  test.each([
    [
      [1, 3, 4],
      [1, 2, 6],
    ],
    [
      [5, 2, 4],
      [5, 2, 4],
    ],
  ])("[%s] to [%s]", async (from, to) => {
    const { y, nodes } = await run(shapeArithmetic, from);
    expect(y.shape).toEqual(to);
    expect(nodes, "what is left of it is one reshape, or none").toBe(`${from}` === `${to}` ? 0 : 1);
  });

  test("ranges, fills, positions of what is not zero, and tables", async () => {
    const { values } = await run(
      model({
        arrays: { zero: int(0), four: int(4), step: int(1), minus: floats([-1], []), axis: ints(0) },
        nodes: [
          node("Range", ["zero", "four", "step"], ["positions"]),
          node("Cast", ["positions"], ["reals"], { to: DataType.FLOAT }),
          node("Mul", ["reals", "minus"], ["negative"]),
          node("Exp", ["negative"], ["decay"]),
          node("NonZero", ["reals"], ["places"]),
          node("Squeeze", ["places", "axis"], ["flat"]),
          node("Gather", ["decay", "flat"], ["three"]),
          node("Pad", ["three", "pads"], ["row"]),
          node("ConstantOfShape", ["one"], ["fill"]),
          node("Add", ["row", "fill"], ["table"]),
          node("CastLike", ["table", "x"], ["same"]),
          node("Mul", ["x", "same"], ["y"]),
          node("Constant", [], ["pads"], { value: stored("v", ints(1, 0)) }),
          node("Constant", [], ["one"], { value: stored("v", ints(1)) }),
        ].sort((a, b) => Number(b.opType === "Constant") - Number(a.opType === "Constant")),
      }),
      [1, 4],
    );
    const wanted = [0, 1, 2, 3].map((i) => (i - 2.5) * (i === 0 ? 0 : Math.exp(-i)));
    values.forEach((v, i) => {
      expect(v).toBeCloseTo(wanted[i], 6);
    });
  });
});

test("only the branch that is taken is read, and it sees the values around it", async () => {
  const branch = (op: string) => graphProto({ node: [node(op, ["x"], ["inner"])], output: [described("inner", null)] });
  const bytes = (operators: [string, string]) =>
    model({
      arrays: { one: int(1) },
      nodes: [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "one"], ["width"]),
        node("Equal", ["width", "width"], ["always"]),
        node("If", ["always"], ["y"], { then_branch: branch(operators[0]), else_branch: branch(operators[1]) }),
      ],
    });
  expect([...(await run(bytes(["Neg", "Det"]), [1, 4])).values]).toEqual([2.5, 1.5, 0.5, -0.5]);
  await expect(run(bytes(["Det", "Neg"]), [1, 4])).rejects.toThrow(
    'The model uses what cannot be imported: the operator Det (1 node, "the Det").',
  );
});

test("functions of the file, with attributes by reference", async () => {
  const proto = fromBinary(
    ModelProtoSchema,
    model({ nodes: [node("Leak", ["x"], ["y"], { slope: { float: 0.5 } }, "own")] }),
  );
  const inner = node("LeakyRelu", ["a"], ["b"], { alpha: { float: 0 } });
  inner.attribute[0].refAttrName = "slope";
  inner.attribute[0].type = AttributeType.FLOAT;
  const plain = fromBinary(ModelProtoSchema, model({ nodes: [inner] }));
  proto.functions.push({
    $typeName: "onnx.FunctionProto",
    name: "Leak",
    domain: "own",
    overload: "",
    input: ["a"],
    output: ["b"],
    attribute: ["slope"],
    attributeProto: [],
    node: plain.graph?.node ?? [],
    opsetImport: proto.opsetImport,
    docString: "",
    valueInfo: [],
    metadataProps: [],
  });
  const { values } = await run(toBinary(ModelProtoSchema, proto), [1, 4]);
  expect([...values]).toEqual([-1.25, -0.75, -0.25, 0.5]);
});

/** y = x + w with the array as given. */
const withArray = (w: Partial<TensorProto>): Uint8Array => {
  const proto = fromBinary(
    ModelProtoSchema,
    model({ nodes: [node("Add", ["x", "w"], ["y"])], arrays: { w: floats([1, 2, 3, 4]) } }),
  );
  Object.assign(proto.graph?.initializer[0] ?? {}, { rawData: new Uint8Array() }, w);
  return toBinary(ModelProtoSchema, proto);
};

describe("stored arrays", () => {
  const bits = (values: ArrayBufferView) => new Uint8Array(values.buffer.slice(0)) as Uint8Array<ArrayBuffer>;
  test.each<[string, Partial<TensorProto>]>([
    ["float16", { dataType: DataType.FLOAT16, rawData: bits(Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400)) }],
    ["float16 in int32_data", { dataType: DataType.FLOAT16, int32Data: [0x3c00, 0x4000, 0x4200, 0x4400] }],
    ["bfloat16", { dataType: DataType.BFLOAT16, rawData: bits(Uint16Array.of(0x3f80, 0x4000, 0x4040, 0x4080)) }],
    ["double", { dataType: DataType.DOUBLE, rawData: bits(Float64Array.of(1, 2, 3, 4)) }],
    ["float_data", { floatData: [1, 2, 3, 4] }],
    ["double_data", { dataType: DataType.DOUBLE, doubleData: [1, 2, 3, 4] }],
  ])("%s", async (_, w) => {
    const bytes = withArray(w);
    expect(importOnnx(bytes).parameters.map(({ name, data }) => [name, [...data]])).toEqual([["w", [1, 2, 3, 4]]]);
    expect([...(await run(bytes, [1, 4])).values]).toEqual([-1.5, 0.5, 2.5, 4.5]);
  });

  const entries = (...pairs: [string, string][]) =>
    pairs.map(([key, value]) => ({ $typeName: "onnx.StringStringEntryProto" as const, key, value }));
  const outside = withArray({
    dataLocation: DataLocation.EXTERNAL,
    externalData: entries(["location", "big.data"], ["offset", "4"], ["length", "16"]),
  });
  test("in another file", async () => {
    expect(externalFiles(outside)).toEqual(new Map([["big.data", ["w"]]]));
    const file = bits(Float32Array.of(0, 1, 2, 3, 4));
    const externalData = new Map([["big.data", file]]);
    expect([...(await run(outside, [1, 4], { externalData })).values]).toEqual([-1.5, 0.5, 2.5, 4.5]);
    expect(() => importOnnx(outside)).toThrow('The model keeps arrays in "big.data", which was not given');
    await expect(run(outside, [1, 4], { externalData: new Map([["big.data", file.subarray(0, 12)]]) })).rejects.toThrow(
      '"w" needs bytes 4 to 20 of "big.data", which has only 12: it is cut off.',
    );
    const bare = importOnnx(outside, { withoutWeights: true });
    expect(bare.parameters[0].shape).toEqual([4]);
    expect(() => bare.parameters[0].data).toThrow('lies in the file "big.data", which was not given');
  });
});

test("weights: operands of layers, not frequencies, limits, statistics and an exporter's ones", () => {
  const bytes = model({
    x: ["batch", 4],
    arrays: {
      kernel: floats([1, 2, 3, 4], [4, 1]),
      bias: floats([3]),
      frequencies: floats([0.1, 0.2, 0.3, 0.4], [1, 4]),
      ones: floats([1, 1, 1, 1]),
      scale: floats([2, 1, 1, 1]),
      half: floats([0.5]),
      gain: floats([2, 3, 4, 5]),
    },
    nodes: [
      node("Mul", ["x", "frequencies"], ["angles"]),
      node("Sin", ["angles"], ["waves"]),
      node("LayerNormalization", ["waves", "ones"], ["n"]),
      node("LayerNormalization", ["n", "scale"], ["m"]),
      node("Mul", ["m", "half"], ["h"]),
      node("Mul", ["h", "gain"], ["g"]),
      node("Gemm", ["g", "kernel", "bias"], ["y"]),
    ],
  });
  const names = (options?: ImportOptions) => importOnnx(bytes, options).parameters.map(({ name }) => name);
  expect(names()).toEqual(["kernel", "bias", "scale", "gain"]);
  expect(names({ weights: (name) => name === "half" })).toEqual(["half"]);
});

describe("refused", () => {
  test("everything that is not supported, at once", () => {
    const bytes = model({
      arrays: { w: floats([1, 2, 3, 4], [1, 1, 4]) },
      nodes: [
        node("Det", ["x"], ["a"]),
        node("Det", ["a"], ["b"]),
        node("NGramRepeatBlock", ["b"], ["c"], {}, "com.microsoft"),
        node("MaxPool", ["c"], ["d"], { kernel_shape: [2, 2], storage_order: 1 }),
        node("Resize", ["d"], ["e"], { antialias: 1, mode: "linear" }),
        node("Relu", ["e"], ["f"]),
        node("Add", ["f", "f"], ["y"]),
        node("Unused", ["x"], ["z"]),
      ],
    });
    expect(() => importOnnx(bytes)).toThrow(
      new Error(
        'The model uses what cannot be imported: the operator Det (2 nodes, the first is "the Det"); the operator com.microsoft.NGramRepeatBlock (1 node, "the NGramRepeatBlock"); MaxPool with storage_order = 1 (1 node, "the MaxPool"); Resize with antialias = 1 (1 node, "the Resize").',
      ),
    );
  });

  const whole = fixture("unet-dynamo-18.onnx");
  test.each(
    [0.001, 0.1, 0.5, 0.9, 0.999].map((part) => Math.floor(whole.length * part)),
  )("a file cut off after %i bytes", (length) =>
    expect(() => importOnnx(whole.subarray(0, length))).toThrow(/^The \d+ bytes (are no ONNX model|hold no complete)/));
  test("something else", () => {
    expect(() => importOnnx(new TextEncoder().encode("a text file, not a model"))).toThrow(/no ONNX model|no complete/);
    expect(() => importOnnx(new Uint8Array())).toThrow("hold no complete ONNX model: its graph is missing");
  });

  const affine = model({ x: ["batch", 4], nodes: [node("Add", ["x", "x"], ["y"])] });
  const apply = (inputs: Record<string, Tensor>) => importOnnx(affine).apply(() => constant(0), inputs);
  test.each<[string, Record<string, Tensor>, string]>([
    ["a missing input", {}, 'inputs "x" [batch,4] were not given'],
    ["an unknown input", { z: input("z", [1, 4]) }, 'no input "z"; it has "x"'],
    ["another type", { x: input("x", [1, 4], "int64") }, '"x" is of float32, but was given as int64'],
    ["another shape", { x: input("x", [1, 5]) }, '"x" has shape [batch, 4], but was given as [1, 5]'],
    ["another rank", { x: input("x", [4]) }, '"x" has shape [batch, 4], but was given as [4]'],
  ])("%s", (_, inputs, message) => expect(() => apply(inputs)).toThrow(message));

  test("a size that was fixed by name", () => {
    const sized = importOnnx(affine, { sizes: { batch: 3 } });
    expect(sized.inputs[0].shape).toEqual([3, 4]);
    expect(() => sized.apply(() => constant(0), { x: input("x", [2, 4]) })).toThrow(
      "shape [3, 4], but was given as [2, 4]",
    );
  });

  test("a shape that depends on values, by the name of the node", () => {
    const bytes = model({
      nodes: [node("Cast", ["x"], ["n"], { to: DataType.INT64 }), node("Expand", ["x", "n"], ["y"])],
    });
    expect(() => importOnnx(bytes).apply(() => constant(0), { x: input("x", [1, 4]) })).toThrow(
      'The node "the Expand" (Expand) does not fit its inputs: its input 1 ("n") is computed from the model\'s inputs',
    );
  });
});
