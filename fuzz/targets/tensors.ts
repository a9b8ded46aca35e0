// Files of tensors: safetensors, shards, torch.save, textual inversions, LoRAs, single files.
import { crc32 } from "node:zlib";
import {
  readSafetensors,
  type StoredDtype,
  safetensorsChunks,
  type WritableTensor,
} from "../../src/data/safetensors.ts";
import { memorySource } from "../../src/data/source.ts";
import { indexFile, indexShards, readTensor } from "../../src/data/tensorIndex.ts";
import { isTensor, readTorchFile } from "../../src/data/torchFile.ts";
import { readLora } from "../../src/diffusers/lora.ts";
import { isSingleFile, splitSingleFile } from "../../src/diffusers/singleFile.ts";
import { readTextualInversion } from "../../src/diffusers/textualInversion.ts";
import type { Json } from "../mutate.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { difference, type Input, one, otherValues, type Target, utf8 } from "../target.ts";

const joined = (parts: Iterable<Uint8Array>) => new Uint8Array(Buffer.concat([...parts]));
const widths: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
};
const others = ["F8_E4M3", "F4", "U64", "C64", "Q8"];

interface Header {
  [key: string]: Json;
}

/** Random tensors: a header and the bytes behind it. */
function tensors(
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
function file(rng: Rng, { header, data }: { header: Header; data: Uint8Array }): Uint8Array {
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
function expected(bytes: Uint8Array, name: string): { dtype: string; values: (number | bigint)[]; shape: number[] } {
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

const u16 = (n: number) => Uint8Array.of(n & 255, (n >> 8) & 255);
const u32 = (n: number) => Uint8Array.of(n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >>> 24) & 255);

/** A zip of stored files; numbers of its fields are wrong now and then. */
function zip(rng: Rng, files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const off = (n: number) => (rng.chance(0.01) ? Math.abs(Math.trunc(mutate.number(rng, n) || 0)) : n);
  const [locals, entries]: [Uint8Array[], Uint8Array[]] = [[], []];
  let at = 0;
  for (const [name, data] of Object.entries(files)) {
    const path = utf8(name);
    const sum = rng.chance(0.02) ? rng.int(2 ** 31) : crc32(data);
    const sizes = () => [u32(sum), u32(off(data.length)), u32(off(data.length))];
    const extra = rng.chance(0.3) ? new Uint8Array(rng.int(40)) : new Uint8Array(0);
    const local = joined([
      u32(0x04034b50),
      u16(20),
      u16(0),
      u16(0),
      u16(0),
      u16(0),
      ...sizes(),
      u16(off(path.length)),
      u16(off(extra.length)),
      path,
      extra,
      data,
    ]);
    entries.push(
      joined([
        u32(0x02014b50),
        u16(20),
        u16(20),
        u16(0),
        u16(off(0)),
        u16(0),
        u16(0),
        ...sizes(),
        u16(off(path.length)),
        u16(0),
        u16(0),
        u16(0),
        u16(0),
        u32(0),
        u32(off(at)),
        path,
      ]),
    );
    locals.push(local);
    at += local.length;
  }
  const directory = joined(entries);
  const count = off(entries.length);
  return joined([
    ...locals,
    directory,
    u32(0x06054b50),
    u16(0),
    u16(0),
    u16(count),
    u16(count),
    u32(off(directory.length)),
    u32(off(at)),
    u16(0),
  ]);
}

const text = (s: string) => joined([utf8("X"), u32(utf8(s).length), utf8(s)]);
const integer = (n: number) => (n >= 0 && n < 256 ? Uint8Array.of(0x4b, n) : joined([utf8("J"), u32(n)]));
const kinds: readonly string[] = ["FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage", "LongStorage"];

/** A pickle of a dictionary of tensors, by the operations that torch.save writes. */
function pickled(rng: Rng, names: readonly string[], storages: Record<string, Uint8Array>): Uint8Array {
  const off = (n: number) => (rng.chance(0.03) ? Math.trunc(mutate.number(rng, n) || 0) | 0 : n);
  const parts: Uint8Array[] = [Uint8Array.of(0x80, rng.chance(0.99) ? 2 : rng.int(9)), utf8("}q\x00(")];
  names.forEach((name, k) => {
    const shape = Array.from({ length: 1 + rng.int(2) }, () => 1 + rng.int(4));
    const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
    if (rng.chance(0.1)) strides.reverse();
    storages[String(k)] = Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) * 8 }, () => rng.int(256));
    parts.push(
      ...[
        text(name),
        utf8("ctorch._utils\n_rebuild_tensor_v2\nq\x01(("),
        text("storage"),
        utf8(`ctorch\n${rng.pick(kinds)}\n`),
        text(String(k)),
        text("cpu"),
      ],
      ...[
        integer(off(4)),
        utf8("tQ"),
        integer(off(0)),
        utf8("("),
        ...shape.map((n) => integer(off(n))),
        utf8("t("),
        ...strides.map((n) => integer(off(n))),
        utf8("t"),
      ],
      ...[Uint8Array.of(0x89), utf8("ccollections\nOrderedDict\n)RtR")],
    );
  });
  parts.push(utf8(names.length > 0 ? "u." : "0}."));
  const whole = joined(parts);
  if (rng.chance(0.05)) return mutate.bytes(rng, whole, utf8("(lp0\n\x8a\xff\x95\x00RQ0hj\x93\x94b"));
  return rng.chance(0.15) ? mutate.bytes(rng, whole) : whole;
}

