// ONNX files: models of one operator that are changed as values, and real exports whose bytes are changed. What is taken is
// computed by ONNX Runtime too, from the file itself.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { TensorProto_DataType as DataType, type GraphProto, type ModelProto, ModelProtoSchema } from "onnx-buf";
import { input, type Tensor } from "../../src/graph/index.ts";
import { importOnnx } from "../../src/onnx/index.ts";
import { evaluate, ortOutputs } from "../../test/onnx/helpers.ts";
import { type Operand, single } from "../../test/onnx/model.ts";
import { randomCase, randomCases } from "../../test/onnx/randomCases.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { type Input, one, type Target } from "../target.ts";

const operators = Object.keys(randomCases);
const big = (rng: Rng, near: bigint) => {
  const value = mutate.number(rng, Number(near));
  return Number.isFinite(value) ? BigInt.asIntN(64, BigInt(Math.trunc(value))) : 0n;
};

/** One to three places of a graph: sizes, types, names, attributes, values, nodes. */
function changeGraph(rng: Rng, graph: GraphProto): void {
  const names = [...graph.input, ...graph.output, ...graph.initializer].map(({ name }) => name);
  for (let k = 1 + rng.int(rng.chance(0.3) ? 3 : 1); k > 0; k--) {
    const node = graph.node.length > 0 ? rng.pick(graph.node) : undefined;
    const stored = graph.initializer.length > 0 ? rng.pick(graph.initializer) : undefined;
    const fed = graph.input.length > 0 ? rng.pick(graph.input) : undefined;
    const attribute = node && node.attribute.length > 0 ? rng.pick(node.attribute) : undefined;
    switch (rng.int(12)) {
      case 0:
      case 1:
        if (attribute?.ints.length) attribute.ints[rng.int(attribute.ints.length)] = big(rng, attribute.ints[0]);
        else if (attribute) attribute.i = big(rng, attribute.i);
        break;
      case 2:
        if (attribute?.ints.length) attribute.ints.splice(rng.int(attribute.ints.length), rng.int(2), 1n);
        else if (attribute) attribute.f = Math.fround(mutate.number(rng, attribute.f));
        break;
      case 3:
        if (attribute) attribute.type = rng.int(15);
        break;
      case 4:
        if (attribute) attribute.name = mutate.string(rng, attribute.name);
        break;
      case 5:
        if (node && attribute) node.attribute.splice(node.attribute.indexOf(attribute), rng.int(2), attribute);
        break;
      case 6:
        if (node && node.input.length > 0)
          node.input[rng.int(node.input.length)] = rng.chance(0.7) ? rng.pick(names) : mutate.string(rng, "x0");
        break;
      case 7:
        if (node) node.input = rng.chance(0.5) ? node.input.slice(0, -1) : [...node.input, rng.pick(["", ...names])];
        break;
      case 8:
        if (stored && stored.dims.length > 0) stored.dims[rng.int(stored.dims.length)] = big(rng, stored.dims[0]);
        else if (node) node.opType = rng.pick(operators);
        break;
      case 9:
        if (stored) stored.rawData = Uint8Array.from(mutate.bytes(rng, stored.rawData));
        else if (node) node.opType = mutate.string(rng, node.opType);
        break;
      case 10:
        if (stored) stored.dataType = rng.int(20);
        else if (fed?.type?.value.case === "tensorType") fed.type.value.value.elemType = rng.int(20);
        break;
      default: {
        const dims = fed?.type?.value.case === "tensorType" ? fed.type.value.value.shape?.dim : undefined;
        if (dims && dims.length > 0) rng.pick(dims).value = { case: "dimValue", value: big(rng, 3n) };
        else if (node) graph.node.push(node);
      }
    }
  }
}

function changeModel(rng: Rng, model: ModelProto): ModelProto {
  if (model.graph) changeGraph(rng, model.graph);
  if (rng.chance(0.05) && model.opsetImport.length > 0) model.opsetImport[0].version = big(rng, 17n);
  return model;
}

/** Operands of what is fed, from what the file says itself: sizes that it leaves open are 2. */
function operands(bytes: Uint8Array): Map<string, Operand> {
  const { graph } = fromBinary(ModelProtoSchema, bytes);
  const stored = new Set(graph?.initializer.map(({ name }) => name));
  return new Map(
    (graph?.input ?? []).flatMap(({ name, type }): [string, Operand][] => {
      if (stored.has(name) || type?.value.case !== "tensorType") return [];
      const { elemType, shape: said } = type.value.value;
      const shape = (said?.dim ?? []).map(({ value }) => (value.case === "dimValue" ? Number(value.value) : 2));
      const size = shape.reduce((a, b) => a * b, 1);
      if (size > 1e5) throw new Error("An input of so many values is not tried here.");
      const real = Float32Array.from({ length: size }, (_, i) => Math.fround(Math.sin(i + 1) + 0.1));
      const data =
        elemType === DataType.INT64
          ? BigInt64Array.from(real, (v) => BigInt(Math.round(Math.abs(v))))
          : elemType === DataType.BOOL
            ? Uint8Array.from(real, (v) => (v > 0 ? 1 : 0))
            : real;
      return [[name, { stored: false, shape, data }]];
    }),
  );
}

