import { expect, it } from "vitest";
import { type RateSchedule, rateAt } from "../../src/optim/schedule.ts";

const rates = (schedule: RateSchedule, total: number) =>
  Array.from({ length: total }, (_, i) => rateAt(schedule, i + 1, total));
const near = (values: readonly number[]) => values.map((x) => expect.closeTo(x, 14));

it("a constant rate rises in equal steps and stays, whatever its final share", () => {
  const schedule = { kind: "constant", peak: 2, warmup: 4, final: 0.1 } as const;
  expect(rates(schedule, 7)).toEqual(near([0.5, 1, 1.5, 2, 2, 2, 2]));
});

it("a cosine falls from the end of the warm-up to its final share in the last step", () => {
  const schedule = { kind: "cosine", peak: 2, warmup: 2, final: 0.1 } as const;
  // cos(0), cos(45°), cos(90°), cos(135°), cos(180°).
  const falling = [1, Math.SQRT1_2, 0, -Math.SQRT1_2, -1].map((cos) => 2 * (0.1 + (0.9 * (1 + cos)) / 2));
  expect(rates(schedule, 6)).toEqual(near([1, ...falling]));
  expect(rateAt(schedule, 6, 6)).toBeCloseTo(0.2, 14);
});

it("no warm-up starts at the peak, and the fall begins with the first step", () => {
  const schedule = { kind: "cosine", peak: 1, warmup: 0, final: 0 } as const;
  expect(rates(schedule, 4)).toEqual(near([1, 2, 3, 4].map((k) => (1 + Math.cos((Math.PI * k) / 4)) / 2)));
  expect(rates({ ...schedule, kind: "constant" }, 3)).toEqual([1, 1, 1]);
});

it("a warm-up as long as the run, or longer, never falls", () => {
  const schedule = { kind: "cosine", peak: 1, warmup: 4, final: 0 } as const;
  expect(rates(schedule, 4)).toEqual(near([0.25, 0.5, 0.75, 1]));
  expect(rates({ ...schedule, warmup: 8 }, 4)).toEqual(near([0.125, 0.25, 0.375, 0.5]));
});

it("after the last step a rate stays what it was", () => {
  const schedule = { kind: "cosine", peak: 1, warmup: 1, final: 0.3 } as const;
  expect(rateAt(schedule, 9, 5)).toBeCloseTo(0.3, 14);
});
