import { describe, expect, it } from "vitest";
import { readTorchFile } from "../../src/data/torchFile.ts";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
const join = (...parts: readonly Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};
const numbers = (size: 2 | 4, ...values: readonly number[]): Uint8Array => {
  const out = new DataView(new ArrayBuffer(size * values.length));
  values.forEach((value, i) => {
    if (size === 2) out.setUint16(2 * i, value, true);
    else out.setUint32(4 * i, value, true);
  });
  return new Uint8Array(out.buffer);
};

/** A zip archive of stored files, as torch.save writes it but for checksums and padding. */
function archive(files: Readonly<Record<string, Uint8Array>>, method = 0): Uint8Array {
  const locals: Uint8Array[] = [];
  const entries: Uint8Array[] = [];
  let at = 0;
  for (const [name, data] of Object.entries(files)) {
    const sizes = numbers(4, 0, data.length, data.length);
    const fixed = join(numbers(2, 0, method, 0, 0), numbers(2, 0), sizes);
    const local = join(
      numbers(4, 0x04034b50),
      numbers(2, 0),
      numbers(2, 0, method, 0, 0),
      sizes,
      numbers(2, name.length, 0),
    );
    const head = join(numbers(4, 0x02014b50), numbers(2, 0, 0), fixed.subarray(0, 2), numbers(2, method, 0, 0), sizes);
    locals.push(local, text(name), data);
    entries.push(head, numbers(2, name.length, 0, 0, 0, 0), numbers(4, 0, at), text(name));
    at += local.length + name.length + data.length;
  }
  const count = Object.keys(files).length;
  const directory = join(...entries);
  const end = join(
    numbers(4, 0x06054b50),
    numbers(2, 0, 0, count, count),
    numbers(4, directory.length, at),
    numbers(2, 0),
  );
  return join(...locals, directory, end);
}

const string = (s: string): Uint8Array => join(text("X"), numbers(4, s.length), text(s));
const small = (n: number): Uint8Array => Uint8Array.of(0x4b, n);
/** The call that torch.save writes for a tensor. */
const tensor = (kind: string, shape: readonly number[], strides: readonly number[], offset = 0) =>
  join(
    text("ctorch._utils\n_rebuild_tensor_v2\n(("),
    string("storage"),
    text(`ctorch\n${kind}\n`),
    string("0"),
    string("cpu"),
    small(4),
    text("tQ"),
    small(offset),
    text("("),
    ...shape.map(small),
    text("t("),
    ...strides.map(small),
    text("t"),
    Uint8Array.of(0x89),
    text("ccollections\nOrderedDict\n)RtR"),
  );
const dictionary = (key: string, value: Uint8Array) =>
  join(Uint8Array.of(0x80, 2), text("}"), string(key), value, text("s."));
const floats = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
const file = (pickle: Uint8Array, storage: Uint8Array = floats, method = 0) =>
  archive({ "a/data.pkl": pickle, "a/data/0": storage }, method);

describe("files of torch.save", () => {
  it("are read as tensors by name, in any order of strides", () => {
    const plain = readTorchFile(file(dictionary("w", tensor("FloatStorage", [2, 3], [3, 1]))));
    expect(plain).toEqual(new Map([["w", { shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }]]));
    const turned = readTorchFile(file(dictionary("w", tensor("FloatStorage", [2, 2], [1, 2], 1))));
    expect(turned).toEqual(new Map([["w", { shape: [2, 2], data: Float32Array.of(2, 4, 3, 5) }]]));
    const half = readTorchFile(file(dictionary("w", tensor("HalfStorage", [2], [1])), numbers(2, 0x3c00, 0xc000)));
    expect(half).toEqual(new Map([["w", { shape: [2], data: Float32Array.of(1, -2) }]]));
  });

  it("start anywhere in the memory of what holds them", () => {
    const bytes = file(dictionary("w", tensor("FloatStorage", [1], [1])));
    const shifted = Buffer.concat([Buffer.from([0]), bytes]).subarray(1);
    expect(readTorchFile(shifted)).toEqual(new Map([["w", { shape: [1], data: Float32Array.of(1) }]]));
  });

  it("may ask for nothing but tensors", () => {
    const evil = (call: string) => file(join(Uint8Array.of(0x80, 2), text(call)));
    expect(() => readTorchFile(evil("cos\nsystem\n(X\x02\0\0\0lstR."))).toThrow(
      "it asks for os.system, and only tensors are read",
    );
    expect(() => readTorchFile(evil("cos\nsystem\n."))).toThrow("neither a tensor nor a plain value");
    expect(() => readTorchFile(evil("(cos\nsystem\no."))).toThrow("has the operation 0x6f");
    expect(() => readTorchFile(evil("(X\x02\0\0\0lsios\nsystem\n."))).toThrow("has the operation 0x69");
    expect(() => readTorchFile(evil("}X\x01\0\0\0aQ."))).toThrow("refers to something that is no storage");
    expect(() => readTorchFile(evil("X\xff\xff\xff\x7f."))).toThrow("it is cut off");
    expect(() => readTorchFile(evil("R"))).toThrow("its stack is empty");
  });

  it("may not claim more than they hold", () => {
    const of = (shape: number[], strides: number[]) => file(dictionary("w", tensor("FloatStorage", shape, strides)));
    expect(() => readTorchFile(of([200, 200], [0, 0]))).toThrow("reaches beyond its storage");
    expect(() => readTorchFile(of([2, 4], [4, 1]))).toThrow("reaches beyond its storage");
    expect(() => readTorchFile(file(dictionary("w", tensor("LongStorage", [1], [1]))))).toThrow(
      "is a LongStorage, expected floats",
    );
    expect(() => readTorchFile(archive({ "a/data.pkl": dictionary("w", tensor("FloatStorage", [1], [1])) }))).toThrow(
      'no storage "0"',
    );
    // Lists that hold each other many times are looked at once.
    let nested: Uint8Array = text("]");
    for (let k = 0; k < 30; k++)
      nested = join(nested, Uint8Array.of(0x71, k), text("]"), Uint8Array.of(0x68, k, 0x61, 0x68, k, 0x61));
    expect(() => readTorchFile(file(join(Uint8Array.of(0x80, 2), nested, text("."))))).not.toThrow();
  });

  it("of another kind are refused in a sentence", () => {
    expect(() => readTorchFile(text("PK"), "x.pt")).toThrow("x.pt is no zip archive of torch.save");
    expect(() => readTorchFile(new Uint8Array(100), "x.pt")).toThrow(
      "from before PyTorch 1.6 must be loaded and saved again",
    );
    expect(() => readTorchFile(archive({ "a/b": floats }), "x.pt")).toThrow("x.pt has no data.pkl");
    expect(() => readTorchFile(file(text("."), floats, 8), "x.pt")).toThrow('"a/data.pkl" is compressed');
    const whole = file(dictionary("w", tensor("FloatStorage", [1], [1])));
    for (let n = 0; n < whole.length; n += 7) expect(() => readTorchFile(whole.subarray(0, n), "x.pt")).toThrow("x.pt");
  });
});
