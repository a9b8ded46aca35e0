// What a training step is fed, registered as its graph asks for it: data, conditions, noise, times, numbers. The same
// name is the same tensor, and random numbers depend on the seed, the step, the name and the sample alone.

import { type Clock, clocks } from "./clock.ts";
import type { Columns, Cond } from "./condition.ts";
import { stratified } from "./core/index.ts";
import { type DType, input, type Shape, sizeOf, type Tensor, type TensorData } from "./graph/index.ts";
import { fold, type Key, normal, permutation, uniform } from "./random.ts";

/** What comes with a sample, by name: x, noise (of stored pairs), labels, text, …; shapes without the batch. */
export type DataColumns = Readonly<Record<string, { readonly shape: Shape; readonly dtype: DType }>>;

/** A batch of them, flat: [B, ...shape] each. */
export type Batch = Readonly<Record<string, TensorData>>;

/**
 * "full": as they come with the data. "dropped": a share of the samples has nothing given, for classifier-free guidance.
 * "dropped-together": in a share of the steps no sample has anything given (SwiftBrush).
 */
export type CondKind = "full" | "dropped" | "dropped-together";

export interface Draws {
  readonly batch: number;
  readonly sampleShape: Shape;
  /** A column of the data [B, ...shape]. Throws a RangeError for one that the source does not have. */
  data(column: string): Tensor;
  /** The model's conditions that come with the data; `prefix` tells two sources apart ("pair_labels"). */
  cond(kind: CondKind, prefix?: string): Cond;
  /** Standard normal numbers [B, ...shape], fresh each step; the shape of a sample unless given. */
  normal(name: string, shape?: Shape): Tensor;
  /** A time of every sample, by its quantile function; the samples of a step cover it evenly. */
  clock(name: string, law: (q: number) => number): Clock;
  /** A time that depends on another: law(q, t) with q uniform in [0, 1). */
  clockAfter(name: string, t: Clock, law: (q: number, t: number) => number): Clock;
  /** A number per sample [B], by its quantile function. */
  number(name: string, law: (q: number) => number): Tensor;
  /** A scalar that rises with the steps from 0, and is 1 from the step `over` on. */
  ramp(over: number): Tensor;
  /** What is made once per program and used by several losses: the generator's samples. */
  share<T>(name: string, make: () => T): T;
  /** Gives a value a name, by which it can be logged or tested: [B, …], or a scalar. Returns it. */
  note(name: string, x: Tensor): Tensor;
}

export interface HostDraws extends Draws {
  /** Everything named by `note`. */
  readonly notes: ReadonlyMap<string, Tensor>;
  /**
   * The values of one step for the inputs that were asked for; of a part, for its rows alone, of which `batch` is then as
   * well. `drop`: share of conditions dropped.
   */
  feeds(step: StepKey, batch: Batch, drop: number): Record<string, TensorData>;
  /** Whether conditions are dropped in some losses. */
  drops(): boolean;
  /** Computes what depends on times near both ends of their laws. Throws a RangeError where a read is singular. */
  tryEnds(): void;
}

export interface StepKey {
  /** Of the run. */
  readonly root: Key;
  /** From 1. */
  readonly step: number;
  /** Where the program computes a part of the step's batch: its first row, and the rows in all. Default: the whole. */
  readonly part?: { readonly from: number; readonly of: number };
}

interface Law {
  readonly name: string;
  readonly after?: Clock;
  readonly law: (q: number, t: number) => number;
}

interface Drop {
  readonly id: string;
  readonly prefix: string;
  readonly column: string;
  readonly together: boolean;
  readonly none: Float32Array | BigInt64Array;
}

const NUMBER = "number ";
/** A quantile so near the end that laws with atoms are at the outermost one. */
const END = 1e-6;
const itself = (x: number): number => x;

