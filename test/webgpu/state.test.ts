// State that stays on the device from one run to the next; on the CPU the same calls give arrays.

import { expect, it } from "vitest";
import { add, input, inputParts, mul, sum } from "../../src/graph/index.ts";
import type { DeviceTensor, Held, Runtime } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { webgpu } from "../support/webgpu.ts";

const runtime = await webgpu();
const device = (x: Held): DeviceTensor => {
  if (!("kind" in x)) throw new Error("The value is on the host.");
  return x;
};

/** Doubles a vector that lies in two pieces, and sums it. */
function doubling(on: Runtime) {
  const parts = inputParts("x", [[2], [3]]);
  const total = add(sum(parts[0]), sum(parts[1]));
  return on.compile<"x" | "total", "x">({ x: parts.map((p) => mul(p, 2)), total }, { keep: ["x"] });
}

async function fourDoublings(on: Runtime): Promise<{ totals: number[]; end: readonly number[] }> {
  const program = await doubling(on);
  let x: Held = Float32Array.of(1, 2, 3, 4, 5);
  let spare: Held = new Float32Array(5);
  const totals: number[] = [];
  for (let i = 0; i < 4; i++) {
    const fetched = await program.run({ x }, { x: spare });
    [x, spare] = [fetched.x.data, x];
    expect(fetched.x.shape).toEqual([5]);
    totals.push(Number(fetched.total.data[0]));
  }
  const end = Array.from(await on.read(x), Number);
  on.release(x);
  on.release(spare);
  await program.dispose();
  return { totals, end };
}

const doubled = { totals: [15, 30, 60, 120], end: [16, 32, 48, 64, 80] };

it("the same loop on the CPU works on arrays", async () => {
  expect(await fourDoublings(nodeRuntime({ threads: 1 }))).toEqual(doubled);
});

if (runtime) {
  it("a kept output is fed to the next run without leaving the device", async () => {
    expect(await fourDoublings(runtime)).toEqual(doubled);
    expect(runtime.open()).toBe(0);
  });

  it("values on the device are refused with a sentence where they cannot be used", async () => {
    const program = await doubling(runtime);
    const { x } = await program.run({ x: new Float32Array(5).fill(1) });
    expect(device(x.data).shape).toEqual([5]);
    const whole = await runtime.compile({ y: mul(input("x", [5]), 2) });
    await expect(whole.run({ x: x.data })).rejects.toThrow("lies on the device in other pieces");
    const longer = await runtime.compile({ y: mul(input("x", [6]), 2) });
    await expect(longer.run({ x: x.data })).rejects.toThrow("expected 6 float32 values of shape [6], got 5 of float32");
    await whole.dispose();
    await longer.dispose();

    runtime.release(x.data);
    runtime.release(x.data);
    await expect(program.run({ x: x.data })).rejects.toThrow("was released");

    const { x: last } = await program.run({ x: new Float32Array(5).fill(1) });
    await program.dispose();
    const again = await doubling(runtime);
    await expect(again.run({ x: last.data })).rejects.toThrow("when its last program was disposed");
    await again.dispose();
  });

  it("integers keep their type", async () => {
    const labels = input("labels", [3], "int64");
    const program = await runtime.compile({ labels }, { keep: ["labels"] });
    const given = BigInt64Array.of(1n, -2n, 2147483647n);
    const { labels: kept } = await program.run({ labels: given });
    expect(await runtime.read(kept.data)).toEqual(given);
    await expect(program.run({ labels: BigInt64Array.of(0n, 2147483648n, 0n) })).rejects.toThrow("2147483648 does not");
    runtime.release(kept.data);
    await program.dispose();
    const host = await runtime.compile({ labels });
    const into = new BigInt64Array(3);
    expect((await host.run({ labels: given }, { labels: into })).labels.data).toBe(into);
    expect(into).toEqual(given);
    await host.dispose();
  });

  it("memory does not grow over 100 steps", async () => {
    const size = 2 ** 20;
    const x = input("x", [size]);
    const program = await runtime.compile({ x: add(mul(x, 0.5), 1), total: sum(x) }, { keep: ["x"] });
    let now: Held = new Float32Array(size);
    let next: Held = new Float32Array(size);
    const steps = async (n: number) => {
      for (let i = 0; i < n; i++) {
        const fetched = await program.run({ x: now }, { x: next });
        [now, next] = [fetched.x.data, now];
      }
      return process.memoryUsage().rss / 2 ** 20;
    };
    const before = await steps(20);
    const after = await steps(100);
    console.log(`webgpu memory: ${before.toFixed(0)} MiB, after 100 steps ${after.toFixed(0)}`);
    // A state of 4 MiB that is not given back at each step would be 400 MiB.
    expect(after - before).toBeLessThan(40);
    expect((await runtime.read(now))[7]).toBe(2);
    for (const held of [now, next]) runtime.release(held);
    await program.dispose();
  });
}
