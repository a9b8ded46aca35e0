// From symbolic tensors to an ONNX model. Equal nodes are emitted once (common subexpressions).

import { TensorProto_DataType as DataType, type NodeProto, type TensorProto } from "onnx-buf";
import { autocast } from "./autocast.ts";
import { modelBytes, node, type OnnxAttr, tensor } from "./proto.ts";
import { type DType, type Node, type Shape, sizeOf, type Tensor, type TensorData } from "./tensor.ts";

export { float, type OnnxAttr } from "./proto.ts";

export type Device = "cpu" | "webgpu" | "cuda" | "wasm";

/**
 * The ONNX type of a tensor. WebGPU has no 64-bit integers: what an index or a label is, is 32 bits wide there, values
 * that leave and enter the program included. Shapes and axes, which are not computed with, stay int64.
 */
export function onnxType(dtype: DType, device: Device): DataType {
  if (dtype === "int64") return device === "webgpu" ? DataType.INT32 : DataType.INT64;
  return dtype === "bool" ? DataType.BOOL : DataType.FLOAT;
}
/** Prefixes of operator types: "ms.FusedMatMul" is ONNX Runtime's own, "nchwc.Conv" works on its blocked layout. */
const DOMAINS: Readonly<Record<string, string>> = { ms: "com.microsoft", nchwc: "com.microsoft.nchwc" };

export interface Emitter {
  readonly device: Device;
  /** Channels in a block of the device's convolution layout; 1: it has none. See blockedConv.ts. */
  readonly block: number;
  /** Whether products are computed in float16; see autocast.ts. */
  readonly half: boolean;
  /** The value as float32, whatever precision it was computed in. */
  full(name: string): string;
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

/** The nodes that the outputs depend on, inputs before users. Iterative: graphs are thousands of nodes deep. */
export function topological(outputs: readonly Tensor[]): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, 1 | 2>();
  const stack: Node[] = [];
  const push = (x: Tensor) => {
    if (x.source.kind === "output" && !state.has(x.source.node)) stack.push(x.source.node);
  };
  for (let i = outputs.length - 1; i >= 0; i--) push(outputs[i]);
  while (stack.length > 0) {
    const node = stack[stack.length - 1];
    const seen = state.get(node);
    if (seen === undefined) {
      state.set(node, 1);
      for (let i = node.inputs.length - 1; i >= 0; i--) push(node.inputs[i]);
    } else {
      stack.pop();
      if (seen === 1) {
        state.set(node, 2);
        order.push(node);
      }
    }
  }
  return order;
}

export type Precision = "float32" | "float16";

/**
 * Writes the graph that computes `outputs` as an ONNX model for a device, with the device's block of channels, if any.
 * Inputs and outputs are float32 in either precision; float16 is that of products inside (autocast.ts).
 */