/** Of two results, where they differ by more than rounding; NaN and infinities agree with themselves. */
function apart(ours: Float32Array, theirs: Float32Array): string | undefined {
  if (ours.length !== theirs.length) return `${ours.length} values, ${theirs.length} by ONNX Runtime`;
  const size = theirs.reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 1e-3);
  for (let i = 0; i < ours.length; i++) {
    if (Object.is(ours[i], theirs[i]) || ours[i] === theirs[i]) continue;
    if (!(Math.abs(ours[i] - theirs[i]) <= 1e-4 * size)) return `${ours[i]} at ${i}, ${theirs[i]} by ONNX Runtime`;
  }
  return undefined;
}

const dtypes = ["float32", "int64", "bool"] as const;
type Dtype = (typeof dtypes)[number];
const isOurs = (dtype: string): dtype is Dtype => (dtypes as readonly string[]).includes(dtype);

async function compared({ file }: Input): Promise<string | undefined> {
  const model = importOnnx(file);
  const given = operands(file);
  const inputs: Record<string, Tensor> = {};
  for (const { name, shape, dtype } of model.inputs) {
    const sizes = given.get(name)?.shape ?? shape.map((d) => (typeof d === "number" ? d : 2));
    inputs[name] = input(name, sizes, isOurs(dtype) ? dtype : "float32");
  }
  const weights = new Map(model.parameters.map((p) => [p.name, input(`weight:${p.name}`, p.shape)]));
  const outputs = model.apply((name) => weights.get(name)!, inputs);
  // Of nothing there are no numbers, and ONNX Runtime reduces it to other shapes than the standard says.
  if ([...given.values()].some(({ shape }) => shape.includes(0))) return undefined;
  // What ONNX Runtime refuses itself says nothing of the numbers.
  const theirs = await ortOutputs({ bytes: file, fed: given }).catch(() => undefined);
  if (!theirs) return undefined;
  const values = Object.fromEntries(model.parameters.map(({ name, data }) => [`weight:${name}`, data]));
  const fed = Object.fromEntries([...given].map(([name, { data }]) => [name, data]));
  const shapes = Object.values(outputs).map(({ shape }) => shape);
  for (const [i, shape] of shapes.entries())
    if (shape.join() !== theirs[i]?.shape.join()) return `the shape [${shape}], [${theirs[i]?.shape}] by ONNX Runtime`;
  if (shapes.some((shape) => shape.includes(0))) return undefined;
  const ours = Object.values(await evaluate(outputs, { ...fed, ...values }));
  return ours.map((y, i) => apart(y, theirs[i].data)).find((found) => found !== undefined);
}

/** One operator, changed as a value; then its bytes, now and then. */
const onnx = async (): Promise<Target> => ({
  make(rng) {
    const c = randomCase(rng.pick(operators), rng.int(1000));
    const folded = rng.chance(0.4);
    const operandsOf = c.operands.map((x) => x && { ...x, stored: folded || x.stored });
    const { bytes } = single(c.op, operandsOf, c.attrs, { opset: c.opset, outputs: c.outputs, type: c.type });
    const model = create(ModelProtoSchema, fromBinary(ModelProtoSchema, bytes));
    const file = toBinary(ModelProtoSchema, changeModel(rng, model));
    return one(rng.chance(0.1) ? mutate.bytes(rng, file) : file);
  },
  read: compared,
});

const fixtures = ["dit-dynamo-21.onnx", "dit-torchscript-14.onnx", "unet-dynamo-18.onnx", "unet-torchscript-11.onnx"];

/** Whole exports of PyTorch, which are read and put together but not run. */
const onnxExport = async (): Promise<Target> => {
  const folder = resolve(import.meta.dirname, "../../test/fixtures/onnx");
  const seeds = fixtures.map((name) => new Uint8Array(readFileSync(resolve(folder, name))));
  return {
    make(rng) {
      const seed = rng.pick(seeds);
      if (rng.chance(0.5)) return one(mutate.bytes(rng, seed, rng.pick(seeds)));
      return one(toBinary(ModelProtoSchema, changeModel(rng, fromBinary(ModelProtoSchema, seed))));
    },
    read({ file }) {
      const model = importOnnx(file);
      const inputs = Object.fromEntries(
        model.inputs.map(({ name, shape, dtype }) => [
          name,
          input(
            name,
            shape.map((d) => (typeof d === "number" ? d : 2)),
            dtype,
          ),
        ]),
      );
      const weights = new Map(model.parameters.map((p) => [p.name, input(`weight:${p.name}`, p.shape)]));
      model.apply((name) => weights.get(name)!, inputs);
      const wrong = model.parameters.find(({ shape, data }) => data.length !== shape.reduce((a, b) => a * b, 1));
      return wrong ? `${wrong.name} has ${wrong.data.length} values for [${wrong.shape}]` : undefined;
    },
  };
};

export const onnxFiles = { onnx, onnxExport };
