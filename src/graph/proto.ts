// ONNX's protobuf messages: nodes, tensors and the model around them.

import { create, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_SequenceSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { type ExternalPlace, type Shape, sizeOf } from "./tensor.ts";

/** An ONNX attribute: integers by default, `float(x)` for a floating point one. */
export type OnnxAttr = number | string | readonly number[] | { readonly float: number };
export const float = (x: number): OnnxAttr => ({ float: x });

const OPSET = 21;

export function node(of: {
  opType: string;
  domain: string;
  name: string;
  ins: readonly string[];
  output: string[];
  attribute: AttributeProto[];
}): NodeProto {
  const { ins, ...rest } = of;
  return create(NodeProtoSchema, { ...rest, input: [...ins] });
}

export const attributes = (attrs: Readonly<Record<string, OnnxAttr>>): AttributeProto[] =>
  Object.entries(attrs).map(([name, value]) => attribute(name, value));

/** A constant; the bytes are copied. */
export const tensor = (name: string, shape: Shape, dataType: DataType, bytes: Uint8Array): TensorProto =>
  create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType, rawData: bytes.slice() });

/** A float32 constant whose bytes are in a file. */
export const externalTensor = (name: string, shape: Shape, { location, offset }: ExternalPlace): TensorProto =>
  create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType: FLOAT,
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries({ location, offset, length: 4 * sizeOf(shape) }).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value: String(value) }),
    ),
  });

export interface ValueType {
  readonly name: string;
  readonly shape: Shape;
  readonly type: DataType;
}

export function graphOf(of: {
  nodes: NodeProto[];
  initializers: TensorProto[];
  inputs: ValueInfoProto[];
  outputs: ValueInfoProto[];
}): GraphProto {
  const { nodes, initializers, inputs, outputs } = of;
  return create(GraphProtoSchema, {
    name: "fewstep",
    node: nodes,
    initializer: initializers,
    input: inputs,
    output: outputs,
  });
}

export function modelBytes(graph: GraphProto, domains: readonly string[]): Uint8Array {
  const model = create(ModelProtoSchema, {
    irVersion: 10n,
    producerName: "fewstep",
    graph,
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(OPSET) }),
      ...domains.map((domain) => create(OperatorSetIdProtoSchema, { domain, version: 1n })),
    ],
  });
  return toBinary(ModelProtoSchema, model);
}

function attribute(name: string, value: OnnxAttr): AttributeProto {
  if (typeof value === "number")
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  if (typeof value === "string")
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: new TextEncoder().encode(value) });
  if ("float" in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

/** A node that makes an empty sequence, and the output that it is. */
export const emptySequence = (name: string): { node: NodeProto; output: ValueInfoProto } => {
  const element = create(TypeProtoSchema, {
    value: { case: "tensorType", value: create(TypeProto_TensorSchema, { elemType: FLOAT }) },
  });
  const sequence = create(TypeProto_SequenceSchema, { elemType: element });
  const type = create(TypeProtoSchema, { value: { case: "sequenceType", value: sequence } });
  return {
    node: create(NodeProtoSchema, { opType: "SequenceEmpty", name, output: [name] }),
    output: create(ValueInfoProtoSchema, { name, type }),
  };
};
const FLOAT = 1;

export function valueInfo({ name, shape, type }: ValueType): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, {
      value: {
        case: "tensorType",
        value: create(TypeProto_TensorSchema, {
          elemType: type,
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
