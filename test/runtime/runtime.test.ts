// Programs: feeds, buffers, cache, disposal, memory.

import { describe, expect, it } from "vitest";
import {
  add,
  constant,
  conv2d,
  grad,
  groupNorm,
  input,
  linear,
  mean,
  mul,
  silu,
  square,
  sum,
} from "../../src/graph/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });

describe("feeds", () => {
  const y = add(input("a", [2]), input("b", [2]));
  it("names a missing, unknown or wrongly sized feed", async () => {
    const program = await runtime.compile({ y });
    const a = Float32Array.of(1, 2);
    await expect(program.run({ a })).rejects.toThrow('needs a feed "b" of shape [2]');
    await expect(program.run({ a, b: a, c: a })).rejects.toThrow('no input "c". It takes: a, b');
    await expect(program.run({ a, b: Float32Array.of(1) })).rejects.toThrow('Feed "b": expected 2 float32 values');
    await expect(program.run({ a, b: BigInt64Array.of(1n, 2n) })).rejects.toThrow("of int64");
    await program.dispose();
    await expect(async () => program.run({ a, b: a })).rejects.toThrow("was disposed");
  });
});

describe("programs", () => {
  it("are cached by content and freed by their last user", async () => {
    const build = () => ({ y: mul(input("x", [3]), 2) });
    const [p, q] = [await runtime.compile(build()), await runtime.compile(build())];
    expect(runtime.open()).toBe(1);
    await p.dispose();
    await p.dispose();
    expect((await q.run({ x: Float32Array.of(1, 2, 3) })).y.data).toEqual(Float32Array.of(2, 4, 6));
    await q.dispose();
    expect(runtime.open()).toBe(0);
  });
  it("write into given buffers", async () => {
    const x = input("x", [3]);
    const program = await runtime.compile({ x: mul(x, 2), total: sum(x) });
    const into = new Float32Array(3);
    const out = await program.run({ x: Float32Array.of(1, 2, 3) }, { x: into });
    expect(into).toEqual(Float32Array.of(2, 4, 6));
    expect(out.x.data).toEqual(into);
    expect(out.total.data).toEqual(Float32Array.of(6));
    await program.dispose();
  });
});

describe("memory", () => {
  it("does not grow over 1,000 runs and 50 compilations", async () => {
    const w = input("w", [8, 4, 3, 3]);
    const x = input("x", [8, 4, 16, 16]);
    const loss = mean(square(silu(groupNorm(conv2d(x, w, undefined, { padding: 1 }), 2))));
    const [dw] = grad(loss, [w]);
    const feeds = { w: new Float32Array(288).fill(0.1), x: new Float32Array(8192).map((_, i) => Math.sin(i)) };
    const program = await runtime.compile({ loss, w: mul(dw, 1) });
    const out = new Float32Array(288);
    const settle = async (runs: number) => {
      for (let i = 0; i < runs; i++) await program.run(feeds, { w: out });
      globalThis.gc?.();
      return process.memoryUsage().rss / 2 ** 20;
    };
    const before = await settle(100);
    const after = await settle(1000);
    for (let i = 0; i < 50; i++) {
      const p = await runtime.compile({
        y: linear(input("x", [4, 4]), constant(new Float32Array(16).fill(i), [4, 4])),
      });
      await p.dispose();
    }
    const end = await settle(10);
    console.log(
      `memory: ${before.toFixed(0)} MiB, after 1,000 runs ${after.toFixed(0)}, after 50 sessions ${end.toFixed(0)}`,
    );
    // One leaked output tensor a run would be over 1 MiB of buffers and 1,000 handles; the collector's slack is below 48.
    expect(after - before).toBeLessThan(48);
    expect(end - before).toBeLessThan(64);
    await program.dispose();
  });
});
