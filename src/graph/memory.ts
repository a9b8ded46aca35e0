// How much memory a program needs on the CPU, before it is compiled: a replay of the order in which ONNX Runtime runs
// the nodes of a graph, and of how it gives memory to values. docs/rematerialization.md compares it with measurements.

import { TensorProto_DataType as DataType, type GraphProto, type NodeProto } from "onnx-buf";
import { emitGraph, type Outputs } from "./emitter.ts";
import { declared, infer, type Value, valuesGiven } from "./onnxShapes.ts";
import { count, reads } from "./subgraph.ts";
import { sizeOf, type Tensor } from "./tensor.ts";
import { computedNodes } from "./walk.ts";

/** In bytes, but for the nodes. */
export interface MemoryEstimate {
  /** What is fed, what the program holds, and what it returns. */
  readonly inputs: number;
  readonly constants: number;
  readonly outputs: number;
  /** The largest sum of all other values that are held at one time. */
  readonly working: number;
  /** How many the graph has: each takes memory of its own. */
  readonly nodes: number;
}

/** `block` as in `emitModel`; 16 is that of a processor with AVX-512. */
export function estimateMemory(outputs: Outputs, block = 16): MemoryEstimate {
  const { graph } = emitGraph(outputs, "cpu", block);
  const sum = (sizes: readonly number[]) => sizes.reduce((a, b) => a + b, 0);
  return {
    inputs: sum(graph.input.map((x) => bytesOf(declared(x)))),
    constants: sum(graph.initializer.map((c) => bytesOf({ shape: c.dims.map(Number), type: c.dataType as DataType }))),
    outputs: sum(graph.output.map((x) => bytesOf(declared(x)))),
    working: workingBytes(graph, new Map(), new Set()),
    nodes: sum([...count(graph.node).values()]),
  };
}

const WIDTH: Readonly<Partial<Record<DataType, number>>> = {
  [DataType.FLOAT]: 4,
  [DataType.FLOAT16]: 2,
  [DataType.INT64]: 8,
  [DataType.BOOL]: 1,
};
const bytesOf = ({ shape, type }: Value): number => sizeOf(shape) * (WIDTH[type] ?? 4);

/** Of everything that a run reads or computes, were nothing ever freed. Quick to tell: nothing is emitted. */
export function valueBytes(outputs: Outputs): number {
  const values = new Set<Tensor>();
  for (const node of computedNodes(Object.values(outputs).flat()))
    for (const x of [...node.inputs, ...node.outputs]) values.add(x);
  return [...values].reduce((bytes, x) => bytes + 4 * sizeOf(x.shape), 0);
}

/** A piece of memory: from the first node that writes it to the last one that reads it. */
interface Slot {
  readonly bytes: number;
  readonly from: number;
  to: number;
}

/** The peak of what one graph holds besides its inputs, constants and outputs. `values`: those it sees around it. */
function workingBytes(graph: GraphProto, values: Map<string, Value>, fixed: Set<string>): number {
  for (const [name, value] of valuesGiven(graph)) values.set(name, value);
  for (const { name } of graph.initializer) fixed.add(name);
  const lookUp = (name: string): Value => {
    const known = values.get(name);
    if (!known) throw new Error(`"${name}" is read before it is made.`);
    return known;
  };
  // What is made of constants alone is computed when the program is compiled.
  const nodes = graph.node.filter((node) => {
    infer(node, lookUp).forEach((value, i) => {
      values.set(node.output[i], value);
    });
    const constant = reads(node).every((name) => name === "" || fixed.has(name));
    if (constant) for (const name of node.output) fixed.add(name);
    return !constant;
  });
  const order = runtimeOrder(nodes);
  const viewed = new Map<string, string>();
  for (const node of nodes) if (VIEWS.has(node.opType)) viewed.set(node.output[0], rootOf(viewed, node.input[0]));
  const returned = new Set(graph.output.map(({ name }) => rootOf(viewed, name)));
  const lastRead = new Map<string, number>();
  order.forEach((node, i) => {
    for (const name of reads(node)) lastRead.set(rootOf(viewed, name), i);
  });
  const buffers: Slot[] = [];
  // A buffer that is free goes to the next value of the same shape, and is kept until then.
  const free = new Map<string, Slot[]>();
  const dying = new Map<number, { shape: string; buffer: Slot }[]>();
  order.forEach((node, i) => {
    const taken = node.attribute.find(({ name }) => name === "else_branch")?.g;
    if (taken) buffers.push({ bytes: workingBytes(taken, values, fixed), from: i, to: i });
    for (const name of node.output) {
      if (viewed.has(name) || returned.has(name)) continue;
      const value = lookUp(name);
      const shape = `${value.type}|${value.shape}`;
      const to = lastRead.get(name) ?? i;
      const known = free.get(shape)?.pop();
      const buffer = known ?? { bytes: bytesOf(value), from: i, to };
      if (!known) buffers.push(buffer);
      buffer.to = to;
      dying.set(to, [...(dying.get(to) ?? []), { shape, buffer }]);
    }
    for (const { shape, buffer } of dying.get(i) ?? []) free.set(shape, [...(free.get(shape) ?? []), buffer]);
  });
  return peakOf(buffers, order.length);
}

const VIEWS = new Set(["Reshape", "Squeeze", "Identity"]);
const rootOf = (viewed: ReadonlyMap<string, string>, name: string): string => viewed.get(name) ?? name;

function peakOf(buffers: readonly Slot[], steps: number): number {
  const change = new Float64Array(steps + 1);
  for (const { bytes, from, to } of buffers) {
    change[from] += bytes;
    change[to + 1] -= bytes;
  }
  let [now, peak] = [0, 0];
  for (const delta of change) {
    now += delta;
    peak = Math.max(peak, now);
  }
  return peak;
}

/** Depth first from the nodes that nobody reads, the last one first; of what a node reads, the last one first too. */
function runtimeOrder(nodes: readonly NodeProto[]): NodeProto[] {
  const maker = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const name of node.output) maker.set(name, i);
  });
  const before = nodes.map((node) =>
    [...new Set(reads(node).flatMap((name) => maker.get(name) ?? []))].sort((a, b) => a - b),
  );
  const hasReader = new Set(before.flat());
  const stack = nodes.flatMap((_, i) => (hasReader.has(i) ? [] : [{ i, leave: false }]));
  const entered = new Set<number>();
  const order: NodeProto[] = [];
  for (let top = stack.pop(); top; top = stack.pop()) {
    if (top.leave) order.push(nodes[top.i]);
    else if (!entered.has(top.i)) {
      entered.add(top.i);
      stack.push({ i: top.i, leave: true });
      for (const i of before[top.i]) if (!entered.has(i)) stack.push({ i, leave: false });
    }
  }
  return order;
}
