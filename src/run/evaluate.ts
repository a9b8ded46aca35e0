// Evaluation: one sampler at several numbers of steps, measured against data and against a finer solution of a teacher.

import type { Grid } from "../core/index.ts";
import { type EndpointState, endpoint, type Measured, type Metric, type Rows, rows } from "../metrics/index.ts";
import type { Solver } from "../solvers/index.ts";
import { nothingGiven, type Sampler, sample, sampleAll } from "./sample.ts";

/** Samples to the rows that metrics compare: the features of a network, or the samples themselves. */
export interface FeatureMap {
  readonly name: string;
  readonly dim: number;
  apply(x: Float32Array, n: number): Promise<Float32Array>;
}

export interface EvaluateOptions {
  readonly n: number;
  readonly seed: number;
  readonly solver: Solver;
  /** One grid per number of steps. */
  readonly grids: readonly Grid[];
  readonly label?: number;
  /** Index of the first sample, where these are a part of more. Default 0. */
  readonly from?: number;
  readonly features?: FeatureMap;
  /** Over the features. */
  readonly metrics?: readonly Metric<Rows>[];
  /** Where the teacher ends from the same noise [n, ...sampleShape], of these samples. */
  readonly ends?: Float32Array;
  /** Keeps what the values are read from. */
  readonly keepStates?: boolean;
  readonly onStep?: (progress: { readonly done: number; readonly total: number }) => void;
}

export interface Evaluation {
  readonly kind: "evaluation";
  readonly steps: number;
  /** Network evaluations per sample, both parts of a guided one counted. */
  readonly nfe: number;
  readonly n: number;
  /** Seconds of sampling per sample, features and metrics not counted. */
  readonly seconds: number;
  /** By the metrics' names, and "endpoint" with `ends`. Metrics that refused are in `notes` instead. */
  readonly values: Readonly<Record<string, Measured>>;
  readonly notes: readonly string[];
  /** With `keepStates`: what the values were read from, by the same names. Those of parts can be merged. */
  readonly states: Readonly<Record<string, unknown>>;
  /** The first samples, for a picture. */
  readonly shown: Float32Array;
}

/** Samples kept for pictures. */
const SHOWN = 64;

/** Yields one evaluation per grid, all from the same noise. */
export async function* evaluate(sampler: Sampler, o: EvaluateOptions): AsyncGenerator<Evaluation> {
  const { n, from = 0, features, metrics = [], ends, grids } = o;
  const size = sampler.model.sampleShape.reduce((a, b) => a * b, 1);
  if (ends && ends.length !== n * size)
    throw new RangeError(`There are ${ends.length / size} ends of the teacher for ${n} samples, expected one each.`);
  const total = grids.reduce((sum, grid) => sum + grid.length - 1, 0) * n;
  let before = 0;
  // The first call allocates; it must not be in the first row's time.
  await sampler.predict(new Float32Array(sampler.batch * size), grids[0][0], nothingGiven(sampler));
  for (const times of grids) {
    const apart = endpoint(size);
    let atEnd: EndpointState = apart.init();
    let states: readonly unknown[] = metrics.map((metric) => metric.init());
    let [seconds, nfe] = [0, 0];
    const shown: Float32Array[] = [];
    let mark = performance.now();
    const onStep: EvaluateOptions["onStep"] = ({ done }) => o.onStep?.({ done: before + done, total });
    for await (const part of sample(sampler, { ...o, times, onStep })) {
      seconds += (performance.now() - mark) / 1000;
      nfe = part.nfe;
      if (part.from < SHOWN) shown.push(part.x.subarray(0, (SHOWN - part.from) * size));
      if (ends) {
        const theirs = rows(ends.subarray((part.from - from) * size, (part.from - from + part.count) * size), size);
        atEnd = apart.add(atEnd, { ours: rows(part.x, size), theirs });
      }
      if (features && metrics.length > 0) {
        const seen = rows(await features.apply(part.x, part.count), features.dim);
        states = metrics.map((metric, i) => metric.add(states[i], seen));
      }
      mark = performance.now();
    }
    const values: Record<string, Measured> = {};
    const notes: string[] = [];
    const read = (name: string, value: () => Measured) => {
      try {
        const measured = value();
        values[name] = measured;
        notes.push(...measured.notes);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        notes.push(error.message);
      }
    };
    if (ends) read("endpoint", () => apart.value(atEnd));
    if (features) for (const [i, metric] of metrics.entries()) read(metric.name, () => metric.value(states[i]));
    const seen = features ? Object.fromEntries(metrics.map(({ name }, i) => [name, states[i]])) : {};
    const kept = { ...seen, ...(ends ? { endpoint: atEnd } : {}) };
    before += (times.length - 1) * n;
    yield {
      kind: "evaluation",
      steps: times.length - 1,
      nfe,
      n,
      seconds: seconds / n,
      values,
      notes,
      states: o.keepStates ? kept : {},
      shown: concat(shown),
    };
  }
}

/** Where a sampler ends from the noise of these samples: what `ends` compares to. */
export async function endsOf(
  sampler: Sampler,
  o: Pick<EvaluateOptions, "n" | "from" | "seed" | "solver" | "label" | "onStep"> & { readonly times: Grid },
): Promise<Float32Array> {
  return (await sampleAll(sampler, o)).x;
}

function concat(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
