// A model file whose weights lie in another one: small enough to keep with a model, and still a file for any ONNX runtime.

import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
} from "onnx-buf";
import { constantIn } from "./file.ts";
import type { StoredArray } from "./tensors.ts";

/** Where a weight's float32 values begin in the other file. */
export type Places = ReadonlyMap<string, number>;

/**
 * The model with its weights at `places` of the file `location`, as float32 (cast back where the model wants another
 * type); without places only their names and shapes are right. Everything else that lay in other files comes inside.
 */
export function detach(
  proto: ModelProto,
  weights: ReadonlyMap<string, StoredArray>,
  arrays: ReadonlyMap<string, StoredArray>,
  location: string,
  places: Places = new Map(),
): Uint8Array {
  const { graph } = proto;
  if (!graph) return toBinary(ModelProtoSchema, proto);
  const stored = [...graph.initializer, ...graph.node.flatMap((node) => weightIn(node, weights) ?? [])];
  const casts = new Map(
    stored
      .filter((t) => weights.has(t.name) && t.dataType !== DataType.FLOAT)
      .map((t) => [t.name, { to: t.dataType, name: `${t.name}.as${t.dataType}` }]),
  );
  const initializer = stored.map((t): TensorProto => {
    const weight = weights.get(t.name);
    if (weight) return elsewhere(t, location, places.get(t.name));
    return t.dataLocation === DataLocation.EXTERNAL ? inside(t, arrays.get(t.name)) : t;
  });
  const renamed = (name: string): string => casts.get(name)?.name ?? name;
  const node = [
    ...[...casts].map(([name, { to, name: output }]) => castNode(name, output, to)),
    ...renameIn({ ...graph, node: graph.node.filter((node) => !weightIn(node, weights)) }, renamed),
  ];
  return toBinary(ModelProtoSchema, { ...proto, graph: { ...graph, initializer, node } });
}

/** The array of a Constant node that is a weight. */
function weightIn(node: NodeProto, weights: ReadonlyMap<string, StoredArray>): TensorProto | undefined {
  const array = constantIn(node);
  return array && weights.has(array.name) ? array : undefined;
}

function elsewhere({ name, dims }: TensorProto, location: string, offset: number | undefined): TensorProto {
  const length = 4 * dims.reduce((n, d) => n * Number(d), 1);
  const entries: [string, string][] = [["location", location]];
  if (offset !== undefined) entries.push(["offset", String(offset)], ["length", String(length)]);
  return create(TensorProtoSchema, {
    name,
    dims,
    dataType: DataType.FLOAT,
    dataLocation: DataLocation.EXTERNAL,
    externalData: entries.map(([key, value]) => create(StringStringEntryProtoSchema, { key, value })),
  });
}

function inside(t: TensorProto, array: StoredArray | undefined): TensorProto {
  if (!array) return t;
  return create(TensorProtoSchema, { name: t.name, dims: t.dims, dataType: t.dataType, rawData: array.bytes() });
}

const castNode = (from: string, to: string, type: number): NodeProto =>
  create(NodeProtoSchema, {
    opType: "Cast",
    name: to,
    input: [from],
    output: [to],
    attribute: [create(AttributeProtoSchema, { name: "to", type: AttributeType.INT, i: BigInt(type) })],
  });

/** The nodes of a graph, and of those inside it, with their inputs renamed. */
const renameIn = (graph: GraphProto, renamed: (name: string) => string): NodeProto[] =>
  graph.node.map((node) => ({
    ...node,
    input: node.input.map(renamed),
    attribute: node.attribute.map((a) => (a.g ? { ...a, g: { ...a.g, node: renameIn(a.g, renamed) } } : a)),
  }));
