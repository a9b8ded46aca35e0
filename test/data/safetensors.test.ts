import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromBfloat, fromHalf, toBfloat, toHalf } from "../../src/data/half.ts";
import { floatsOf, readSafetensors, type WritableTensor, writeSafetensors } from "../../src/data/safetensors.ts";
import { headerLength, parseHeader } from "../../src/data/safetensorsHeader.ts";

const golden = new URL("../golden/nn/", import.meta.url);

/** A file with the given header text and number of data bytes. */
function file(header: string, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(header);
  const out = new Uint8Array(8 + json.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

function thrown(make: () => unknown): string {
  try {
    make();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "";
}

describe("16-bit floats", () => {
  test("every bit pattern survives widening and narrowing, infinities and NaN payloads included", () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    expect(toHalf(fromHalf(bits))).toEqual(bits);
    expect(toBfloat(fromBfloat(bits))).toEqual(bits);
  });

  test("F16 values are the ones of IEEE 754", () => {
    const bits = Uint16Array.of(0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3c00, 0x3555, 0x7bff, 0x7c00, 0xfc00);
    const values = [0, -0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 1, 0.333251953125, 65504, Infinity, -Infinity];
    expect([...fromHalf(bits)]).toEqual(values);
  });

  test("narrowing rounds to nearest, ties to even", () => {
    const one = 1;
    const step = 2 ** -10;
    const rounded = fromHalf(
      toHalf(Float32Array.of(one + step / 2, one + 1.5 * step, one + 0.51 * step, 65519, 65520)),
    );
    expect([...rounded]).toEqual([one, one + 2 * step, one + step, 65504, Infinity]);
    // The smallest subnormal is 2^-24: half of it is a tie and goes to zero, anything above goes up.
    expect([...toHalf(Float32Array.of(2 ** -25, 1.001 * 2 ** -25, 2 ** -26, 1e-40))]).toEqual([0, 1, 0, 0]);
    const b = 2 ** -7;
    expect([...fromBfloat(toBfloat(Float32Array.of(1 + b / 2, 1 + 1.5 * b)))]).toEqual([1, 1 + 2 * b]);
  });

  test("narrowing picks the nearest representable value", () => {
    const all = [...fromHalf(Uint16Array.from({ length: 0x7c00 }, (_, i) => i))];
    fc.assert(
      fc.property(fc.float({ min: 0, max: 65504, noNaN: true }), (x) => {
        const [y] = fromHalf(toHalf(Float32Array.of(x)));
        const bits = toHalf(Float32Array.of(y))[0];
        for (const neighbor of [all[bits - 1], all[bits + 1]]) {
          if (neighbor !== undefined) expect(Math.abs(x - y)).toBeLessThanOrEqual(Math.abs(x - neighbor));
        }
      }),
    );
  });
});

describe("round trip", () => {
  const shape = fc.array(fc.nat(4), { maxLength: 4 });
  const tensor = shape.chain((dims) => {
    const n = dims.reduce((product, d) => product * d, 1);
    const fill = <T>(values: fc.Arbitrary<T>) => fc.array(values, { minLength: n, maxLength: n });
    return fc.oneof(
      fill(fc.float()).map((v) => ({ shape: dims, data: Float32Array.from(v) })),
      fill(fc.double()).map((v) => ({ shape: dims, data: Float64Array.from(v) })),
      fill(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })).map((v) => ({
        shape: dims,
        data: BigInt64Array.from(v),
      })),
      fill(fc.integer()).map((v) => ({ shape: dims, data: Int32Array.from(v) })),
      fill(fc.nat(255)).map((v) => ({ shape: dims, data: Uint8Array.from(v) })),
      fill(fc.nat(1)).map((v) => ({ shape: dims, data: Uint8Array.from(v), dtype: "BOOL" as const })),
      fill(fc.nat(65535)).map((v) => ({ shape: dims, data: fromHalf(Uint16Array.from(v)), dtype: "F16" as const })),
      fill(fc.nat(65535)).map((v) => ({ shape: dims, data: fromBfloat(Uint16Array.from(v)), dtype: "BF16" as const })),
    ) as fc.Arbitrary<WritableTensor>;
  });
  const name = fc
    .string({ minLength: 1, unit: "grapheme" })
    .filter((s) => s !== "__metadata__" && !/\p{Surrogate}/u.test(s));

  test("what was written is read, and writing it again gives the same bytes", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(name, tensor), { selector: ([key]) => key, maxLength: 6 }),
        fc.dictionary(name, fc.string()),
        (list, metadata) => {
          const bytes = writeSafetensors(new Map(list), metadata);
          const read = readSafetensors(bytes);
          expect(read.tensors.size).toBe(list.length);
          for (const [key, { shape, data, dtype }] of list) {
            const back = read.tensors.get(key);
            expect(back?.shape).toEqual(shape);
            if (dtype) expect(back?.dtype).toBe(dtype);
            expect(back?.data).toEqual(data);
          }
          expect({ ...read.metadata }).toEqual({ ...metadata });
          expect(writeSafetensors(read.tensors, { ...read.metadata })).toEqual(bytes);
          expect((8 + headerLength(bytes, bytes.length, "x")) % 8).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });

  test("files of the reference writer come back byte for byte", () => {
    const files = readdirSync(golden).filter((f) => f.endsWith(".safetensors"));
    expect(files.length).toBeGreaterThan(5);
    for (const f of files) {
      const bytes = readFileSync(new URL(f, golden));
      const { tensors, metadata } = readSafetensors(bytes, f);
      expect(Buffer.compare(writeSafetensors(tensors, { ...metadata }), bytes), f).toBe(0);
    }
  });

  test("names that look like numbers keep the order of the format", () => {
    const one = { shape: [1], data: Float32Array.of(1) };
    const bytes = writeSafetensors({ b: one, "10": one, a: { shape: [1], data: BigInt64Array.of(1n) }, "2": one });
    const header = new TextDecoder().decode(bytes.subarray(8, 8 + headerLength(bytes, bytes.length, "x")));
    expect([...header.matchAll(/"(\w+)":\{/g)].map((match) => match[1])).toEqual(["a", "10", "2", "b"]);
    expect([...(readSafetensors(bytes).tensors.get("a")?.data ?? [])]).toEqual([1n]);
  });

  test("an unaligned buffer is read", () => {
    const bytes = writeSafetensors({ w: { shape: [3], data: Float32Array.of(1, -2, 3) } });
    const shifted = new Uint8Array(bytes.length + 1).subarray(1);
    shifted.set(bytes);
    expect([...floatsOf(readSafetensors(shifted).tensors, "w")]).toEqual([1, -2, 3]);
  });
});

