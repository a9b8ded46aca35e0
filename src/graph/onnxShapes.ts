// Shapes and types of the values in an emitted graph: of the operators that this library emits, nothing more.

import { TensorProto_DataType as DataType, type GraphProto, type NodeProto, type ValueInfoProto } from "onnx-buf";
import { broadcastShapes, type Shape, sizeOf } from "./tensor.ts";

export interface Value {
  readonly shape: Shape;
  readonly type: DataType;
  /** The content of small constants. */
  readonly numbers?: readonly number[];
}

type Attribute = (name: string) => readonly number[] | undefined;
type Rule = (x: readonly Value[], attribute: Attribute) => Shape | readonly Shape[];

const last = (shape: Shape, back: number): number => shape[shape.length - back];
const ints = (x: Value | undefined, otherwise: readonly number[]): readonly number[] => x?.numbers ?? otherwise;
const at = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
const replaced = (shape: Shape, axis: number, size: number): Shape => shape.map((d, i) => (i === axis ? size : d));
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const product: Rule = ([a, b], attribute) => {
  const lead = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), "MatMul");
  return [...lead, last(a.shape, attribute("transA")?.[0] ? 1 : 2), last(b.shape, attribute("transB")?.[0] ? 2 : 1)];
};

const window: Rule = ([x, w], attribute) => {
  const kernel = attribute("kernel_shape") ?? w.shape.slice(2);
  const [strides, pads] = [attribute("strides") ?? [1, 1], attribute("pads") ?? [0, 0, 0, 0]];
  const dilations = attribute("dilations") ?? [1, 1];
  const size = [0, 1].map((i) =>
    Math.floor((x.shape[i + 2] + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) / strides[i] + 1),
  );
  return [x.shape[0], w ? w.shape[0] : x.shape[1], ...size];
};

const transposedWindow: Rule = ([x, w], attribute) => {
  const [strides, pads] = [attribute("strides") ?? [1, 1], attribute("pads") ?? [0, 0, 0, 0]];
  const [dilations, extra] = [attribute("dilations") ?? [1, 1], attribute("output_padding") ?? [0, 0]];
  const size = [0, 1].map(
    (i) =>
      (x.shape[i + 2] - 1) * strides[i] - pads[i] - pads[i + 2] + dilations[i] * (w.shape[i + 2] - 1) + 1 + extra[i],
  );
  return [x.shape[0], w.shape[1] * (attribute("group")?.[0] ?? 1), ...size];
};

const reduction: Rule = ([x, axes], attribute) => {
  const list = (axes?.numbers ?? attribute("axes") ?? upTo(x.shape.length)).map((a) => at(a, x.shape.length));
  return (attribute("keepdims")?.[0] ?? 1)
    ? x.shape.map((d, i) => (list.includes(i) ? 1 : d))
    : x.shape.filter((_, i) => !list.includes(i));
};

const rules: Readonly<Record<string, Rule>> = {
  Reshape: ([x, to]) => {
    const shape = ints(to, []);
    const known = shape.reduce((a, d) => (d === -1 ? a : a * d), 1);
    return shape.map((d) => (d === -1 ? sizeOf(x.shape) / known : d));
  },
  Squeeze: ([x]) => x.shape.filter((d) => d !== 1),
  Range: ([from, to, step]) => [Math.ceil((ints(to, [0])[0] - ints(from, [0])[0]) / ints(step, [1])[0])],
  Transpose: ([x], attribute) => (attribute("perm") ?? upTo(x.shape.length).reverse()).map((p) => x.shape[p]),
  Expand: ([x, to]) => broadcastShapes(x.shape, ints(to, []), "Expand"),
  Concat: (xs, attribute) => {
    const axis = at(attribute("axis")?.[0] ?? 0, xs[0].shape.length);
    return replaced(
      xs[0].shape,
      axis,
      xs.reduce((n, x) => n + x.shape[axis], 0),
    );
  },
  Split: ([x, sizes], attribute) => {
    const axis = at(attribute("axis")?.[0] ?? 0, x.shape.length);
    return ints(sizes, [x.shape[axis]]).map((size) => replaced(x.shape, axis, size));
  },
  Slice: ([x, starts, ends, axes, steps]) => {
    const shape = [...x.shape];
    ints(axes, upTo(ints(starts, []).length)).forEach((axis, i) => {
      const size = x.shape[at(axis, shape.length)];
      const step = ints(steps, [])[i] ?? 1;
      const limit = (v: number, low: number, high: number) => Math.min(high, Math.max(low, v < 0 ? v + size : v));
      const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
      const [from, to] = [limit(ints(starts, [])[i], low, high), limit(ints(ends, [])[i], low, high)];
      shape[at(axis, shape.length)] = Math.max(0, Math.ceil((to - from) / step));
    });
    return shape;
  },
  Pad: ([x, pads]) => x.shape.map((d, i) => d + ints(pads, [])[i] + ints(pads, [])[i + x.shape.length]),
  Gather: ([x, index], attribute) => {
    const axis = at(attribute("axis")?.[0] ?? 0, x.shape.length);
    return [...x.shape.slice(0, axis), ...index.shape, ...x.shape.slice(axis + 1)];
  },
  MatMul: product,
  FusedMatMul: product,
  Gemm: product,
  Conv: window,
  ConvTranspose: transposedWindow,
  AveragePool: window,
  ReduceSum: reduction,
  ReduceMean: reduction,
  ReduceMax: reduction,
  ReduceSumSquare: reduction,
  LayerNormalization: ([x], attribute) => {
    const from = at(attribute("axis")?.[0] ?? -1, x.shape.length);
    const statistic = x.shape.map((d, i) => (i < from ? d : 1));
    return [x.shape, statistic, statistic];
  },
  ReorderOutput: ([x], attribute) => replaced(x.shape, 1, attribute("channels")?.[0] ?? x.shape[1]),
  Resize: ([x, , scales]) => x.shape.map((d, i) => d * ints(scales, [])[i]),
};

