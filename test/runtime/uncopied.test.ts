// Results that are written where they are wanted, and errors that still come through.

import * as ort from "onnxruntime-node";
import { expect, it } from "vitest";
import { add, embedding, input, mul } from "../../src/graph/index.ts";
import type { OrtModule } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { endOfRun } from "../../src/runtime/uncopied.ts";

it("results are the given buffers themselves, or new ones, and right either way", async () => {
  const runtime = nodeRuntime({ threads: 1 });
  const x = input("x", [4]);
  const program = await runtime.compile({ whole: mul(x, 2), list: [add(x, 1), add(x, 2)], same: x });
  const [whole, list] = [new Float32Array(4), new Float32Array(8)];
  const feeds = { x: Float32Array.of(1, 2, 3, 4) };
  const given = await program.run(feeds, { whole, list });
  expect(given.whole.data).toBe(whole);
  expect(given.list.data).toBe(list);
  for (const result of [given, await program.run(feeds)]) {
    expect(result.whole.data).toEqual(Float32Array.of(2, 4, 6, 8));
    expect(result.list.data).toEqual(Float32Array.of(2, 3, 4, 5, 3, 4, 5, 6));
    expect(result.same.data).toEqual(feeds.x);
  }
  await program.dispose();
});

it("an operator that fails while it runs is an error", async () => {
  const runtime = nodeRuntime({ threads: 1 });
  const program = await runtime.compile({ y: embedding(input("w", [3, 2]), input("i", [1], "int64")) });
  const w = Float32Array.of(1, 2, 3, 4, 5, 6);
  expect((await program.run({ w, i: BigInt64Array.of(2n) })).y.data).toEqual(Float32Array.of(5, 6));
  await expect(program.run({ w, i: BigInt64Array.of(7n) })).rejects.toThrow("out of data bounds");
  await program.dispose();
});

it("this build of ONNX Runtime ends such a run with the error that is expected", async () => {
  expect(await endOfRun(ort as unknown as OrtModule)).toBe("Non tensor type is temporarily not supported.");
});
