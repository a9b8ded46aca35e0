// The safetensors format: 8 bytes of header length, a JSON header, raw little-endian tensors.
// https://github.com/huggingface/safetensors#format . Order and padding are the reference writer's, so files are byte-exact.

import { brief } from "../core/show.ts";
import { fromBfloat, fromHalf, toBfloat, toHalf } from "./half.ts";
import {
  bytesPer,
  headerLength,
  isStored,
  parseHeader,
  rank,
  readableType,
  type StoredDtype,
  type TensorEntry,
} from "./safetensorsHeader.ts";

export type TensorData =
  | Float32Array
  | Float64Array
  | BigInt64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/**
 * `data` is a Float32Array for F32, F16 and BF16, else the array of `dtype` (Uint8Array for BOOL). Row-major. Of a tensor of a type
 * that is not read, asking a whole file's `readSafetensors` for `data` throws an Error that names tensor and type.
 */
export interface StoredTensor {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A tensor to write. Without `dtype` it is stored as what `data` is. */
export interface WritableTensor {
  readonly dtype?: StoredDtype;
  readonly shape: readonly number[];
  readonly data: TensorData;
}
export type WritableTensors = ReadonlyMap<string, WritableTensor> | Readonly<Record<string, WritableTensor>>;

/** Reads a whole file. `name` is the file's, for messages. Throws an Error on anything that is not safetensors. */
export function readSafetensors(bytes: Uint8Array, name = "safetensors data"): Safetensors {
  const length = headerLength(bytes, bytes.length, name);
  const header = parseHeader(bytes.subarray(8, 8 + length), bytes.length, name);
  const tensors = new Map<string, StoredTensor>();
  for (const [key, entry] of header.entries) {
    tensors.set(key, tensorOf(bytes.subarray(entry.start, entry.end), entry, key, name));
  }
  return { tensors, metadata: header.metadata };
}

/** Decoded at once, or, of a type that is not read, when its data are asked for. */
function tensorOf(bytes: Uint8Array, entry: TensorEntry, key: string, name: string): StoredTensor {
  if (isStored(entry.dtype)) return decodeTensor(bytes, entry);
  return {
    dtype: entry.dtype as StoredDtype,
    shape: entry.shape,
    get data(): TensorData {
      readableType(key, entry, name);
      throw new Error(`"${brief(key)}" is not read.`);
    },
  };
}

/**
 * The tensor in `bytes` (exactly its own), of a type that `readableType` lets through. F32 and wider share the memory of
 * `bytes` where alignment allows.
 */
export function decodeTensor(
  bytes: Uint8Array,
  { dtype: type, shape }: Pick<TensorEntry, "dtype" | "shape">,
): StoredTensor {
  const dtype = type as StoredDtype;
  const size = bytesPer[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  const n = bytes.length / size;
  const decode: Record<StoredDtype, () => TensorData> = {
    BOOL: () => aligned,
    U8: () => aligned,
    I8: () => new Int8Array(buffer, byteOffset, n),
    I16: () => new Int16Array(buffer, byteOffset, n),
    U16: () => new Uint16Array(buffer, byteOffset, n),
    F16: () => fromHalf(new Uint16Array(buffer, byteOffset, n)),
    BF16: () => fromBfloat(new Uint16Array(buffer, byteOffset, n)),
    I32: () => new Int32Array(buffer, byteOffset, n),
    U32: () => new Uint32Array(buffer, byteOffset, n),
    F32: () => new Float32Array(buffer, byteOffset, n),
    F64: () => new Float64Array(buffer, byteOffset, n),
    I64: () => new BigInt64Array(buffer, byteOffset, n),
  };
  return { dtype, shape, data: decode[dtype]() };
}

/** What every engine can hold in one array of bytes; pieces have no limit together. */
const LARGEST_ARRAY = 2 ** 32;

/** A whole file in memory. Throws a RangeError above 4 GiB: `safetensorsChunks` has no limit. */
export function writeSafetensors(tensors: WritableTensors, metadata: Record<string, string> = {}): Uint8Array {
  const chunks = [...safetensorsChunks(tensors, metadata)];
  const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (total > LARGEST_ARRAY)
    throw new RangeError(`A file of ${total} bytes is too large for one array. Write the pieces of safetensorsChunks.`);
  const out = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** The pieces of a file in order: header, then one tensor at a time. Throws a RangeError where shape and data disagree. */
export function* safetensorsChunks(
  tensors: WritableTensors,
  metadata: Record<string, string> = {},
): Generator<Uint8Array> {
  const list = (tensors instanceof Map ? [...tensors] : Object.entries(tensors)).map(
    ([key, tensor]: [string, WritableTensor]) => ({ key, ...tensor, dtype: tensor.dtype ?? dtypeOf(tensor.data) }),
  );
  for (const { key, shape, data } of list) checkCount(key, shape, data);
  const { header, order } = safetensorsLayout(list, metadata);
  yield header;
  for (const { key, dtype, data } of order) yield encodeTensor(key, dtype, data);
}

/** A tensor whose values are made when its turn comes. */
export interface LazyTensor {
  readonly key: string;
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  data(): Promise<TensorData>;
}

/** The same for tensors that are too large to be held together: one at a time. Bytes are as those of `safetensorsChunks`. */
export async function* lazyChunks(
  tensors: readonly LazyTensor[],
  metadata: Record<string, string> = {},
): AsyncGenerator<Uint8Array> {
  const { header, order } = safetensorsLayout(tensors, metadata);
  yield header;
  for (const { key, dtype, shape, data } of order) {
    const values = await data();
    checkCount(key, shape, values);
    yield encodeTensor(key, dtype, values);
  }
}

function checkCount(key: string, shape: readonly number[], data: TensorData): void {
  const count = shape.reduce((product, n) => product * n, 1);
  if (data.length === count) return;
  throw new RangeError(`"${key}" has ${data.length} values, expected ${count} for the shape [${shape.join(", ")}].`);
}

/** The header of a file with these tensors, and the order in which their bytes follow. */
export function safetensorsLayout<
  T extends { readonly key: string; readonly dtype: StoredDtype; readonly shape: readonly number[] },
>(tensors: readonly T[], metadata: Record<string, string> = {}): { header: Uint8Array; order: T[] } {
  const order = [...tensors].sort(
    (a, b) => rank.indexOf(b.dtype) - rank.indexOf(a.dtype) || compareBytes(a.key, b.key),
  );
  const entries: [string, unknown][] = [];
  let at = 0;
  for (const { key, dtype, shape } of order) {
    if (key === "__metadata__") throw new RangeError('"__metadata__" cannot name a tensor in safetensors.');
    const end = at + shape.reduce((product, n) => product * n, bytesPer[dtype]);
    entries.push([key, { dtype, shape, data_offsets: [at, end] }]);
    at = end;
  }
  if (Object.keys(metadata).length > 0) entries.unshift(["__metadata__", metadata]);
  // Written by hand: an object would put names like "7" first.
  const text = `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`;
  const json = new TextEncoder().encode(text);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return { header, order };
}

/** The bytes of a tensor; a Float32Array is rounded where F16 or BF16 is asked for. Throws a RangeError where it cannot be. */
export function encodeTensor(key: string, dtype: StoredDtype, data: TensorData): Uint8Array {
  const raw = (array: TensorData) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  if (data instanceof Float32Array && dtype === "F16") return raw(toHalf(data));
  if (data instanceof Float32Array && dtype === "BF16") return raw(toBfloat(data));
  if (dtypeOf(data) === dtype || (dtype === "BOOL" && data instanceof Uint8Array)) return raw(data);
  throw new RangeError(`"${key}" is a ${data.constructor.name}, which cannot be stored as ${dtype}.`);
}

function dtypeOf(data: TensorData): StoredDtype {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof BigInt64Array) return "I64";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof Uint32Array) return "U32";
  if (data instanceof Int16Array) return "I16";
  if (data instanceof Uint16Array) return "U16";
  return data instanceof Int8Array ? "I8" : "U8";
}

/** The values of a floating point tensor as float32. Throws an Error if it is missing or not floating point. */
export function floatsOf(tensors: ReadonlyMap<string, StoredTensor>, key: string): Float32Array {
  const tensor = tensors.get(key);
  if (!tensor) throw new Error(`The file has no tensor "${brief(key)}".`);
  if (tensor.data instanceof Float32Array) return tensor.data;
  if (tensor.data instanceof Float64Array) return Float32Array.from(tensor.data);
  throw new Error(`"${key}" is stored as ${tensor.dtype}, expected a floating point type.`);
}

/** Order of the UTF-8 bytes, as the reference sorts names; UTF-16 order differs above U+FFFF. */
function compareBytes(a: string, b: string): number {
  const [x, y] = [[...a], [...b]];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    const difference = (x[i].codePointAt(0) ?? 0) - (y[i].codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return x.length - y.length;
}
