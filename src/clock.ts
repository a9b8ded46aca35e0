// The times of a batch. They are known only when a program runs, so everything that depends on them is a column: a small
// input [batch, 1, …] whose values the host computes in float64.

import { input, type Tensor } from "./graph/index.ts";

/** The times drawn for one sample, by the names of their clocks. */
type Drawn = Readonly<Record<string, number>>;

/** A time of every sample of a batch. */
export interface Clock {
  readonly batch: number;
  /** f(t) of every sample, as a tensor [batch, 1, …] of this rank. */
  column(f: (t: number) => number, rank: number): Tensor;
  /** f(t, …) of this clock's time and those of others, which belong to the same `clocks`; of a moving one, they may move too. */
  with(others: readonly Clock[], f: (t: number, ...others: number[]) => number, rank: number): Tensor;
  /** The clock that shows `move(t)` where this one shows t. */
  at(move: (t: number) => number): Clock;
  /**
   * The same clock, watched: what is computed with its columns can be differentiated along time. Functions of time are asked
   * only inside `span`, by default [0, 1].
   */
  moving(span?: TimeSpan): MovingClock;
  /** What it shows for a sample. */
  shows(drawn: Drawn): number;
}

export interface TimeSpan {
  readonly tMin: number;
  readonly tMax: number;
}

export interface MovingClock {
  readonly clock: Clock;
  /** The columns made through the clock so far, and d/dt of each: what `jvp` takes. */
  columns(): { readonly columns: readonly Tensor[]; readonly rates: readonly Tensor[] };
}

export interface Clocks {
  readonly batch: number;
  /** The clock of that name; its times are fed under it. */
  clock(name: string): Clock;
  /** Values of all columns for these times [batch] by clock. A singular read throws here, naming the time. */
  feeds(times: Readonly<Record<string, ArrayLike<number>>>): Record<string, Float32Array>;
}

/** Clocks of a batch; `prefix` begins the names of the program's inputs. */
export function clocks(batch: number, prefix = "t"): Clocks {
  const columns: { readonly id: string; readonly f: (drawn: Drawn) => number }[] = [];
  const add = (f: (drawn: Drawn) => number, rank: number): Tensor => {
    const id = `${prefix}.${columns.length}`;
    columns.push({ id, f });
    return input(id, [batch, ...new Array<number>(rank - 1).fill(1)]);
  };
  const make = (shows: (drawn: Drawn) => number): Clock => {
    const known = new Map<(t: number) => number, Map<number, Tensor>>();
    const clock: Clock = {
      batch,
      shows,
      at: (move) => make((drawn) => move(shows(drawn))),
      with: (others, f, rank) => add((drawn) => f(shows(drawn), ...others.map((other) => other.shows(drawn))), rank),
      column(f, rank) {
        const made = known.get(f)?.get(rank);
        if (made) return made;
        const tensor = add((drawn) => f(shows(drawn)), rank);
        known.set(f, (known.get(f) ?? new Map<number, Tensor>()).set(rank, tensor));
        return tensor;
      },
      moving: (span) => moving(clock, make(shows), span),
    };
    return clock;
  };
  const named = new Map<string, Clock>();
  return {
    batch,
    clock(name) {
      const clock = named.get(name) ?? make((drawn) => drawn[name]);
      named.set(name, clock);
      return clock;
    },
    feeds(times) {
      for (const name of named.keys())
        if (times[name]?.length !== batch)
          throw new RangeError(`Got ${times[name]?.length ?? "no"} times "${name}" for a batch of ${batch}.`);
      const rows = Array.from({ length: batch }, (_, i) =>
        Object.fromEntries(Object.entries(times).map(([name, values]) => [name, values[i]])),
      );
      return Object.fromEntries(columns.map(({ id, f }) => [id, Float32Array.from(rows, f)]));
    },
  };
}

export interface Times extends Clock {
  feeds(t: ArrayLike<number>): Record<string, Float32Array>;
}

/** One time per sample; `name` prefixes the inputs of the program. */
export function times(batch: number, name = "t"): Times {
  const all = clocks(batch, name);
  return { ...all.clock("t"), feeds: (t) => all.feeds({ t }) };
}

/** `fresh` shows the same times through columns of its own: a derivative along them must not reach what others made. */
function moving(clock: Clock, fresh: Clock, span?: TimeSpan): MovingClock {
  const made: { readonly column: Tensor; readonly rate: () => Tensor }[] = [];
  const moves = new Map<Clock, (t: number) => number>();
  const watch = (move: (t: number) => number, via: Clock): Clock => {
    const watched = watching(move, via);
    moves.set(watched, move);
    return watched;
  };
  const watching = (move: (t: number) => number, via: Clock): Clock => ({
    ...via,
    column(f, rank) {
      const column = via.column(f, rank);
      if (!made.some((m) => m.column === column))
        made.push({
          column,
          rate: () =>
            clock.column(
              derivative((t) => f(move(t)), span),
              rank,
            ),
        });
      return column;
    },
    with(others, f, rank) {
      const column = via.with(others, f, rank);
      // Others that are watched with it move with it.
      const moved = others.map((other) => moves.get(other));
      const along = (x: number, still: readonly number[]) => f(move(x), ...still.map((s, i) => moved[i]?.(x) ?? s));
      const rate = () => clock.with(others, (t, ...rest) => derivative((x) => along(x, rest), span)(t), rank);
      made.push({ column, rate });
      return column;
    },
    at: (next) => watch((t) => next(move(t)), via.at(next)),
  });
  return {
    clock: watch((t) => t, fresh),
    columns: () => ({ columns: made.map((m) => m.column), rates: made.map((m) => m.rate()) }),
  };
}

/** Differences of fourth order, one-sided at the ends of the span: relative errors near 1e-10 for what is smooth there. */
export const derivative =
  (f: (t: number) => number, { tMin, tMax }: TimeSpan = { tMin: 0, tMax: 1 }, h = 2 ** -11): ((t: number) => number) =>
  (t) => {
    if (t + 2 * h <= tMax && t - 3 * h >= tMin)
      return (8 * (f(t + h) - f(t - h)) - (f(t + 2 * h) - f(t - 2 * h))) / (12 * h);
    const s = t + 2 * h > tMax ? -h : h;
    return (-25 * f(t) + 48 * f(t + s) - 36 * f(t + 2 * s) + 16 * f(t + 3 * s) - 3 * f(t + 4 * s)) / (12 * s);
  };
