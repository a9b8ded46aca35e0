import { describe, expect, test } from "vitest";
import { fold, key, normal, permutation, randint, threefry, uniform } from "../src/random.ts";

const hex = (block: Uint32Array) => [...block].map((w) => w.toString(16).padStart(8, "0")).join(" ");
const ones = [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff] as const;

describe("random numbers", () => {
  test("threefry 4x32-20 has the published answers", () => {
    expect(hex(threefry([0, 0, 0, 0], [0, 0, 0, 0]))).toBe("9c6ca96a e17eae66 fc10ecd4 5256a7d8");
    expect(hex(threefry(ones, ones))).toBe("2a881696 57012287 f6c7446e a16a6732");
    const pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344] as const;
    expect(hex(threefry([0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89], pi))).toBe(
      "59cd1dbb b8879579 86b5d00c ac8b6d84",
    );
  });

  test("same key, same bytes; different data, different streams", () => {
    const k = fold(key(7), "noise", 3);
    expect(normal(k, 100)).toEqual(normal(fold(key(7), "noise", 3), 100));
    expect(normal(k, 50)).toEqual(normal(k, 100).slice(0, 50));
    const keys = [
      key(0),
      key(1),
      key(2 ** 40),
      fold(key(0), 0),
      fold(key(0), 1),
      fold(key(0), -1),
      fold(key(0), 0.5),
      fold(key(0), ""),
      fold(key(0), "a"),
      fold(key(0), "b"),
      fold(key(0), "ab"),
      fold(key(0), "a", "b"),
      fold(key(0), "a\0"),
      fold(key(0), 1, 2),
      fold(key(0), 2, 1),
    ];
    expect(new Set(keys.map((x) => x.join())).size).toBe(keys.length);
    expect(() => key(-1)).toThrow(/Seed is -1/);
    expect(() => key(0.5)).toThrow(/Seed is 0.5/);
  });

  test("uniform moments", () => {
    const x = uniform(key(1), 200000);
    const mean = x.reduce((a, b) => a + b) / x.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 * Math.sqrt(1 / 12 / x.length));
    expect(x.every((v) => v >= 0 && v < 1)).toBe(true);
  });

  test("normal moments and tail", () => {
    const x = normal(key(2), 400000);
    const moment = (p: number) => x.reduce((sum, v) => sum + v ** p, 0) / x.length;
    expect(Math.abs(moment(1))).toBeLessThan(0.008);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.012);
    expect(Math.abs(moment(3))).toBeLessThan(0.025);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.07);
    expect(x.filter((v) => Math.abs(v) > 3).length / x.length).toBeCloseTo(0.0027, 3);
  });

  test("integers and permutations", () => {
    const counts = new Array(6).fill(0);
    for (const i of randint(key(3), 60000, 6)) counts[i]++;
    for (const c of counts) expect(Math.abs(c - 10000)).toBeLessThan(450);
    const order = permutation(key(4), 1000);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(order.filter((v, i) => v === i).length).toBeLessThan(8);
    expect(() => randint(key(3), 1, 0)).toThrow(/Limit/);
  });
});
