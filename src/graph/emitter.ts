// From symbolic tensors to an ONNX model. Equal nodes are emitted once (common subexpressions).

import { type AttributeProto, TensorProto_DataType as DataType, type GraphProto, type TensorProto } from "onnx-buf";
import { autocast } from "./autocast.ts";
import { pieces } from "./pieces.ts";
import {
  attributes,
  emptySequence,
  externalTensor,
  graphOf,
  modelBytes,
  node,
  type OnnxAttr,
  tensor,
  valueInfo,
} from "./proto.ts";
import { branch, count, live, newScope, rename } from "./subgraph.ts";
import {
  type DType,
  type ExternalPlace,
  isConstant,
  type Node,
  type Shape,
  sizeOf,
  type Tensor,
  type TensorData,
} from "./tensor.ts";
import { computedNodes, emittedNodes, standsFor } from "./walk.ts";

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
  /** The files that hold constants, with the folder where their names begin. */
  readonly external?: ExternalFiles;
  /** How many ONNX nodes of each type. */
  readonly counts: ReadonlyMap<string, number>;
}

export interface ExternalFiles {
  readonly folder: string;
  /** File to state, as in ExternalPlace. */
  readonly versions: ReadonlyMap<string, string | undefined>;
}

export type Precision = "float32" | "float16";

/**
 * The graph that computes `outputs` as an ONNX model for a device, with the device's block of channels, if any.
 * Inputs and outputs are float32 in either precision; float16 is that of products inside (autocast.ts). `unread`: with a
 * first output that is no tensor (runtime/uncopied.ts).
 */
export function emitModel(
  outputs: Outputs,
  device: Device,
  block = 1,
  precision: Precision = "float32",
  unread = false,
): EmittedModel {
  const { graph, domains, ...described } = emitGraph(outputs, device, block, precision);
  if (unread) {
    const { node, output } = emptySequence("unread");
    graph.node.push(node);
    graph.output.unshift(output);
  }
  return { bytes: modelBytes(graph, domains), ...described, counts: count(graph.node) };
}

export interface EmittedGraph extends Omit<EmittedModel, "bytes" | "counts"> {
  readonly graph: GraphProto;
  /** Of its operators. */
  readonly domains: readonly string[];
}

