// Models of one node, or a few, written for tests.
import { create, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "onnx-buf";
import { fold, key, normal, randint } from "../../src/random.ts";

export type Data = Float32Array | BigInt64Array | Uint8Array;
const typeOf = (data: Data): DataType =>
  data instanceof Float32Array ? DataType.FLOAT : data instanceof Uint8Array ? DataType.BOOL : DataType.INT64;

/** An operand of a node: fed at run time, or stored in the file. */
export interface Operand {
  readonly stored: boolean;
  readonly shape: readonly number[];
  readonly data: Data;
}
let drawn = 0;
const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const draw = (shape: readonly number[]) => normal(fold(key(1), drawn++), size(shape));

/** Normal values. */
export const f = (...shape: number[]): Operand => ({ stored: false, shape, data: draw(shape) });
/** Values of at least 0.3. */
export const positive = (...shape: number[]): Operand => ({
  stored: false,
  shape,
  data: draw(shape).map((v) => 0.3 + Math.abs(v)),
});
/** The numbers 0, 1, 2 … in another order: no two are close, so a maximum has no ties. */
export const distinct = (...shape: number[]): Operand => ({
  stored: false,
  shape,
  data: Float32Array.from({ length: size(shape) }, (_, i) => ((i * 7919) % size(shape)) / 4 - size(shape) / 8),
});
export const weights = (...shape: number[]): Operand => ({ ...f(...shape), stored: true });
export const floats = (values: readonly number[], shape = [values.length]): Operand => ({
  stored: true,
  shape,
  data: Float32Array.from(values),
});
export const ints = (...values: number[]): Operand => ({
  stored: true,
  shape: [values.length],
  data: BigInt64Array.from(values, BigInt),
});
export const int = (value: number): Operand => ({ ...ints(value), shape: [] });
export const index = (shape: readonly number[], below: number): Operand => ({
  stored: false,
  shape,
  data: BigInt64Array.from(randint(fold(key(2), drawn++), size(shape), below), BigInt),
});
export const bools = (...shape: number[]): Operand => ({
  stored: false,
  shape,
  data: Uint8Array.from(draw(shape), (v) => (v > 0 ? 1 : 0)),
});

/** A number is an integer unless it is `{ float }`. */
export type TestAttr =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | TensorProto
  | GraphProto;

export function attribute(name: string, value: TestAttr) {
  const of = (type: AttributeType, rest: object) => create(AttributeProtoSchema, { name, type, ...rest });
  if (typeof value === "number") return of(AttributeType.INT, { i: BigInt(value) });
  if (typeof value === "string") return of(AttributeType.STRING, { s: new TextEncoder().encode(value) });
  if ("$typeName" in value)
    return value.$typeName === "onnx.GraphProto"
      ? of(AttributeType.GRAPH, { g: value })
      : of(AttributeType.TENSOR, { t: value });
  if ("float" in value) return of(AttributeType.FLOAT, { f: value.float });
  if ("floats" in value) return of(AttributeType.FLOATS, { floats: [...value.floats] });
  return of(AttributeType.INTS, { ints: value.map(BigInt) });
}

export function node(
  op: string,
  input: readonly string[],
  output: readonly string[],
  attrs: Readonly<Record<string, TestAttr>> = {},
  domain = "",
): NodeProto {
  const list = Object.entries(attrs).map(([name, value]) => attribute(name, value));
  return create(NodeProtoSchema, {
    opType: op,
    domain,
    name: `the ${op}`,
    input: [...input],
    output: [...output],
    attribute: list,
  });
}

export const stored = (name: string, { shape, data }: Pick<Operand, "shape" | "data">): TensorProto =>
  create(TensorProtoSchema, {
    name,
    dims: shape.map(BigInt),
    dataType: typeOf(data),
    rawData: Uint8Array.from(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  });

/** A size that is a string is a name. */
export const described = (
  name: string,
  shape: readonly (number | string)[] | null,
  elemType = DataType.FLOAT,
): ValueInfoProto =>
  create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, {
      value: {
        case: "tensorType",
        value: create(TypeProto_TensorSchema, {
          elemType,
          shape:
            shape === null
              ? undefined
              : create(TensorShapeProtoSchema, {
                  dim: shape.map((d) =>
                    create(TensorShapeProto_DimensionSchema, {
                      value:
                        typeof d === "number" ? { case: "dimValue", value: BigInt(d) } : { case: "dimParam", value: d },
                    }),
                  ),
                }),
        }),
      },
    }),
  });

export const graphProto = (parts: {
  node: NodeProto[];
  initializer?: TensorProto[];
  input?: ValueInfoProto[];
  output: ValueInfoProto[];
}): GraphProto => create(GraphProtoSchema, { name: "test", ...parts });

export function modelBytes(graph: GraphProto, opset: number): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: opset > 22 ? 11n : 8n,
      graph,
      opsetImport: [
        create(OperatorSetIdProtoSchema, { domain: "", version: BigInt(opset) }),
        create(OperatorSetIdProtoSchema, { domain: "com.microsoft", version: 1n }),
      ],
    }),
  );
}

export interface Single {
  readonly bytes: Uint8Array;
  readonly fed: ReadonlyMap<string, Operand>;
}

/** One node on operands (null: left out), with float outputs y0, y1, …. */
export function single(
  op: string,
  operands: readonly (Operand | null)[],
  attrs: Readonly<Record<string, TestAttr>>,
  { opset, outputs = 1, type = DataType.FLOAT }: { opset: number; outputs?: number; type?: DataType },
): Single {
  const [domain, name] = op.includes(".") ? ["com.microsoft", op.split(".").at(-1) ?? op] : ["", op];
  const named = operands.map((x, i) => [x ? `x${i}` : "", x] as const);
  const present = named.flatMap(([n, x]) => (x ? [[n, x] as const] : []));
  const ys = Array.from({ length: outputs }, (_, i) => `y${i}`);
  const graph = graphProto({
    node: [
      node(
        name,
        named.map(([n]) => n),
        ys,
        attrs,
        domain,
      ),
    ],
    initializer: present.filter(([, x]) => x.stored).map(([n, x]) => stored(n, x)),
    input: present.filter(([, x]) => !x.stored).map(([n, x]) => described(n, x.shape, typeOf(x.data))),
    output: ys.map((y) => described(y, null, type)),
  });
  return { bytes: modelBytes(graph, opset), fed: new Map(present.filter(([, x]) => !x.stored)) };
}