function torchFile(rng: Rng, names: readonly string[]): Uint8Array {
  const storages: Record<string, Uint8Array> = {};
  const pickle = pickled(rng, names, storages);
  const files = Object.fromEntries(Object.entries(storages).map(([key, bytes]) => [`a/data/${key}`, bytes]));
  const whole = zip(rng, {
    "a/data.pkl": pickle,
    ...(rng.chance(0.5) ? { "a/byteorder": utf8("little") } : {}),
    ...files,
    "a/version": utf8("3\n"),
  });
  return rng.chance(0.1) ? mutate.bytes(rng, whole) : whole;
}

/** The sums of the stored files by the zip's directory. */
function damagedSum(bytes: Uint8Array): string | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = buffer.lastIndexOf("PK\x05\x06", undefined, "latin1");
  let at = buffer.readUInt32LE(end + 16);
  for (let k = buffer.readUInt16LE(end + 10); k > 0; k--) {
    const [sum, size, name, local] = [
      buffer.readUInt32LE(at + 16),
      buffer.readUInt32LE(at + 20),
      buffer.readUInt16LE(at + 28),
      buffer.readUInt32LE(at + 42),
    ];
    const start = local + 30 + buffer.readUInt16LE(local + 26) + buffer.readUInt16LE(local + 28);
    if (sum !== 0 && crc32(buffer.subarray(start, start + size)) !== sum)
      return `${buffer.toString("utf8", at + 46, at + 46 + name)} is not what its sum says`;
    at += 46 + name + buffer.readUInt16LE(at + 30) + buffer.readUInt16LE(at + 32);
  }
  return undefined;
}

const torch = async (): Promise<Target> => ({
  make: (rng) =>
    one(
      torchFile(
        rng,
        Array.from({ length: rng.int(4) }, (_, k) => `weight.${k}`),
      ),
    ),
  read({ file: bytes }) {
    const value = readTorchFile(bytes, "a.pt");
    if (value instanceof Map)
      for (const [name, tensor] of value)
        if (isTensor(tensor) && tensor.data.length !== tensor.shape.reduce((a, b) => a * b, 1))
          return `${String(name)} has ${tensor.data.length} values`;
    return damagedSum(bytes);
  },
});

const textualInversion = async (): Promise<Target> => ({
  make(rng): Input {
    if (rng.chance(0.4)) return { "word.pt": torchFile(rng, [rng.pick(["<cat>", "*", "string_to_param"])]) };
    const name = rng.pick(["emb_params", "<cat>", "word"]);
    return {
      "word.safetensors": file(
        rng,
        tensors(rng, [name, ...(rng.chance(0.1) ? ["more"] : [])], () => [1 + rng.int(3), 4].slice(rng.int(2)), [
          "F32",
          "F16",
          "F32",
          "I64",
        ]),
      ),
    };
  },
  read(files) {
    const [name] = Object.keys(files);
    const { token, vectors } = readTextualInversion(files[name], name);
    if (new Set(vectors.map(({ length }) => length)).size !== 1 || vectors[0].length === 0)
      return "vectors of several lengths, or none";
    if (name.endsWith(".pt")) return damagedSum(files[name]);
    const key =
      token === "word" && JSON.stringify(new TextDecoder().decode(files[name])).includes("emb_params")
        ? "emb_params"
        : token;
    const wanted = expected(files[name], key);
    return otherValues(
      vectors.flatMap((v) => [...v]),
      wanted.values,
      "vectors",
    );
  },
});

