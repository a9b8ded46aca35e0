// From symbolic tensors to an ONNX model. Equal nodes are emitted once (common subexpressions).

import { create, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { pieces } from "./pieces.ts";
import { branch, count, live, newScope, rename } from "./subgraph.ts";
import { type DType, type Node, type Shape, sizeOf, type Tensor, type TensorData } from "./tensor.ts";
import { computedNodes, emittedNodes, standsFor } from "./walk.ts";

export type Device = "cpu" | "webgpu" | "cuda" | "wasm";

/** An ONNX attribute: integers by default, `float(x)` for a floating point one. */
export type OnnxAttr = number | string | readonly number[] | { readonly float: number };
export const float = (x: number): OnnxAttr => ({ float: x });

const DTYPE: Record<DType, DataType> = {
  float32: DataType.FLOAT,
  int64: DataType.INT64,
  bool: DataType.BOOL,
};
const OPSET = 21;
/** Prefixes of operator types: "ms.FusedMatMul" is ONNX Runtime's own, "nchwc.Conv" works on its blocked layout. */
const DOMAINS: Readonly<Record<string, string>> = { ms: "com.microsoft", nchwc: "com.microsoft.nchwc" };

export interface Emitter {
  readonly device: Device;
  /** Channels in a block of the device's convolution layout; 1: it has none. See blockedConv.ts. */
  readonly block: number;
  /** Emits a node with one output and returns the output's name. */
  op(type: string, inputs: readonly string[], attrs?: Readonly<Record<string, OnnxAttr>>): string;
  /** Emits a node with several outputs. */
  ops(type: string, inputs: readonly string[], outputs: number, attrs?: Readonly<Record<string, OnnxAttr>>): string[];
  /** A constant, stored once per content. */
  ints(values: readonly number[]): string;
  floats(values: Float32Array | readonly number[], shape?: Shape): string;
}

/** What a program returns: tensors, or lists of tensors that become one vector, piece after piece without a copy. */
export type Outputs<K extends string = string> = Readonly<Record<K, Tensor | readonly Tensor[]>>;

export interface EmittedOutput {
  /** What the caller called it. */
  readonly key: string;
  /** The value's name in the model. */
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Where it begins in the vector that its list becomes, and how long that is. */
  readonly part?: { readonly offset: number; readonly total: number };
}

export interface EmittedModel {
  readonly bytes: Uint8Array;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly EmittedOutput[];
  /** How many ONNX nodes of each type. */
  readonly counts: ReadonlyMap<string, number>;
}

/** The graph that computes `outputs` as an ONNX model for a device, with the device's block of channels, if any. */
export function emitModel(outputs: Outputs, device: Device, block = 1): EmittedModel {
  const { graph, domains, ...described } = emitGraph(outputs, device, block);
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    producerName: "fewstep",
    graph,
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(OPSET) }),
      ...domains.map((domain) => create(OperatorSetIdProtoSchema, { domain, version: 1n })),
    ],
  });
  return { bytes: toBinary(ModelProtoSchema, model), ...described, counts: count(graph.node) };
}

export interface EmittedGraph extends Omit<EmittedModel, "bytes" | "counts"> {
  readonly graph: GraphProto;
  /** Of its operators. */
  readonly domains: readonly string[];
}

