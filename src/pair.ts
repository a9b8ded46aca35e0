// Where numbers meet tensors. A pair is two tensors with their rows; any third row is one linear combination.

import type { Clock } from "./clock.ts";
import { type Row, transfer } from "./core/index.ts";
import { add, mul, type Tensor } from "./graph/index.ts";

/** A row that depends on the sample's time. */
export type RowAt = (t: number) => Row;

/** Two read-outs of one hidden (x0, eps) per sample: a state and a prediction, or two points of a trajectory. */
export interface Pair {
  readonly clock: Clock;
  readonly a: Tensor;
  readonly rowA: RowAt;
  readonly b: Tensor;
  readonly rowB: RowAt;
}

/**
 * The value of a row on the pair's hidden (x0, eps): p·a + q·b. Reading a row the pair holds is free. `at` is the clock
 * of the row where that is not the pair's: the state at another time.
 */
export function read(pair: Pair, want: RowAt, at: Clock = pair.clock): Tensor {
  const { clock, a, rowA, b, rowB } = pair;
  if (want === rowA && at === clock) return a;
  if (want === rowB && at === clock) return b;
  const rank = a.shape.length;
  const coefficient = (which: 0 | 1) =>
    at === clock
      ? clock.column((t) => transfer(rowA(t), rowB(t), want(t))[which], rank)
      : clock.with([at], (t, s) => transfer(rowA(t), rowB(t), want(s))[which], rank);
  return add(mul(a, coefficient(0)), mul(b, coefficient(1)));
}

export const dataRow: RowAt = () => [1, 0];
export const noiseRow: RowAt = () => [0, 1];
/** eps − x0: the velocity of straight paths. */
export const straightRow: RowAt = () => [-1, 1];

/** Data and noise that were drawn independently, or are taken for it. */
export const noised = (clock: Clock, x: Tensor, noise: Tensor): Pair => ({
  clock,
  a: x,
  rowA: dataRow,
  b: noise,
  rowB: noiseRow,
});
