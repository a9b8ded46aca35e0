import { expect, it } from "vitest";
import { input } from "../../src/graph/index.ts";
import { ema, emaDecay } from "../../src/optim/ema.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

it("the decay ramps up as diffusers' EMAModel's, from nothing kept to the limit", () => {
  // EMAModel.get_decay(k): step = max(0, k - 1); 0 if step <= 0 else min((1 + step)/(10 + step), decay).
  const diffusers = (k: number, limit: number) => {
    const step = Math.max(0, k - 1);
    return step <= 0 ? 0 : Math.min((1 + step) / (10 + step), limit);
  };
  for (const limit of [0, 0.2, 0.9, 0.9999])
    for (const k of [0, 1, 2, 3, 10, 80, 81, 82, 1000, 100_000]) expect(emaDecay(k, limit)).toBe(diffusers(k, limit));
  expect([1, 2, 3].map((k) => emaDecay(k, 0.9999))).toEqual([0, 2 / 11, 3 / 12]);
  // 82/91 is the first above 0.9.
  expect([81, 82].map((k) => emaDecay(k, 0.9))).toEqual([81 / 90, 0.9]);
});

it("averages are decay·average + (1 − decay)·weights", async () => {
  const runtime = nodeRuntime({ threads: 1 });
  const average = ema(input("average", [3]), input("theta", [3]), input("decay", []));
  const program = await runtime.compile({ average });
  const [before, theta] = [
    [1, -2, 0.5],
    [3, 4, -1],
  ];
  for (const decay of [0, 0.25, 0.9, 1]) {
    const found = await program.run({
      average: Float32Array.from(before),
      theta: Float32Array.from(theta),
      decay: Float32Array.of(decay),
    });
    const wanted = before.map((a, i) => decay * a + (1 - decay) * theta[i]);
    expect([...(found.average.data as Float32Array)]).toEqual(wanted.map((x) => expect.closeTo(x, 6)));
  }
  await program.dispose();
});