describe("floatsOf", () => {
  const { tensors } = readSafetensors(
    writeSafetensors({
      d: { shape: [2], data: Float64Array.of(0.1, 2) },
      h: { shape: [1], data: Float32Array.of(0.5), dtype: "F16" },
      i: { shape: [1], data: BigInt64Array.of(3n) },
    }),
  );
  test("widens halves and narrows doubles", () => {
    expect([...floatsOf(tensors, "d")]).toEqual([Math.fround(0.1), 2]);
    expect([...floatsOf(tensors, "h")]).toEqual([0.5]);
  });
  test("refuses integers and missing names", () => {
    expect(() => floatsOf(tensors, "i")).toThrow('"i" is stored as I64, expected a floating point type.');
    expect(() => floatsOf(tensors, "x")).toThrow('no tensor "x"');
  });
});

describe("refused", () => {
  const entry = '"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}';
  test.each([
    ["too short", new Uint8Array(5), "w.st is cut off: 5 bytes"],
    ["a length beyond the file", file(`{${entry}}`, 8).subarray(0, 20), "is no safetensors file, or is cut off"],
    ["a huge length", new Uint8Array(64).fill(255), "is no safetensors file"],
    ["a picture", new TextEncoder().encode("\x89PNG\r\n\x1a\n and then some"), "is no safetensors file"],
    ["no JSON", file("not json", 0), "it is not JSON"],
    ["bytes that are no text", file("{\u00ff}", 0).map((b) => (b === 0xc3 ? 0xff : b)), "it is not JSON"],
    ["a list", file("[1]", 0), "it is not an object"],
    ["metadata of numbers", file('{"__metadata__":{"a":1}}', 0), "not an object of strings"],
    ["a type of the prototype", file(`{${entry.replace("F32", "toString")}}`, 8), '"w" has the type "toString"'],
    ["a negative shape", file(`{${entry.replace("[2]", "[-2]")}}`, 8), '"w" has the shape [-2]'],
    ["no offsets", file('{"w":{"dtype":"F32","shape":[2]}}', 8), '"w" has the offsets nothing'],
    ["wrong offsets", file(`{${entry.replace("[0,8]", "[0,4]")}}`, 8), '"w" has 4 bytes, expected 8 for F32 [2]'],
    ["a hole", file(`{${entry.replace("[0,8]", "[8,16]")}}`, 16), '"w" starts at byte 8 of the data, expected 0'],
    ["an overlap", file(`{${entry},${entry.replace('"w"', '"v"').replace("[0,8]", "[4,12]")}}`, 12), '"v" starts at'],
    ["missing data", file(`{${entry}}`, 4), "w.st is cut off"],
    ["data left over", file(`{${entry}}`, 12), "w.st has bytes left over"],
  ])("%s", (_, bytes, message) => {
    expect(() => readSafetensors(bytes, "w.st")).toThrow(message);
  });

  test.each([
    ["F8_E4M3", 2],
    ["F8_E5M2", 2],
    ["F8_E8M0", 2],
    ["U64", 16],
    ["F99_NEW", 5],
  ])("a tensor of type %s is named when it is asked for, and the others are read", (dtype, size) => {
    const other = `"v":{"dtype":"${dtype}","shape":[2],"data_offsets":[8,${8 + size}]}`;
    const { tensors } = readSafetensors(file(`{${entry},${other}}`, 8 + size), "w.st");
    expect([...(tensors.get("w")?.data ?? [])]).toEqual([0, 0]);
    expect(tensors.get("v")?.shape).toEqual([2]);
    expect(() => tensors.get("v")?.data).toThrow(`w.st stores "v" as ${dtype}, which is not read`);
  });

  test("a known type that is not read has its size checked too", () => {
    const wrong = file('{"v":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[0,2]}}', 2);
    expect(() => readSafetensors(wrong, "w.st")).toThrow('"v" has 2 bytes, expected 3 for F8_E4M3 [3]');
  });

  test("messages stay short whatever the header holds", () => {
    const nested = `${"[".repeat(5000)}${"]".repeat(5000)}`;
    for (const header of [
      `{"${"n".repeat(100_000)}":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`,
      `{"w":{"dtype":"${"T".repeat(100_000)}","shape":[2],"data_offsets":[8,0]}}`,
      `{"w":{"dtype":"F32","shape":[${"1.5,".repeat(50_000)}2],"data_offsets":[0,8]}}`,
      `{"w":{"dtype":${nested},"shape":[2],"data_offsets":[0,8]}}`,
      `{"w":{"dtype":"F32","shape":${nested},"data_offsets":[0,8]}}`,
      `{"w":{"dtype":"F32","shape":[2],"data_offsets":{"a":${nested}}}}`,
    ]) {
      const message = thrown(() => readSafetensors(file(header, 8), "w.st"));
      expect(message).toMatch(/^w\.st /);
      expect(message.length).toBeLessThan(500);
    }
  });

  test("every cut of a file, and garbage in its header, is an error and never a wrong tensor", () => {
    const bytes = writeSafetensors({ w: { shape: [2], data: Float32Array.of(1, 2) } }, { format: "pt" });
    for (let n = 0; n < bytes.length; n++) expect(() => readSafetensors(bytes.subarray(0, n)), `${n}`).toThrow(Error);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (garbage) => {
        expect(() => parseHeader(garbage, garbage.length + 4, "g")).toThrow(Error);
      }),
    );
  });

  test("writing a shape that does not fit, or a type that cannot be stored", () => {
    expect(() => writeSafetensors({ w: { shape: [3], data: Float32Array.of(1) } })).toThrow(
      '"w" has 1 values, expected 3 for the shape [3].',
    );
    expect(() => writeSafetensors({ w: { shape: [1], data: Float64Array.of(1), dtype: "F16" } })).toThrow(
      '"w" is a Float64Array, which cannot be stored as F16.',
    );
    expect(() => writeSafetensors({ __metadata__: { shape: [], data: Float32Array.of(1) } })).toThrow("__metadata__");
  });
});
