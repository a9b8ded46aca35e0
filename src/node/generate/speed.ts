// How fast this machine computes, from a moment of work: for estimates of how long a model takes.

import { flops } from "../../graph/flops.ts";
import { conv2d, input, matmul, type Outputs } from "../../graph/index.ts";
import type { Feed, Runtime } from "../../runtime/index.ts";

/** Floating point operations per second. */
export interface Speed {
  readonly convolutions: number;
  readonly matrices: number;
}

/** Work of the shapes that text-to-image U-Nets have; a second or so. */
export async function measureSpeed(runtime: Runtime): Promise<Speed> {
  const x = input("x", [1, 320, 64, 64]);
  const w = input("w", [320, 320, 3, 3]);
  const a = input("a", [4096, 320]);
  const b = input("b", [320, 1280]);
  return {
    convolutions: await speedOf(runtime, { y: conv2d(x, w, undefined, { padding: 1 }) }),
    matrices: await speedOf(runtime, { y: matmul(a, b) }),
  };
}

async function speedOf(runtime: Runtime, outputs: Outputs): Promise<number> {
  const program = await runtime.compile(outputs);
  try {
    const feeds: Record<string, Feed> = {};
    for (const { source, shape } of program.inputs)
      if (source.kind === "input") feeds[source.name] = new Float32Array(shape.reduce((n, d) => n * d, 1)).fill(0.01);
    await program.run(feeds);
    const times: number[] = [];
    for (const end = performance.now() + 400; performance.now() < end || times.length < 3; ) {
      const begin = performance.now();
      await program.run(feeds);
      times.push((performance.now() - begin) / 1000);
    }
    times.sort((p, q) => p - q);
    return flops(outputs) / times[Math.floor(times.length / 2)];
  } finally {
    await program.dispose();
  }
}