/** The graph of a model, before it becomes bytes. */
export function emitGraph(outputs: Outputs, device: Device, block = 1, precision: Precision = "float32"): EmittedGraph {
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
  let folder: string | undefined;
  const versions = new Map<string, string | undefined>();

  const store = (data: TensorData | Int32Array, shape: Shape, dataType: DataType): string => {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    // Only small constants are compared by content; a teacher's weights are distinct anyway.
    const key = bytes.length <= 4096 ? `${dataType}|${shape}|${bytes}` : null;
    const known = key === null ? undefined : contents.get(key);
    if (known) return known;
    const name = `c${values++}`;
    initializers.push(tensor(name, shape, dataType, bytes));
    if (key !== null) contents.set(key, name);
    return name;
  };

  const point = (place: ExternalPlace, shape: Shape): string => {
    folder ??= place.folder;
    if (folder !== place.folder)
      throw new Error(
        `Constants of one program are named from ${folder} and from ${place.folder}, expected one folder.`,
      );
    const known = versions.has(place.location) ? versions.get(place.location) : place.version;
    if (known !== place.version)
      throw new Error(`${place.location} changed while the program was made from it. Load the model again.`);
    versions.set(place.location, place.version);
    const name = `c${values++}`;
    initializers.push(externalTensor(name, shape, place));
    return name;
  };

  const write = (type: string, ins: readonly string[], outs: number, attribute: AttributeProto[]): string[] => {
    const output = Array.from({ length: outs }, () => `t${values++}`);
    const [prefix, name] = type.split(".");
    const opType = name ?? prefix;
    const domain = name ? DOMAINS[prefix] : "";
    if (name) domains.add(domain);
    scope.nodes.push(node({ opType, domain, name: `${opType}_${written++}`, ins, output, attribute }));
    return output;
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
      const known = scope.seen.get(key);
      if (known) return known;
      const output = write(type, ins, outs, attributes(attrs));
      scope.seen.set(key, output);
      if (type === "Reshape") reshaped.set(output[0], ins[0]);
      return output;
    },
    ints: (list) => {
      const name = store(BigInt64Array.from(list, BigInt), [list.length], DataType.INT64);
      contentOf.set(name, String(list));
      return name;
    },
    floats: (list, shape) => {
      const data = list instanceof Float32Array ? list : Float32Array.from(list);
      return store(data, shape ?? [data.length], DataType.FLOAT);
    },
  };

  const halving = precision === "float16" ? autocast(plain) : undefined;
  const emitter: Emitter = halving ?? plain;

  const nameOf = (read: Tensor): string => {
    const x = standsFor(read);
    const known = scope.names.get(read.id) ?? scope.names.get(x.id);
    if (known !== undefined) return known;
    if (x.source.kind === "output") throw new Error(`"${x.source.node.op}" was used before it was emitted.`);
    const type = onnxType(x.dtype, device);
    const name =
      x.source.kind === "input"
        ? x.source.name
        : x.source.kind === "external"
          ? point(x.source.place, x.shape)
          : store(held(x.source.data, type), x.shape, type);
    if (x.source.kind === "input") {
      const other = inputs.get(name);
      if (other && other.id !== x.id) throw new Error(`Two inputs of one program are called "${name}".`);
      inputs.set(name, x);
    }
    scope.names.set(x.id, name);
    shapes.set(name, String(x.shape));
    halving?.declare(name, x.dtype, x.source.kind === "constant" ? x.source.data : undefined);
    return name;
  };

  const emitNodes = (list: readonly Node[]) => {
    for (const one of list) {
      const given = one.inputs.map(nameOf);
      const emitted = one.inside ? emitApart(one.inside, one.inputs, given) : one.emit(emitter, given);
      one.outputs.forEach((x, i) => {
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
    const describe = (name: string, i: number) =>
      valueInfo({ name, shape: ys[i].shape, type: onnxType(ys[i].dtype, device) });
    scope = newScope(new Map(xs.map((x, i) => [x.id, given[i]])));
    emitNodes(emittedNodes(ys, new Set(xs)));
    const results = ys.map((y) => emitter.full(nameOf(y)));
    const taken = branch("else_branch", scope, results, describe);
    scope = newScope();
    const zeros = ys.map(({ shape, dtype }) =>
      emitter.op("Expand", [emitter.op("Cast", [never ?? ""], { to: onnxType(dtype, device) }), emitter.ints(shape)]),
    );
    const other = branch("then_branch", scope, zeros, describe);
    scope = outer;
    const made = write("If", [never], ys.length, [other, taken]);
    made.forEach((name, i) => {
      halving?.declare(name, ys[i].dtype);
    });
    return made;
  };

  /** A condition that does not hold, which the runtime cannot know: nothing is less than itself, not even NaN. */
  const emitNever = (): string => {
    const some = [...inputs].find(([, x]) => x.dtype === "float32");
    const flat = some ? emitter.op("Reshape", [some[0], emitter.ints([-1])]) : emitter.floats([0]);
    const first = emitter.op("Gather", [flat, store(BigInt64Array.of(0n), [], DataType.INT64)], { axis: 0 });
    return emitter.op("Less", [first, first]);
  };

  const wanted = Object.entries<Tensor | readonly Tensor[]>(outputs).flatMap(([key, x]) => pieces(key, x));
  emitNodes(emittedNodes(wanted.map(({ x }) => x)));
  const results = wanted.map(({ x }) => emitter.full(nameOf(x)));
  const { nodes } = root;
  // An output takes the name that it is asked for; one that is an input, a constant or another output too is copied.
  const renamed = new Map<string, string>();
  const made = new Set(nodes.flatMap(({ output }) => output));
  const declared = wanted.map(({ key, label, x, part }, i): EmittedOutput => {
    const value = results[i];
    // A step's outputs are called like its inputs (theta to theta); ONNX wants them apart.
    const name = inputs.has(label) ? `${label}.next` : label;
    if (made.has(value) && !renamed.has(value)) renamed.set(value, name);
    else
      nodes.push(
        node({ opType: "Identity", domain: "", name: `out_${name}`, ins: [value], output: [name], attribute: [] }),
      );
    return { key, name, shape: x.shape, dtype: x.dtype, part };
  });
  rename(nodes, renamed);
  const typed = ({ name, shape, dtype }: { name: string; shape: Shape; dtype: DType }) =>
    valueInfo({ name, shape, type: onnxType(dtype, device) });
  const graph = graphOf({
    nodes: live(nodes, new Set(declared.map(({ name }) => name))),
    initializers,
    inputs: [...inputs].map(([name, { shape, dtype }]) => typed({ name, shape, dtype })),
    outputs: declared.map(typed),
  });
  return {
    graph,
    domains: [...domains],
    inputs: [...inputs.values()],
    outputs: declared,
    ...(folder === undefined ? {} : { external: { folder, versions } }),
  };
}

const held = (data: TensorData, type: DataType): TensorData | Int32Array =>
  data instanceof BigInt64Array && type === DataType.INT32 ? Int32Array.from(data, Number) : data;

/** Bytes that the constants of a graph take, in files or not, before anything is emitted. */
export function constantBytes(outputs: readonly Tensor[]): number {
  const seen = new Set<number>();
  let bytes = 0;
  const visit = (x: Tensor) => {
    if (!isConstant(x) || seen.has(x.id)) return;
    seen.add(x.id);
    bytes += sizeOf(x.shape) * (x.dtype === "int64" ? 8 : x.dtype === "bool" ? 1 : 4);
  };
  outputs.forEach(visit);
  for (const one of computedNodes(outputs)) one.inputs.forEach(visit);
  return bytes;
}