/** What a graph says of an input or output. */
export function declared({ type }: ValueInfoProto): Value {
  const tensor = type?.value.case === "tensorType" ? type.value.value : undefined;
  const shape = tensor?.shape?.dim.map(({ value }) => (value.case === "dimValue" ? Number(value.value) : 1)) ?? [];
  return { shape, type: (tensor?.elemType ?? DataType.FLOAT) as DataType };
}

/** The inputs and constants of a graph by name. */
export function valuesGiven(graph: GraphProto): Map<string, Value> {
  const values = new Map(graph.input.map((x) => [x.name, declared(x)]));
  for (const { name, dims, dataType, rawData, externalData } of graph.initializer) {
    const type = dataType as DataType;
    values.set(name, {
      shape: dims.map(Number),
      type,
      numbers: externalData.length === 0 && rawData.length <= 2 ** 16 ? content(rawData, type) : undefined,
    });
  }
  return values;
}

function content(bytes: Uint8Array, type: DataType): number[] | undefined {
  const copy = bytes.slice().buffer;
  if (type === DataType.INT64) return Array.from(new BigInt64Array(copy), Number);
  return type === DataType.FLOAT ? [...new Float32Array(copy)] : undefined;
}

const BOOLEAN = new Set(["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Not", "And", "Or", "IsNaN"]);

/** What a node returns. Operators without a rule are elementwise. Branches of an If declare what they return. */
export function infer(node: NodeProto, lookUp: (name: string) => Value): Value[] {
  const given = node.input.map((name) => (name === "" ? { shape: [], type: DataType.UNDEFINED } : lookUp(name)));
  const byName = new Map(node.attribute.map((a) => [a.name, a]));
  const attribute: Attribute = (name) => {
    const found = byName.get(name);
    return found && (found.ints.length > 0 ? found.ints.map(Number) : [Number(found.i)]);
  };
  if (node.opType === "If") {
    return (byName.get("else_branch")?.g?.output ?? []).map(declared);
  }
  const first = given.at(node.opType === "Where" ? 1 : 0)?.type ?? DataType.FLOAT;
  const type = BOOLEAN.has(node.opType)
    ? DataType.BOOL
    : node.opType === "Cast"
      ? (attribute("to")?.[0] as DataType)
      : first;
  const rule = rules[node.opType];
  const shapes = rule ? rule(given, attribute) : given.map((x) => x.shape).reduce(broadcast, []);
  const list = (isList(shapes) ? shapes : [shapes]) as readonly Shape[];
  // A list without its unit axes keeps its numbers.
  const numbers = node.opType === "Squeeze" ? given[0].numbers : undefined;
  return node.output.map((_, i) => ({ shape: list[i] ?? list[0], type, numbers }));
}

const broadcast = (a: Shape, b: Shape): Shape => broadcastShapes(a, b, "Elementwise");
const isList = (x: Shape | readonly Shape[]): x is readonly Shape[] => x.length > 0 && typeof x[0] !== "number";