/** What a step is fed with, for a batch of samples of this shape [B, ...sampleShape]: graph inputs on one side, their values on the other. */
export function drawsOf(batch: number, sampleShape: Shape, conditions: Columns, columns: DataColumns): HostDraws {
  const inputs = new Map<string, Tensor>();
  const once = (name: string, make: () => Tensor): Tensor => {
    const known = inputs.get(name) ?? make();
    inputs.set(name, known);
    return known;
  };
  const all = clocks(batch);
  const laws: Law[] = [];
  const drawn = (law: Law): Clock => {
    if (!laws.some(({ name }) => name === law.name)) laws.push(law);
    return all.clock(law.name);
  };
  /** Times [batch] by their names, from the quantile of every sample. */
  const timesAt = (quantiles: (name: string, index: number) => (k: number) => number) => {
    const times: Record<string, Float64Array> = {};
    for (const [i, { name, after, law }] of laws.entries()) {
      const q = quantiles(name, i);
      times[name] = Float64Array.from({ length: batch }, (_, k) => {
        const t = after?.shows(Object.fromEntries(Object.entries(times).map(([n, values]) => [n, values[k]]))) ?? 0;
        return law(q(k), t);
      });
    }
    return times;
  };
  const noises: { readonly name: string; readonly size: number }[] = [];
  const drops: Drop[] = [];
  const ramps: number[] = [];
  const notes = new Map<string, Tensor>();
  const shared = new Map<string, unknown>();
  const data = (column: string): Tensor => {
    const known = columns[column];
    if (!known)
      throw new RangeError(
        `This step needs "${column}" of its data, which has: ${Object.keys(columns).join(", ") || "nothing"}.`,
      );
    return once(column, () => input(column, [batch, ...known.shape], known.dtype));
  };
  const fromData = Object.entries(conditions).filter(([, c]) => c.given === "data");
  const suffix = { dropped: ".dropped", "dropped-together": ".together" };
  return {
    batch,
    sampleShape,
    notes,
    data,
    cond: (kind, prefix = "") =>
      Object.fromEntries(
        fromData.map(([name, { shape, dtype, none }]) => {
          const from = `${prefix}${name}`;
          if (kind === "full" || none === undefined) return [name, data(from)];
          data(from);
          const id = `${from}${suffix[kind]}`;
          return [
            name,
            once(id, () => {
              drops.push({ id, prefix, column: name, together: kind === "dropped-together", none });
              return input(id, [batch, ...shape], dtype);
            }),
          ];
        }),
      ),
    normal: (name, shape = sampleShape) =>
      once(`~${name}`, () => {
        noises.push({ name, size: sizeOf(shape) });
        return input(`~${name}`, [batch, ...shape]);
      }),
    clock: (name, law) => drawn({ name, law }),
    clockAfter: (name, after, law) => drawn({ name, after, law }),
    number: (name, law) => drawn({ name: `${NUMBER}${name}`, law }).column(itself, 1),
    ramp: (over) =>
      once(`ramp ${over}`, () => {
        ramps.push(over);
        return input(`ramp ${over}`, []);
      }),
    share<T>(name: string, make: () => T): T {
      if (!shared.has(name)) shared.set(name, make());
      return shared.get(name) as T;
    },
    note(name, x) {
      notes.set(name, x);
      return x;
    },
    drops: () => drops.length > 0,
    tryEnds() {
      const ends = [END, 1 - END];
      for (const first of [0, 1])
        for (const apart of [0, 1]) all.feeds(timesAt((_, i) => (k) => ends[(first + apart * i + k) % 2]));
    },
    feeds({ root, step, part = { from: 0, of: batch } }, given, drop) {
      const { from, of } = part;
      const times = timesAt((name) => {
        // "t" covers the samples in their order, all others in an order of their own: they are independent of it.
        const q = stratified(of, uniform(fold(root, name === "t" ? "time" : `time ${name}`, step), 1)[0]);
        const order = name === "t" ? undefined : permutation(fold(root, `order ${name}`, step), of);
        return (k) => q[order?.[from + k] ?? from + k];
      });
      const feeds: Record<string, TensorData> = { ...all.feeds(times) };
      for (const name of inputs.keys()) {
        if (!(name in columns)) continue;
        if (!given[name]) throw new RangeError(`The batch of step ${step} has no "${name}".`);
        feeds[name] = given[name];
      }
      for (const over of ramps) feeds[`ramp ${over}`] = Float32Array.of(Math.min(1, step / over));
      for (const { name, size } of noises) feeds[`~${name}`] = rowsOf(fold(root, name, step), from, batch, size);
      for (const { id, prefix, column, together, none } of drops) {
        // All columns of a sample are dropped at once.
        const what = `drop${together ? " together" : ""}${prefix && ` ${prefix}`}`;
        const q = uniform(fold(root, what, step), together ? 1 : of);
        const values = given[`${prefix}${column}`].slice();
        for (let i = 0; i < batch; i++) if (q[together ? 0 : from + i] < drop) put(values, none, i);
        feeds[id] = values;
      }
      return feeds;
    },
  };
}

/** Every row has a key of its own: whoever computes with some rows draws those alone. */
function rowsOf(step: Key, from: number, count: number, size: number): Float32Array {
  const rows = new Float32Array(count * size);
  for (let i = 0; i < count; i++) normal(fold(step, from + i), size, rows.subarray(i * size, (i + 1) * size));
  return rows;
}

/** Both are of the column's type, which the batch was read as. */
const put = (values: TensorData, none: Float32Array | BigInt64Array, row: number): void =>
  (values as Float32Array).set(none as Float32Array, row * none.length);
