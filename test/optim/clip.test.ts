import { expect, it } from "vitest";
import { input } from "../../src/graph/index.ts";
import { clipByNorm } from "../../src/optim/clip.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
// Norm 13 over both parts; neither part's own is.
const parts = { a: Float32Array.of(3, -4), b: Float32Array.of(12) };

async function clipped(limit: number, times = 1, factor?: number) {
  const gradient = [input("a", [2]), input("b", [1])];
  const given = factor === undefined ? undefined : input("factor", []);
  const program = await runtime.compile(clipByNorm(gradient, limit, given));
  const feeds = { a: parts.a.map((x) => x * times), b: parts.b.map((x) => x * times) };
  const { scale, norm } = await program.run(
    factor === undefined ? feeds : { ...feeds, factor: Float32Array.of(factor) },
  );
  await program.dispose();
  return [Number(scale.data[0]), Number(norm.data[0])];
}
const close = (...values: number[]) => values.map((x) => expect.closeTo(x, 6));

it("a gradient below the limit stays as it is", async () => {
  expect(await clipped(20)).toEqual([1, 13]);
  expect(await clipped(13.1)).toEqual([1, 13]);
});

it("one above it is brought to the limit, all parts alike", async () => {
  expect(await clipped(6.5)).toEqual(close(0.5, 13));
  expect(await clipped(0.13)).toEqual(close(0.01, 13));
});

it("no gradient is no division by zero, and a small one is divided by 1e-6 more than its norm", async () => {
  expect(await clipped(1, 0)).toEqual([1, 0]);
  // PyTorch's clip_grad_norm_: limit/(norm + 1e-6).
  const [scale, norm] = await clipped(1e-6, 1e-6 / 13);
  expect([scale, norm * 1e6]).toEqual([expect.closeTo(0.5, 5), expect.closeTo(1, 5)]);
});

it("a factor on the loss is undone in both, and the limit is that of the gradient meant", async () => {
  expect(await clipped(20, 8, 8)).toEqual([0.125, 13]);
  expect(await clipped(6.5, 8, 8)).toEqual(close(0.0625, 13));
});
