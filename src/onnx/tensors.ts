// The arrays stored in a model file, of whatever type and wherever they lie, as float32, whole numbers or bools.

import { TensorProto_DataLocation as DataLocation, TensorProto_DataType as DataType, type TensorProto } from "onnx-buf";
import { fromBfloat, fromHalf } from "../data/half.ts";
import type { DType } from "../graph/index.ts";
import { sizeOf } from "../graph/tensor.ts";
import { type Host, host } from "./host.ts";
import { shown } from "./limits.ts";

/** The files that large models keep their weights in, by the name that the model calls them. */
export type ExternalData = ReadonlyMap<string, Uint8Array>;

export interface StoredArray {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** The other file that holds it, if any. */
  readonly location: string | undefined;
  /** Throws an Error where the other file is missing or too short. */
  read(): Host;
  /** As stored, for an array in another file. */
  bytes(): Uint8Array<ArrayBuffer>;
}

const KINDS: Readonly<Record<number, DType>> = {
  [DataType.FLOAT]: "float32",
  [DataType.FLOAT16]: "float32",
  [DataType.BFLOAT16]: "float32",
  [DataType.DOUBLE]: "float32",
  [DataType.INT8]: "int64",
  [DataType.UINT8]: "int64",
  [DataType.INT16]: "int64",
  [DataType.UINT16]: "int64",
  [DataType.INT32]: "int64",
  [DataType.UINT32]: "int64",
  [DataType.INT64]: "int64",
  [DataType.UINT64]: "int64",
  [DataType.BOOL]: "bool",
};

/** What a type of ONNX is here. Throws an Error for strings, complex numbers and numbers of less than 8 bits. */
export function dtypeOf(type: number, what: string): DType {
  const dtype = KINDS[type];
  if (!dtype)
    throw new Error(
      `${what} is of ${type === DataType.UNDEFINED ? "no type" : `type ${DataType[type] ?? type}`}, which is not supported; expected floats, integers or bools.`,
    );
  return dtype;
}

export function storedArray(proto: TensorProto, external: ExternalData | undefined): StoredArray {
  const name = proto.name || "a constant";
  const shape = proto.dims.map(Number);
  if (!shape.every((d) => Number.isSafeInteger(d) && d >= 0))
    throw new Error(
      `"${name}" has the shape ${shown(shape)}, expected whole numbers of at least 0: the file is damaged.`,
    );
  const entry = (key: string) => proto.externalData.find((e) => e.key === key)?.value;
  const location = proto.dataLocation === DataLocation.EXTERNAL ? entry("location") : undefined;
  const dtype = dtypeOf(proto.dataType, `"${name}"`);
  const bytes = (): Uint8Array<ArrayBuffer> => {
    const file = location === undefined ? proto.rawData : external?.get(location);
    if (!file) throw new Error(`"${name}" lies in the file "${location}", which was not given.`);
    const from = Number(entry("offset") ?? 0);
    const length = sizeOf(shape) * WIDTH[proto.dataType];
    if (from + length > file.length)
      throw new Error(
        `"${name}" needs bytes ${from} to ${from + length} of "${location}", which has only ${file.length}: it is cut off.`,
      );
    // A copy in a buffer of its own (Node's slices are none), so that every view is aligned.
    return new Uint8Array(file.subarray(from, from + length));
  };
  return {
    name: proto.name,
    shape,
    dtype,
    location,
    bytes,
    read: () =>
      host(dtype, shape, location === undefined ? inFile(proto, sizeOf(shape)) : decode(proto.dataType, bytes())),
  };
}

const WIDTH: Readonly<Record<number, number>> = {
  [DataType.FLOAT]: 4,
  [DataType.FLOAT16]: 2,
  [DataType.BFLOAT16]: 2,
  [DataType.DOUBLE]: 8,
  [DataType.INT8]: 1,
  [DataType.UINT8]: 1,
  [DataType.INT16]: 2,
  [DataType.UINT16]: 2,
  [DataType.INT32]: 4,
  [DataType.UINT32]: 4,
  [DataType.INT64]: 8,
  [DataType.UINT64]: 8,
  [DataType.BOOL]: 1,
};

function inFile(p: TensorProto, size: number): ArrayLike<number> {
  const type = p.dataType;
  if (p.rawData.length > 0 || size === 0) {
    if (p.rawData.length !== size * WIDTH[type])
      throw new Error(
        `"${p.name}" has ${p.rawData.length} bytes, expected ${size * WIDTH[type]}: the file is damaged.`,
      );
    return decode(type, new Uint8Array(p.rawData));
  }
  if (type === DataType.FLOAT) return p.floatData;
  if (type === DataType.DOUBLE) return p.doubleData;
  if (type === DataType.INT64) return p.int64Data.map(Number);
  if (type === DataType.UINT64 || type === DataType.UINT32) return p.uint64Data.map(Number);
  // 16-bit floats are kept as their bits.
  if (type === DataType.FLOAT16) return fromHalf(Uint16Array.from(p.int32Data));
  if (type === DataType.BFLOAT16) return fromBfloat(Uint16Array.from(p.int32Data));
  return p.int32Data;
}

/** The bytes fill their buffer. */
function decode(type: number, { buffer }: Uint8Array<ArrayBuffer>): ArrayLike<number> {
  if (type === DataType.FLOAT) return new Float32Array(buffer);
  if (type === DataType.FLOAT16) return fromHalf(new Uint16Array(buffer));
  if (type === DataType.BFLOAT16) return fromBfloat(new Uint16Array(buffer));
  if (type === DataType.DOUBLE) return new Float64Array(buffer);
  if (type === DataType.INT8) return new Int8Array(buffer);
  if (type === DataType.INT16) return new Int16Array(buffer);
  if (type === DataType.UINT16) return new Uint16Array(buffer);
  if (type === DataType.INT32) return new Int32Array(buffer);
  if (type === DataType.UINT32) return new Uint32Array(buffer);
  if (type === DataType.INT64) return Float64Array.from(new BigInt64Array(buffer), Number);
  if (type === DataType.UINT64) return Float64Array.from(new BigUint64Array(buffer), Number);
  return new Uint8Array(buffer);
}
