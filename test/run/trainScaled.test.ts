// The loss scale in the loop: steps whose gradient overflows are left out and counted, and end a run only where no scale
// helps. Half precision itself is halfPrecision.test.ts's.

import { afterAll, expect, it } from "vitest";
import { mul, reshape, sqrt, square, sub, sum } from "../../src/graph/index.ts";
import { firstLossScale } from "../../src/optim/lossScale.ts";
import { NotFinite } from "../../src/run/train.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { all, type Measure, probe, start, studentOf } from "./probe.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const precision = "float16" as const;
/** A gradient of some hundreds: the square of its norm overflows float32 above a scale of about 2^56. */
const steep: Measure = ({ pair }, _, weights) =>
  square(sub(reshape(pair.a, [pair.a.shape[0]]), mul(sum(weights), 100)));
const scaled = (value: number) => ({ ...start, scale: { value, good: 0, skipped: 0 } });

it("a step that overflows changes nothing but the scale, and is said to be left out", async () => {
  const events = await all(probe({ measure: steep }, runtime, { precision, saveEvery: 1, steps: 2 }, scaled(2 ** 60)));
  expect(events.map(({ kind, skipped }) => [kind, skipped])).toEqual([
    ["step", true],
    ["save", true],
    ["step", true],
    ["save", true],
  ]);
  expect(events.every(({ loss, norm }) => Number.isFinite(loss) && norm === Number.POSITIVE_INFINITY)).toBe(true);
  const states = events.flatMap((event) => event.state ?? []);
  expect(states.map(({ scale }) => scale)).toEqual([
    { value: 2 ** 59, good: 0, skipped: 1 },
    { value: 2 ** 58, good: 0, skipped: 2 },
  ]);
  for (const { players } of states) expect({ step: 0, players }).toEqual(start);
});

it("AdamW does not count the steps left out: the first that counts goes the whole rate", async () => {
  const events = await all(probe({ measure: steep }, runtime, { precision, steps: 12, saveEvery: 1 }, scaled(2 ** 60)));
  const steps = events.filter((event) => event.kind === "step");
  const skipped = steps.filter((event) => event.skipped).length;
  expect(skipped).toBeGreaterThan(3);
  expect(skipped).toBeLessThan(12);
  const states = events.flatMap((event) => event.state ?? []);
  expect(studentOf(states[11]).updates).toBe(12 - skipped);
  expect(states[11].scale).toEqual({ value: 2 ** (60 - skipped), good: 12 - skipped, skipped });
  studentOf(states[skipped]).theta.forEach((x, i) => {
    expect(Math.abs(x - studentOf(start).theta[i] * (1 - 0.1 * 0.01))).toBeCloseTo(0.1, 5);
  });
});

it("the scale starts where the state says, or at the first one, and float32 has none", async () => {
  const flat: Measure = (_, clock) => clock.column((t) => t, 1);
  const scaleOf = async (from: typeof start, options = {}) =>
    (await all(probe({ measure: flat }, runtime, { steps: 1, ...options }, from))).flatMap((e) => e.state ?? [])[0]
      .scale;
  expect(await scaleOf(start, { precision })).toEqual({ ...firstLossScale, good: 1 });
  expect(await scaleOf({ ...start, scale: { value: 8, good: 1999, skipped: 4 } }, { precision })).toEqual({
    value: 16,
    good: 0,
    skipped: 4,
  });
  expect(await scaleOf(scaled(8))).toBeUndefined();
});

it("a gradient that no scale makes finite ends the run, once the scale is below 2^-10", async () => {
  const broken: Measure = ({ pair }, _, weights) => mul(reshape(pair.a, [pair.a.shape[0]]), sqrt(mul(sum(weights), 0)));
  const run = async (value: number) => {
    const seen: number[] = [];
    try {
      for await (const { step } of probe({ measure: broken }, runtime, { precision, steps: 9 }, scaled(value)))
        seen.push(step);
    } catch (error) {
      expect(error).toBeInstanceOf(NotFinite);
      return [seen, (error as NotFinite).step];
    }
    return [seen, null];
  };
  // 2^-8 is halved to 2^-9, 2^-10 and 2^-11.
  expect(await run(2 ** -8)).toEqual([[1, 2], 3]);
});

it("a loss that is not finite ends the run at once, whatever the scale", async () => {
  const broken: Measure = ({ pair }) => sqrt(sub(reshape(pair.a, [pair.a.shape[0]]), 1));
  await expect(all(probe({ measure: broken }, runtime, { precision }))).rejects.toThrow(/^The loss \(NaN\)/);
});
