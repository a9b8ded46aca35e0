// Imported models as networks: which input is what, times and batches of every form, weights kept in another file.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { TensorProto_DataType as DataType, ModelProtoSchema, type NodeProto } from "onnx-buf";
import * as ort from "onnxruntime-node";
import { expect, test } from "vitest";
import { safetensorsChunks } from "../../src/data/safetensors.ts";
import { constant, input } from "../../src/graph/index.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { describeOnnx, onnxNetwork, WEIGHTS_FILE } from "../../src/nn/onnxNetwork.ts";
import { fromConstants, type ParamMap } from "../../src/nn/params.ts";
import { importOnnx } from "../../src/onnx/index.ts";
import { evaluate, fixture } from "../onnx/helpers.ts";
import { described, floats, graphProto, modelBytes, node, stored } from "../onnx/model.ts";

type Sizes = readonly (number | string)[];
interface Time {
  readonly shape: Sizes;
  readonly type: DataType;
}

const arrays = { w: floats([1, 2, 3, 4], [2, 2]), one: floats([1]), table: floats([0, 10, 20, 30], [4, 1]) };

/** From sample [.., 2] and a timestep: sample·w plus what `nodes` make of the timestep as "t". */
function model(sample: Sizes, time: Time, nodes: NodeProto[]): Uint8Array {
  const graph = graphProto({
    node: [...nodes, node("MatMul", ["sample", "w"], ["h"]), node("Add", ["h", "t"], ["out_sample"])],
    initializer: Object.entries(arrays).map(([name, array]) => stored(name, array)),
    input: [described("sample", sample), described("timestep", time.shape, time.type)],
    output: [described("out_sample", null)],
  });
  return modelBytes(graph, 17);
}
const toColumn = [node("Cast", ["timestep"], ["f"], { to: DataType.FLOAT }), node("Unsqueeze", ["f", "last"], ["t"])];
const last = node("Constant", [], ["last"], { value_ints: [-1] });
const pick = [node("Gather", ["table", "timestep"], ["t"])];

function network(bytes: Uint8Array) {
  const imported = importOnnx(bytes);
  const made = onnxNetwork(describeOnnx(imported), imported.detached(WEIGHTS_FILE));
  const params: ParamMap = new Map(imported.parameters.map((p) => [p.name, { shape: p.shape, data: p.data }]));
  return { made, params };
}

const FLOAT = DataType.FLOAT;
const LONG = DataType.INT64;
/** x·w + t, with t as given. */
const expected = (t: readonly number[]) =>
  [
    [1, 1],
    [1, 0],
    [0, 1],
  ].flatMap(([a, b], i) => [a + 3 * b + t[i], 2 * a + 4 * b + t[i]]);

test.each<[string, Sizes, Time, NodeProto[], number | null, number[]]>([
  ["one time a sample", ["n", 2], { shape: ["n"], type: FLOAT }, [last, ...toColumn], null, [0.25, 1.5, 3]],
  ["integers that become floats", ["n", 2], { shape: ["n"], type: LONG }, [last, ...toColumn], null, [0.25, 1.5, 3]],
  ["integers that pick rows", ["n", 2], { shape: ["n"], type: LONG }, pick, null, [0, 20, 30]],
  [
    "one time for all",
    ["n", 2],
    { shape: [], type: FLOAT },
    [node("Identity", ["timestep"], ["t"])],
    1,
    [0.25, 1.5, 3],
  ],
  ["a batch of two", [2, 2], { shape: [2], type: FLOAT }, [last, ...toColumn], 2, [0.25, 1.5, 3]],
])("%s", async (_, sample, time, nodes, fixed, times) => {
  const { made, params } = network(model(sample, time, nodes));
  expect(made.fixedBatch).toBe(fixed);
  expect(made.sampleShape).toEqual([2]);
  const y = made.apply(fromConstants(params), input("x", [3, 2]), constant([0.25, 1.5, 3]), {});
  const result = await evaluate({ y }, { x: Float32Array.of(1, 1, 1, 0, 0, 1) });
  expect([...result.y]).toEqual(expected(times));
});

test("a spec as JSON and the file rebuild the network", () => {
  const { made } = network(fixture("dit-dynamo-21.onnx"));
  const { family, config } = made;
  const again = buildNetwork(JSON.parse(JSON.stringify({ family, config })), made.file());
  expect(again.sampleShape).toEqual([2, 8, 8]);
  expect(collect(again)).toEqual(collect(made));
  expect(made.file().length).toBeLessThan(fixture("dit-dynamo-21.onnx").length / 1.5);
  expect(() => buildNetwork({ family, config })).toThrow("needs its model.onnx, which was not given");
  expect(() => buildNetwork({ family, config: { ...config, sample: "x" } }, made.file())).toThrow('has no input "x"');
});

test("weights in a safetensors file, as float32, also where the model computes in halves", async () => {
  const proto = fromBinary(
    ModelProtoSchema,
    model(["n", 2], { shape: ["n"], type: FLOAT }, [
      last,
      ...toColumn,
      node("Cast", ["sample"], ["small"], { to: DataType.FLOAT16 }),
      node("MatMul", ["small", "w"], ["g"]),
    ]),
  );
  const graph = proto.graph!;
  const weight = graph.initializer.find(({ name }) => name === "w")!;
  Object.assign(weight, {
    dataType: DataType.FLOAT16,
    rawData: new Uint8Array(Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400).buffer),
  });
  graph.node = graph.node.filter(({ output }) => output[0] !== "h");
  graph.node.splice(-1, 0, node("Cast", ["g"], ["h"], { to: DataType.FLOAT }));
  graph.node.forEach((n, i) => {
    n.name = `node ${i}`;
  });
  const { made, params } = network(toBinary(ModelProtoSchema, proto));
  expect([...params.keys()]).toEqual(["w"]);
  const weights = { w: { shape: [2, 2], data: Float32Array.of(5, 6, 7, 8) } };
  const chunks = [...safetensorsChunks(weights)];
  const places = new Map([["w", chunks.slice(0, -1).reduce((n, chunk) => n + chunk.length, 0)]]);
  const folder = mkdtempSync(join(tmpdir(), "fewstep-onnx-"));
  try {
    writeFileSync(join(folder, WEIGHTS_FILE), Buffer.concat(chunks));
    writeFileSync(join(folder, "model.onnx"), made.file(places));
    const session = await ort.InferenceSession.create(join(folder, "model.onnx"), { logSeverityLevel: 4 });
    const sample = new ort.Tensor("float32", Float32Array.of(1, 1, 1, 0), [2, 2]);
    const { out_sample: y } = await session.run({
      sample,
      timestep: new ort.Tensor("float32", new Float32Array(2), [2]),
    });
    await session.release();
    expect([...(y.data as Float32Array)]).toEqual([12, 14, 5, 6]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
