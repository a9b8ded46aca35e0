// The rule of PyTorch's GradScaler: start at 2^16, halve on overflow, double after 2000 good steps in a row.

import { expect, it } from "vitest";
import { firstLossScale, type LossScale, nextLossScale } from "../../src/optim/lossScale.ts";

const after = (steps: number, from: LossScale = firstLossScale): LossScale => {
  let scale = from;
  for (let i = 0; i < steps; i++) scale = nextLossScale(scale, true);
  return scale;
};

it("starts at 2^16 with nothing counted", () => {
  expect(firstLossScale).toEqual({ value: 65_536, good: 0, skipped: 0 });
});

it("doubles with the 2000th good step in a row, and counts anew", () => {
  expect(after(1)).toEqual({ value: 2 ** 16, good: 1, skipped: 0 });
  expect(after(1999)).toEqual({ value: 2 ** 16, good: 1999, skipped: 0 });
  expect(after(2000)).toEqual({ value: 2 ** 17, good: 0, skipped: 0 });
  expect(after(3999)).toEqual({ value: 2 ** 17, good: 1999, skipped: 0 });
  expect(after(4000)).toEqual({ value: 2 ** 18, good: 0, skipped: 0 });
});

it("halves with a step that overflowed, which is counted for good and ends the row", () => {
  const once = nextLossScale(after(1500), false);
  expect(once).toEqual({ value: 2 ** 15, good: 0, skipped: 1 });
  expect(nextLossScale(once, false)).toEqual({ value: 2 ** 14, good: 0, skipped: 2 });
  expect(after(1999, once)).toEqual({ value: 2 ** 15, good: 1999, skipped: 1 });
  expect(after(2000, once)).toEqual({ value: 2 ** 16, good: 0, skipped: 1 });
});
