// Where numbers meet tensors. A pair is two tensors with their rows; any third row is one linear combination.

import { type Row, transfer } from "./core/index.ts";
import { add, input, mul, type Tensor } from "./graph/index.ts";

/** A row that depends on the sample's time. */
export type RowAt = (t: number) => Row;

/**
 * The time of each sample of a batch. It is known only when a program runs, so everything that depends on it is a
 * column: a small input [batch] whose values the host computes in float64.
 */
export interface Clock {
  readonly batch: number;
  /** f(t) of every sample, as a tensor [batch, 1, …] of this rank. */
  column(f: (t: number) => number, rank: number): Tensor;
  /** The clock that shows `move(t)` where this one shows t. */
  at(move: (t: number) => number): Clock;
}

export interface Times extends Clock {
  /** Values of all columns for these times. A singular read throws here, naming the time. */
  feeds(t: ArrayLike<number>): Record<string, Float32Array>;
}

/** The times of a batch; `name` prefixes the inputs of the program. */
export function times(batch: number, name = "t"): Times {
  const columns: { name: string; f: (t: number) => number }[] = [];
  const shown = new Map<(t: number) => number, Map<number, Tensor>>();
  const clock = (move: ((t: number) => number) | null): Clock => ({
    batch,
    at: (next) => clock(move ? (t) => next(move(t)) : next),
    column(f, rank) {
      const of = shown.get(f);
      const known = move ? undefined : of?.get(rank);
      if (known) return known;
      const id = `${name}.${columns.length}`;
      columns.push({ name: id, f: move ? (t) => f(move(t)) : f });
      const tensor = input(id, [batch, ...new Array<number>(rank - 1).fill(1)]);
      if (!move) shown.set(f, (of ?? new Map<number, Tensor>()).set(rank, tensor));
      return tensor;
    },
  });
  return {
    ...clock(null),
    feeds(t) {
      if (t.length !== batch) throw new RangeError(`Got ${t.length} times for a batch of ${batch}.`);
      const list = Array.from(t);
      return Object.fromEntries(columns.map((c) => [c.name, Float32Array.from(list, c.f)]));
    },
  };
}

/** Two read-outs of one hidden (x0, eps) per sample: a state and a prediction, or two points of a trajectory. */
export interface Pair {
  readonly clock: Clock;
  readonly a: Tensor;
  readonly rowA: RowAt;
  readonly b: Tensor;
  readonly rowB: RowAt;
}

/** The value of a row on the pair's hidden (x0, eps): p·a + q·b. Reading a row the pair holds is free. */
export function read(pair: Pair, want: RowAt): Tensor {
  const { clock, a, rowA, b, rowB } = pair;
  if (want === rowA) return a;
  if (want === rowB) return b;
  const coefficient = (which: 0 | 1) => clock.column((t) => transfer(rowA(t), rowB(t), want(t))[which], a.shape.length);
  return add(mul(a, coefficient(0)), mul(b, coefficient(1)));
}

export const dataRow: RowAt = () => [1, 0];
export const noiseRow: RowAt = () => [0, 1];
