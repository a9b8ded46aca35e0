// Attention in pieces on WebGPU: the CPU's numbers, and no operator elsewhere.

import { afterAll, expect, it } from "vitest";
import { attentionInPieces } from "../../src/graph/attentionPieces.ts";
import * as g from "../../src/graph/index.ts";
import { fold, key, normal } from "../../src/random.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { nodeRuntime, placement } from "../../src/runtime/node.ts";
import { misplaced } from "../../src/runtime/placement.ts";
import { webgpu } from "../support/webgpu.ts";

const runtime = await webgpu();
const shapes = { q: [2, 6, 7, 4], k: [2, 6, 5, 4], v: [2, 6, 5, 4], mask: [6, 7, 5] };
const values = (name: string, n: number) => normal(fold(key(9), name), n);

/** 12 pieces of 7 queries, more than a kernel can join at once, or 36 of 3 or 1. */
function program(queries: number) {
  const x = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, g.input(name, shape)]));
  const { q, k, v, mask } = x;
  const limits = { whole: 0, piece: 4 * 5 * queries, pieces: 1000 };
  const y = attentionInPieces(q, k, v, { mask, causal: true }, limits);
  const gradient = g.grad(g.sum(g.square(y)), [q, k, v, mask]);
  return { y, q: gradient[0], k: gradient[1], v: gradient[2], mask: gradient[3] };
}

async function run(on: Runtime, queries: number) {
  const compiled = await on.compile(program(queries));
  const feeds = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, values(name, g.sizeOf(shape))]),
  );
  const fetched = await compiled.run(feeds);
  await compiled.dispose();
  return Object.entries(fetched).map(([name, { data }]) => ({ name, data: data as Float32Array }));
}

if (runtime) {
  it.each([7, 3])("has the CPU's numbers, with pieces of %i queries", { timeout: 300_000 }, async (queries) => {
    const expected = await run(nodeRuntime({ threads: 1 }), 1000);
    for (const [i, { name, data }] of (await run(runtime, queries)).entries())
      data.forEach((value, j) => {
        expect(Math.abs(value - expected[i].data[j]), `${name}[${j}]`).toBeLessThan(2e-5);
      });
  });

  it("runs wholly on the device", async () => {
    const placed = await placement(runtime, program(3));
    expect(placed.length).toBeGreaterThan(100);
    expect(misplaced(placed, "webgpu").map(({ op, node }) => `${op} (${node})`)).toEqual([]);
  });

  afterAll(() => expect(runtime.open()).toBe(0));
}
