import { readSafetensors, safetensorsChunks, type WritableTensor } from "../../src/data/safetensors.ts";
import { bytesPer, type StoredDtype } from "../../src/data/safetensorsHeader.ts";
import { memorySource } from "../../src/data/source.ts";
import { indexShards, readTensor } from "../../src/data/tensorIndex.ts";
import type { Json } from "../mutate.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { difference, one, otherValues, type Target, utf8 } from "../target.ts";

export const joined = (parts: Iterable<Uint8Array>) => new Uint8Array(Buffer.concat([...parts]));
const widths: Readonly<Record<string, number>> = bytesPer;
const others = ["F8_E4M3", "F4", "U64", "C64", "Q8"];

interface Header {
  [key: string]: Json;
}

/** Random tensors: a header and the bytes behind it. */
export function tensors(
  rng: Rng,
  names: readonly string[],
  shapeOf: (name: string) => number[],
  types = Object.keys(widths),
): { header: Header; data: Uint8Array } {
  let at = 0;
  const header: Header = rng.chance(0.5) ? { __metadata__: { format: "pt" } } : {};
  for (const name of names) {
    const dtype = rng.chance(0.97) ? rng.pick(types) : rng.pick(others);
    const shape = shapeOf(name);
    const size = shape.reduce((a, b) => a * b, 1) * (widths[dtype] ?? 1);
    header[name] = { dtype, shape, data_offsets: [at, at + size] };
    at += size;
  }
  return { header, data: Uint8Array.from({ length: at }, () => rng.int(256)) };
}

/** The file, with faults in the header as values, as text and as bytes. */
export function file(rng: Rng, { header, data }: { header: Header; data: Uint8Array }): Uint8Array {
  const changed = rng.chance(0.4) ? mutate.json(rng, header) : header;
  let text = mutate.jsonText(changed);
  if (rng.chance(0.1)) text = mutate.text(rng, text);
  if (rng.chance(0.5)) text = text.padEnd(Math.ceil(text.length / 8) * 8);
  const json = utf8(text);
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(
    0,
    BigInt(json.length) + (rng.chance(0.03) ? BigInt(rng.int(2 ** 31)) << BigInt(rng.int(33)) : 0n),
    true,
  );
  const whole = joined([new Uint8Array(length.buffer), json, data]);
  return rng.chance(0.15) ? mutate.bytes(rng, whole) : whole;
}

const someShape = (rng: Rng) => () => Array.from({ length: rng.int(4) }, () => 1 + rng.int(3));
const someNames = (rng: Rng) =>
  Array.from({ length: rng.int(5) }, (_, k) => rng.pick(["a", "unet.b", "theta", "7", "é", "x"]) + k);

/** One value of a tensor, from its bits. */
function valueAt(dtype: string, view: DataView, i: number): number | bigint {
  const half = (h: number) => {
    const [sign, e, m] = [h >> 15 ? -1 : 1, (h >> 10) & 31, h & 1023];
    return e === 31
      ? m
        ? Number.NaN
        : sign * Infinity
      : sign * (e ? 2 ** (e - 15) * (1 + m / 1024) : 2 ** -14 * (m / 1024));
  };
  const wide = (h: number) => {
    const bits = new DataView(new ArrayBuffer(4));
    bits.setUint16(0, h);
    return bits.getFloat32(0);
  };
  const at = i * widths[dtype];
  const readers: Readonly<Record<string, () => number | bigint>> = {
    F16: () => half(view.getUint16(at, true)),
    BF16: () => wide(view.getUint16(at, true)),
    F32: () => view.getFloat32(at, true),
    F64: () => view.getFloat64(at, true),
    I64: () => view.getBigInt64(at, true),
    I32: () => view.getInt32(at, true),
    U32: () => view.getUint32(at, true),
    I16: () => view.getInt16(at, true),
    U16: () => view.getUint16(at, true),
    I8: () => view.getInt8(at),
  };
  return (readers[dtype] ?? (() => view.getUint8(at)))();
}

/** What a tensor of a file holds, by the words of its header. */
export function expected(
  bytes: Uint8Array,
  name: string,
): { dtype: string; values: (number | bigint)[]; shape: number[] } {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + length)).toString("utf8")) as Header;
  const { dtype, shape, data_offsets } = header[name] as { dtype: string; shape: number[]; data_offsets: number[] };
  const view = new DataView(
    bytes.buffer,
    bytes.byteOffset + 8 + length + data_offsets[0],
    data_offsets[1] - data_offsets[0],
  );
  const count = shape.reduce((a, b) => a * b, 1);
  return {
    dtype,
    shape,
    values: dtype in widths ? Array.from({ length: count }, (_, i) => valueAt(dtype, view, i)) : [],
  };
}

const safetensors = async (): Promise<Target> => ({
  make: (rng) => one(file(rng, tensors(rng, someNames(rng), someShape(rng)))),
  read({ file: bytes }) {
    const { tensors: found, metadata } = readSafetensors(bytes, "a.safetensors");
    const again: Record<string, WritableTensor> = {};
    for (const [name, tensor] of found) {
      const { dtype, values, shape } = expected(bytes, name);
      const wrong = difference([tensor.dtype, tensor.shape], [dtype, shape], name);
      if (wrong) return wrong;
      if (!(dtype in widths)) continue;
      const seen = otherValues(tensor.data as ArrayLike<number>, values, name);
      if (seen) return seen;
      again[name] = { dtype: dtype as StoredDtype, shape, data: tensor.data };
    }
    const twice = readSafetensors(joined(safetensorsChunks(new Map(Object.entries(again)), metadata)), "b");
    return difference([...twice.tensors.keys()].sort(), Object.keys(again).sort(), "names written again");
  },
});

const shards = async (): Promise<Target> => ({
  make(rng) {
    const map: { [key: string]: Json } = {};
    const files: Record<string, Uint8Array> = {};
    const count = 1 + rng.int(3);
    for (let s = 1; s <= count; s++) {
      const name = `model-0000${s}-of-0000${count}.safetensors`;
      const names = Array.from({ length: 1 + rng.int(3) }, (_, k) => `layer.${s}.${k}.weight`);
      for (const key of names) map[key] = name;
      files[`unet/${rng.chance(0.97) ? name : mutate.text(rng, name)}`] = file(
        { ...rng, chance: (p) => rng.chance(p / 8) },
        tensors(rng, names, someShape(rng)),
      );
    }
    const index: Json = { metadata: { total_size: 10 }, weight_map: map };
    const text = mutate.jsonText(rng.chance(0.6) ? mutate.json(rng, index) : index);
    return { ...files, "unet/model.safetensors.index.json": utf8(rng.chance(0.1) ? mutate.text(rng, text) : text) };
  },
  async read(files) {
    const index = await indexShards(memorySource(files, "m"), "unet/model.safetensors.index.json");
    for (const [name, { file: shard }] of index.tensors) {
      const { values, shape } = expected(files[shard], name);
      const tensor = await readTensor(index, name);
      const wrong =
        difference([...tensor.shape], shape, name) ?? otherValues(tensor.data as ArrayLike<number>, values, name);
      if (wrong) return wrong;
    }
    const said = JSON.parse(new TextDecoder().decode(files["unet/model.safetensors.index.json"])) as {
      weight_map: object;
    };
    return difference([...index.tensors.keys()].sort(), Object.keys(said.weight_map).sort(), "names");
  },
});

export const safetensorsFiles = { safetensors, shards };
