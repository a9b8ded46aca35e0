// Files of torch.save: a zip with a pickle.
import { crc32 } from "node:zlib";
import { isTensor, readTorchFile } from "../../src/data/torchFile.ts";
import * as mutate from "../mutate.ts";
import type { Rng } from "../random.ts";
import { one, type Target, utf8 } from "../target.ts";
import { joined } from "./safetensors.ts";

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

export function torchFile(rng: Rng, names: readonly string[]): Uint8Array {
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
export function damagedSum(bytes: Uint8Array): string | undefined {
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

export const torchFiles = { torch };