export function emitModel(outputs: Outputs, device: Device, block = 1, precision: Precision = "float32"): EmittedModel {
  const nodes: NodeProto[] = [];
  const initializers: TensorProto[] = [];
  const names = new Map<number, string>();
  const seen = new Map<string, string[]>();
  const contents = new Map<string, string>();
  const inputs = new Map<string, Tensor>();
  // For each result of a reshape what it was made of; of the tensors of our graph, their shapes; and of lists, the content.
  const reshaped = new Map<string, string>();
  const shapes = new Map<string, string>();
  const contentOf = new Map<string, string>();
  const domains = new Set([DOMAINS.ms]);
  let count = 0;

  const store = (data: TensorData | Int32Array, shape: Shape, dataType: DataType): string => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // Only small constants are compared by content; a teacher's weights are distinct anyway.
    const key = bytes.length <= 4096 ? `${dataType}|${shape}|${bytes}` : null;
    const known = key === null ? undefined : contents.get(key);
    if (known) return known;
    const name = `c${count++}`;
    initializers.push(tensor(name, shape, dataType, bytes));
    if (key !== null) contents.set(key, name);
    return name;
  };

  const plain: Emitter = {
    device,
    // There is no blocked layout for half precision.
    block: precision === "float16" ? 1 : block,
    half: false,
    full: (name) => name,
    op: (type, ins, attrs) => plain.ops(type, ins, 1, attrs)[0],
    ops(type, given, outs, attrs = {}) {
      let ins = given;
      if (type === "Reshape") {
        // Of a reshape of a reshape only the last matters, and none where it leads back.
        const source = reshaped.get(given[0]) ?? given[0];
        if (shapes.get(source) === contentOf.get(given[1])) return [source];
        ins = [source, given[1]];
      }
      const key = `${type}|${ins.join()}|${outs}|${JSON.stringify(attrs)}`;
      const known = seen.get(key);
      if (known) return known;
      const output = Array.from({ length: outs }, () => `t${count++}`);
      const [prefix, name] = type.split(".");
      const opType = name ?? prefix;
      if (name) domains.add(DOMAINS[prefix]);
      nodes.push(
        node({ opType, domain: name ? DOMAINS[prefix] : "", name: `${opType}_${nodes.length}`, ins, output, attrs }),
      );
      seen.set(key, output);
      if (type === "Reshape") reshaped.set(output[0], ins[0]);
      return output;
    },
    ints: (values) => {
      const name = store(BigInt64Array.from(values, BigInt), [values.length], DataType.INT64);
      contentOf.set(name, String(values));
      return name;
    },
    floats: (values, shape) => {
      const data = values instanceof Float32Array ? values : Float32Array.from(values);
      return store(data, shape ?? [data.length], DataType.FLOAT);
    },
  };

  const halving = precision === "float16" ? autocast(plain) : undefined;
  const emitter: Emitter = halving ?? plain;

  const nameOf = (x: Tensor): string => {
    const known = names.get(x.id);
    if (known !== undefined) return known;
    if (x.source.kind === "output") throw new Error(`"${x.source.node.op}" was used before it was emitted.`);
    const type = onnxType(x.dtype, device);
    const name = x.source.kind === "input" ? x.source.name : store(held(x.source.data, type), x.shape, type);
    if (x.source.kind === "input") {
      const other = inputs.get(name);
      if (other && other.id !== x.id) throw new Error(`Two inputs of one program are called "${name}".`);
      inputs.set(name, x);
    }
    names.set(x.id, name);
    shapes.set(name, String(x.shape));
    halving?.declare(name, x.dtype, x.source.kind === "constant" ? x.source.data : undefined);
    return name;
  };

  const wanted = Object.entries<Tensor | readonly Tensor[]>(outputs).flatMap(([key, x]) => pieces(key, x));
  for (const node of topological(wanted.map(({ x }) => x))) {
    const emitted = node.emit(emitter, node.inputs.map(nameOf));
    node.outputs.forEach((x, i) => {
      names.set(x.id, emitted[i]);
      // A name can stand for several shapes where a reshape was left out: the first is the one it has.
      if (!shapes.has(emitted[i]) && !reshaped.has(emitted[i])) shapes.set(emitted[i], String(x.shape));
    });
  }
  // An output takes the name that it is asked for; one that is an input, a constant or another output too is copied.
  const renamed = new Map<string, string>();
  const values = wanted.map(({ x }) => emitter.full(nameOf(x)));
  const made = new Set(nodes.flatMap((node) => node.output));
  const declared = wanted.map(({ key, label, x, part }, i): EmittedOutput => {
    const value = values[i];
    // A step's outputs are called like its inputs (theta to theta); ONNX wants them apart.
    const name = inputs.has(label) ? `${label}.next` : label;
    if (made.has(value) && !renamed.has(value)) renamed.set(value, name);
    else
      nodes.push(
        node({ opType: "Identity", domain: "", name: `out_${name}`, ins: [value], output: [name], attrs: {} }),
      );
    return { key, name, shape: x.shape, dtype: x.dtype, part };
  });
  const kept = live(nodes, new Set(declared.map(({ name }) => name)), renamed);
  const counts = new Map<string, number>();
  for (const node of kept) {
    counts.set(node.opType, (counts.get(node.opType) ?? 0) + 1);
    node.input = node.input.map((value) => renamed.get(value) ?? value);
    node.output = node.output.map((value) => renamed.get(value) ?? value);
  }
  const bytes = modelBytes({
    nodes: kept,
    initializers,
    inputs: [...inputs].map(([name, x]) => ({ name, shape: x.shape, type: onnxType(x.dtype, device) })),
    outputs: declared.map(({ name, shape, dtype }) => ({ name, shape, type: onnxType(dtype, device) })),
    domains: [...domains],
  });
  return { bytes, inputs: [...inputs.values()], outputs: declared, counts };
}

interface Piece {
  readonly key: string;
  readonly label: string;
  readonly x: Tensor;
  readonly part?: EmittedOutput["part"];
}
/** A list's tensors with their places in its vector; a tensor alone is itself. */
function pieces(key: string, output: Tensor | readonly Tensor[]): Piece[] {
  if (!isList(output)) return [{ key, label: key, x: output }];
  const total = output.reduce((n, x) => n + sizeOf(x.shape), 0);
  let end = 0;
  return output.map((x, i) => {
    end += sizeOf(x.shape);
    return { key, label: `${key}.${i}`, x, part: { offset: end - sizeOf(x.shape), total } };
  });
}
const isList = (x: Tensor | readonly Tensor[]): x is readonly Tensor[] => Array.isArray(x);

/** The nodes on which the outputs depend. */
function live(
  nodes: readonly NodeProto[],
  outputs: ReadonlySet<string>,
  renamed: ReadonlyMap<string, string>,
): NodeProto[] {
  const used = new Set<string>(outputs);
  for (const [value, name] of renamed) if (outputs.has(name)) used.add(value);
  const kept: NodeProto[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    if (!nodes[i].output.some((name) => used.has(name))) continue;
    for (const name of nodes[i].input) used.add(name);
    kept.push(nodes[i]);
  }
  return kept.reverse();
}

const held = (data: TensorData, type: DataType): TensorData | Int32Array =>
  data instanceof BigInt64Array && type === DataType.INT32 ? Int32Array.from(data, Number) : data;

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
  for (const node of topological(outputs)) node.inputs.forEach(visit);
  return bytes;
}