/** The graph of a model, before it becomes bytes. */
export function emitGraph(outputs: Outputs, device: Device, block = 1): EmittedGraph {
  const root = newScope();
  let scope = root;
  const initializers: TensorProto[] = [];
  const contents = new Map<string, string>();
  const inputs = new Map<string, Tensor>();
  // For each result of a reshape what it was made of; of the tensors of our graph, their shapes; and of lists, the content.
  const reshaped = new Map<string, string>();
  const shapes = new Map<string, string>();
  const contentOf = new Map<string, string>();
  const domains = new Set([DOMAINS.ms]);
  let values = 0;
  let written = 0;
  let never: string | undefined;

  const store = (data: TensorData, shape: Shape, dtype: DType): string => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // Only small constants are compared by content; a teacher's weights are distinct anyway.
    const key = bytes.length <= 4096 ? `${dtype}|${shape}|${bytes}` : null;
    const known = key === null ? undefined : contents.get(key);
    if (known) return known;
    const name = `c${values++}`;
    initializers.push(
      create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType: DTYPE[dtype], rawData: bytes.slice() }),
    );
    if (key !== null) contents.set(key, name);
    return name;
  };

  const write = (type: string, input: readonly string[], outs: number, attribute: AttributeProto[]): string[] => {
    const output = Array.from({ length: outs }, () => `t${values++}`);
    const [prefix, name] = type.split(".");
    const opType = name ?? prefix;
    const domain = name ? DOMAINS[prefix] : "";
    if (name) domains.add(domain);
    const node = { opType, domain, name: `${opType}_${written++}`, input: [...input], output, attribute };
    scope.nodes.push(create(NodeProtoSchema, node));
    return output;
  };

  const emitter: Emitter = {
    device,
    block,
    op: (type, ins, attrs) => emitter.ops(type, ins, 1, attrs)[0],
    ops(type, given, outs, attrs = {}) {
      let ins = given;
      if (type === "Reshape") {
        // Of a reshape of a reshape only the last matters, and none where it leads back.
        const source = reshaped.get(given[0]) ?? given[0];
        if (shapes.get(source) === contentOf.get(given[1])) return [source];
        ins = [source, given[1]];
      }
      const key = `${type}|${ins.join()}|${outs}|${JSON.stringify(attrs)}`;
      const known = scope.seen.get(key);
      if (known) return known;
      const attributes = Object.entries(attrs).map(([name, value]) => attribute(name, value));
      const output = write(type, ins, outs, attributes);
      scope.seen.set(key, output);
      if (type === "Reshape") reshaped.set(output[0], ins[0]);
      return output;
    },
    ints: (values) => {
      const name = store(BigInt64Array.from(values, BigInt), [values.length], "int64");
      contentOf.set(name, String(values));
      return name;
    },
    floats: (values, shape) => {
      const data = values instanceof Float32Array ? values : Float32Array.from(values);
      return store(data, shape ?? [data.length], "float32");
    },
  };

  const nameOf = (read: Tensor): string => {
    const x = standsFor(read);
    const known = scope.names.get(read.id) ?? scope.names.get(x.id);
    if (known !== undefined) return known;
    if (x.source.kind === "output") throw new Error(`"${x.source.node.op}" was used before it was emitted.`);
    const name = x.source.kind === "input" ? x.source.name : store(x.source.data, x.shape, x.dtype);
    if (x.source.kind === "input") {
      const other = inputs.get(name);
      if (other && other.id !== x.id) throw new Error(`Two inputs of one program are called "${name}".`);
      inputs.set(name, x);
    }
    scope.names.set(x.id, name);
    shapes.set(name, String(x.shape));
    return name;
  };

  const emitNodes = (nodes: readonly Node[]) => {
    for (const node of nodes) {
      const given = node.inputs.map(nameOf);
      const emitted = node.inside ? emitApart(node.inside, node.inputs, given) : node.emit(emitter, given);
      node.outputs.forEach((x, i) => {
        scope.names.set(x.id, emitted[i]);
        // A name can stand for several shapes where a reshape was left out: the first is the one it has.
        if (!shapes.has(emitted[i]) && !reshaped.has(emitted[i])) shapes.set(emitted[i], String(x.shape));
      });
    }
  };

  /** Into a branch of an If, which is always the one taken: it shares no value with its surroundings, and no memory. */
  const emitApart = (ys: readonly Tensor[], xs: readonly Tensor[], given: readonly string[]): string[] => {
    never ??= emitNever();
    const outer = scope;
    const describe = (name: string, i: number) => valueInfo(name, ys[i].shape, ys[i].dtype);
    scope = newScope(new Map(xs.map((x, i) => [x.id, given[i]])));
    emitNodes(emittedNodes(ys, new Set(xs)));
    const taken = branch("else_branch", scope, ys.map(nameOf), describe);
    scope = newScope();
    const zero = emitter.op("Cast", [never], { to: DataType.FLOAT });
    const zeros = ys.map((y) => emitter.op("Expand", [zero, emitter.ints(y.shape)]));
    const other = branch("then_branch", scope, zeros, describe);
    scope = outer;
    return write("If", [never], ys.length, [other, taken]);
  };

  /** A condition that does not hold, which the runtime cannot know: nothing is less than itself, not even NaN. */
  const emitNever = (): string => {
    const some = [...inputs].find(([, x]) => x.dtype === "float32");
    const flat = some ? emitter.op("Reshape", [some[0], emitter.ints([-1])]) : emitter.floats([0]);
    const first = emitter.op("Gather", [flat, store(BigInt64Array.of(0n), [], "int64")], { axis: 0 });
    return emitter.op("Less", [first, first]);
  };

  const wanted = Object.entries<Tensor | readonly Tensor[]>(outputs).flatMap(([key, x]) => pieces(key, x));
  emitNodes(emittedNodes(wanted.map(({ x }) => x)));
  const { nodes } = root;
  // An output takes the name that it is asked for; one that is an input, a constant or another output too is copied.
  const renamed = new Map<string, string>();
  const made = new Set(nodes.flatMap((node) => node.output));
  const declared = wanted.map(({ key, label, x, part }): EmittedOutput => {
    const value = nameOf(x);
    // A step's outputs are called like its inputs (theta to theta); ONNX wants them apart.
    const name = inputs.has(label) ? `${label}.next` : label;
    if (made.has(value) && !renamed.has(value)) renamed.set(value, name);
    else
      nodes.push(create(NodeProtoSchema, { opType: "Identity", name: `out_${name}`, input: [value], output: [name] }));
    return { key, name, shape: x.shape, dtype: x.dtype, part };
  });
  rename(nodes, renamed);
  const kept = live(nodes, new Set(declared.map(({ name }) => name)));
  const graph = create(GraphProtoSchema, {
    name: "fewstep",
    node: kept,
    initializer: initializers,
    input: [...inputs].map(([name, x]) => valueInfo(name, x.shape, x.dtype)),
    output: declared.map((o) => valueInfo(o.name, o.shape, o.dtype)),
  });
  return { graph, domains: [...domains], inputs: [...inputs.values()], outputs: declared };
}

function attribute(name: string, value: OnnxAttr): AttributeProto {
  if (typeof value === "number")
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  if (typeof value === "string")
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) });
  if ("float" in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

function valueInfo(name: string, shape: Shape, dtype: DType) {
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, {
      value: {
        case: "tensorType",
        value: create(TypeProto_TensorSchema, {
          elemType: DTYPE[dtype],
          shape: create(TensorShapeProtoSchema, {
            dim: shape.map((d) =>
              create(TensorShapeProto_DimensionSchema, { value: { case: "dimValue", value: BigInt(d) } }),
            ),
          }),
        }),
      },
    }),
  });
}

/** Bytes that the constants of a graph take, before anything is emitted. */
export function constantBytes(outputs: readonly Tensor[]): number {
  const seen = new Set<number>();
  let bytes = 0;
  const visit = (x: Tensor) => {
    if (x.source.kind !== "constant" || seen.has(x.id)) return;
    seen.add(x.id);
    bytes += sizeOf(x.shape) * (x.dtype === "int64" ? 8 : x.dtype === "bool" ? 1 : 4);
  };
  outputs.forEach(visit);
  for (const node of computedNodes(outputs)) node.inputs.forEach(visit);
  return bytes;
}