const modules = ["unet.down_blocks.0.attn.to_q", "unet.mid_block.proj_in", "text_encoder.layers.0.q_proj"];
const lora = async (): Promise<Target> => ({
  make(rng) {
    const rank = 1 + rng.int(3);
    const kohya = rng.chance(0.4);
    const names = modules.slice(0, 1 + rng.int(3)).flatMap((name) => {
      const base = kohya ? `lora_${name.replaceAll(".", "_").replace("text_encoder", "te")}` : name;
      const [down, up] = kohya ? [".lora_down.weight", ".lora_up.weight"] : [".lora_A.weight", ".lora_B.weight"];
      return [base + down, base + up, ...(kohya && rng.chance(0.7) ? [`${base}.alpha`] : [])];
    });
    const made = tensors(
      rng,
      names.map((name) => (rng.chance(0.03) ? mutate.text(rng, name) : name)),
      (name) => (/alpha/.test(name) ? [] : /lora_down|lora_A/.test(name) ? [rank, 4] : [4, rank]),
      ["F32", "F16", "BF16"],
    );
    if (rng.chance(0.2))
      made.header.__metadata__ = {
        lora_adapter_metadata: mutate.jsonText(
          mutate.json(rng, { "unet.lora_alpha": 4, "unet.alpha_pattern": { "mid_block.proj_in": 2 } }),
        ),
      };
    return { "lora.safetensors": file({ ...rng, chance: (p) => rng.chance(p / 3) }, made) };
  },
  async read(files) {
    const index = await indexFile(memorySource(files, "l"), "lora.safetensors");
    const found = await readLora(index);
    const used = found.reduce((n, { up, down }) => n + up.length + down.length, 0);
    const stored = [...index.tensors].reduce(
      (n, [name, { shape }]) => n + (/alpha$/.test(name) ? 0 : shape.reduce((a, b) => a * b, 1)),
      0,
    );
    if (used !== stored) return `${used} values of ${stored}`;
    const bad = found.find(({ alpha }) => !Number.isFinite(alpha));
    return bad ? `${bad.key} has the alpha ${bad.alpha}` : undefined;
  },
});

const originals = [
  ...[
    "input_blocks.0.0.weight",
    "input_blocks.1.0.in_layers.0.weight",
    "input_blocks.3.0.op.weight",
    "middle_block.1.proj_in.weight",
    "out.2.bias",
  ].map((n) => `model.diffusion_model.${n}`),
  ...[
    "encoder.down.0.block.0.norm1.weight",
    "decoder.up.1.upsample.conv.weight",
    "decoder.mid.attn_1.q.weight",
    "quant_conv.weight",
  ].map((n) => `first_stage_model.${n}`),
  ...[
    "cond_stage_model.transformer.text_model.final_layer_norm.weight",
    "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight",
    "conditioner.embedders.1.model.text_projection",
    "alphas_cumprod",
  ],
];
const singleFile = async (): Promise<Target> => ({
  make(rng) {
    const names = originals
      .filter(() => rng.chance(0.6))
      .map((name) => (rng.chance(0.05) ? mutate.text(rng, name) : name));
    return {
      "model.safetensors": file(
        { ...rng, chance: (p) => rng.chance(p / 4) },
        tensors(
          rng,
          [...new Set(names)],
          (name) => (/in_proj/.test(name) ? [3, 2] : /projection/.test(name) ? [2, 3] : [2, 2, 1, 1].slice(rng.int(4))),
          ["F16", "F32"],
        ),
      ),
    };
  },
  async read(files) {
    const index = await indexFile(memorySource(files, "s"), "model.safetensors");
    isSingleFile(index);
    const { parts, ignored } = splitSingleFile(index);
    const bytes = [...parts.values()]
      .flatMap(({ tensors: of }) => [...of.values()])
      .reduce((n, { start, end }) => n + end - start, 0);
    const all = [...index.tensors.values()].reduce((n, { start, end }) => n + end - start, 0);
    for (const part of parts.values())
      for (const name of part.tensors.keys()) await readTensor(part, name).catch((e: Error) => e);
    return bytes > all || (ignored.length === 0 && bytes !== all) ? `${bytes} bytes of ${all} are used` : undefined;
  },
});

export const tensorFiles = { safetensors, shards, torch, textualInversion, lora, singleFile };
