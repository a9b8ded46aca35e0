// What a metric is: a stream of batches in, one number with its honest context out.

/** n points of dimension dim: images [n, C*H*W], features, points of the plane. */
export interface Rows {
  readonly n: number;
  readonly dim: number;
  /** [n, dim] */
  readonly data: Float32Array;
}

/** A number, and what has to be printed with it. */
export interface Measured {
  readonly value: number;
  /** Samples it rests on. */
  readonly n: number;
  /** Of the value, where the metric can estimate it. */
  readonly standardError?: number;
  /** 95 %, where there is a standard error. */
  readonly interval?: readonly [low: number, high: number];
  /** What n samples of the reference itself would score on average: no model can be told from the data below it. */
  readonly floor?: number;
  /** Sentences a reader of the value must see. */
  readonly notes: readonly string[];
}

/**
 * State in, state out: `add` returns a new state and leaves the old one as it was; nothing else is remembered.
 * `add` throws RangeError for a batch of another dimension, `value` for too few samples.
 */
export interface Metric<Sample = Rows, State = unknown> {
  readonly name: string;
  readonly better: "lower" | "higher";
  init(): State;
  add(state: State, batch: Sample): State;
  value(state: State): Measured;
}

/** One batch through a metric. */
export function measure<Sample, State>(metric: Metric<Sample, State>, sample: Sample): Measured {
  return metric.value(metric.add(metric.init(), sample));
}

/** Throws RangeError unless data holds a whole number of points. */
export function rows(data: Float32Array, dim: number): Rows {
  const n = data.length / dim;
  if (!Number.isInteger(dim) || dim < 1) throw new RangeError(`The dimension is ${dim}, expected a positive integer.`);
  if (!Number.isInteger(n)) throw new RangeError(`There are ${data.length} values, expected a multiple of ${dim}.`);
  return { n, dim, data };
}

/** Several batches as one. Throws RangeError where there are none or their dimensions differ. */
export function gather(parts: readonly Rows[]): Rows {
  if (parts.length === 0) throw new RangeError("No samples were added, so there is nothing to measure.");
  const { dim } = parts[0];
  const n = parts.reduce((sum, part) => sum + checkDim(part, dim).n, 0);
  if (parts.length === 1) return parts[0];
  const data = new Float32Array(n * dim);
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { n, dim, data };
}

/** Throws RangeError unless the batch has this dimension and as many values as it says. */
export function checkDim(batch: Rows, dim: number): Rows {
  if (batch.dim !== dim) throw new RangeError(`A batch has dimension ${batch.dim}, expected ${dim}.`);
  if (batch.data.length !== batch.n * dim)
    throw new RangeError(`A batch has ${batch.data.length} values, expected ${batch.n} x ${dim}.`);
  return batch;
}

/** A metric that needs all samples at once: the state is the list of batches. */
export function overAll(
  name: string,
  better: "lower" | "higher",
  dim: number,
  value: (sample: Rows) => Measured,
): Metric<Rows, readonly Rows[]> {
  return {
    name,
    better,
    init: () => [],
    add: (state, batch) => [...state, checkDim(batch, dim)],
    value: (state) => value(gather(state)),
  };
}
