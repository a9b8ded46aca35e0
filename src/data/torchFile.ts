// Tensors from files of torch.save (zip, PyTorch 1.6 and later) by a reader of pickles that knows nothing but tensors,
// dictionaries, lists, strings and numbers: a file that names anything else is refused, and nothing of it is ever run.
import { brief } from "../core/show.ts";
import { fromBfloat, fromHalf } from "./half.ts";
import { type Pickled, PickledGlobal, unpickle } from "./pickle.ts";
import { storedFiles } from "./zip.ts";

export interface TorchTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** What a file holds: maps by name, lists, and tensors of floats. */
export type TorchValue =
  | TorchTensor
  | string
  | number
  | bigint
  | boolean
  | null
  | TorchValue[]
  | Map<unknown, TorchValue>;

const storages: Readonly<Record<string, { size: number; read(bytes: Uint8Array): Float32Array }>> = {
  FloatStorage: { size: 4, read: (b) => new Float32Array(aligned(b)) },
  DoubleStorage: { size: 8, read: (b) => Float32Array.from(new Float64Array(aligned(b))) },
  HalfStorage: { size: 2, read: (b) => fromHalf(new Uint16Array(aligned(b))) },
  BFloat16Storage: { size: 2, read: (b) => fromBfloat(new Uint16Array(aligned(b))) },
};

/** A copy: what is read from a file may start anywhere. */
const aligned = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

/** Reads a whole file. Throws an Error, one sentence, for every other kind of file and for everything but tensors in it. */
export function readTorchFile(bytes: Uint8Array, name = "the file"): TorchValue {
  const files = storedFiles(bytes, name);
  const pickle = [...files.keys()].find((path) => path === "data.pkl" || path.endsWith("/data.pkl"));
  if (pickle === undefined) throw new Error(`${name} has no data.pkl: it was not written by torch.save.`);
  const folder = pickle.slice(0, -"data.pkl".length);
  const order = files.get(`${folder}byteorder`);
  if (order && new TextDecoder().decode(order) !== "little")
    throw new Error(`${name} was written on a big-endian machine, which is not supported.`);
  const bad = (why: string) => new Error(`${name} is no file of tensors: ${why}.`);

  const rebuild = (args: readonly Pickled[]): TorchTensor => {
    const [storage, offset, shape, strides] = args;
    if (!(storage instanceof Storage)) throw bad("a tensor has no storage");
    if (typeof offset !== "number" || !isCounts(shape) || !isCounts(strides) || strides.length !== shape.length)
      throw bad("a tensor's place or shape is damaged");
    const count = shape.reduce((n, d) => n * d, 1);
    const values = storage.values();
    const last = shape.reduce((at, d, i) => at + Math.max(0, d - 1) * strides[i], offset);
    // A view that repeats its storage could claim any size; weights never do.
    if (count > values.length || (count > 0 && last >= values.length)) throw bad("a tensor reaches beyond its storage");
    const data = new Float32Array(count);
    for (let i = 0; i < count; i++) {
      let rest = i;
      let at = offset;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        at += (rest % shape[axis]) * strides[axis];
        rest = Math.floor(rest / shape[axis]);
      }
      data[i] = values[at];
    }
    return { shape, data };
  };

  class Storage {
    constructor(
      readonly kind: string,
      readonly key: string,
    ) {}
    values(): Float32Array {
      const stored = files.get(`${folder}data/${this.key}`);
      const format = Object.hasOwn(storages, this.kind) ? storages[this.kind] : undefined;
      if (!stored) throw bad(`it has no storage "${brief(this.key, 60)}"`);
      if (!format) throw bad(`storage "${brief(this.key, 60)}" is a ${brief(this.kind, 60)}, expected floats`);
      if (stored.length % format.size !== 0) throw bad(`storage "${brief(this.key, 60)}" is cut off`);
      return format.read(stored);
    }
  }

  const value = unpickle(files.get(pickle)!, {
    name: `${name}/${brief(pickle, 60)}`,
    global({ module, name: symbol }, args) {
      const full = `${module}.${symbol}`;
      if (full === "torch._utils._rebuild_tensor_v2") return rebuild(args);
      if (full === "torch._utils._rebuild_parameter") return args[0];
      if (full === "collections.OrderedDict" && args.length === 0) return new Map();
      throw bad(`it asks for ${brief(full, 80)}, and only tensors are read`);
    },
    persistent(id) {
      if (!Array.isArray(id) || id[0] !== "storage" || !(id[1] instanceof PickledGlobal) || typeof id[2] !== "string")
        throw bad("it refers to something that is no storage");
      return new Storage(id[1].name, id[2]);
    },
  });
  return plain(value, bad);
}

/** Whether all of it is what the type says; a name that was never called is refused, too. What is shared is seen once. */
function plain(value: Pickled, bad: (why: string) => Error): TorchValue {
  const seen = new Set<unknown>();
  const left = [value];
  while (left.length > 0) {
    const one = left.pop();
    if (one === null || ["string", "number", "bigint", "boolean"].includes(typeof one) || isTensor(one)) continue;
    if (seen.has(one)) continue;
    seen.add(one);
    if (Array.isArray(one) || one instanceof Map) left.push(...one.values());
    else throw bad("it holds something that is neither a tensor nor a plain value");
  }
  return value as TorchValue;
}

export const isTensor = (value: unknown): value is TorchTensor =>
  typeof value === "object" && value !== null && "data" in value && value.data instanceof Float32Array;

const isCounts = (x: unknown): x is number[] => Array.isArray(x) && x.every((n) => Number.isSafeInteger(n) && n >= 0);
