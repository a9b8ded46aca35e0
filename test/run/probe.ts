// A training that shows what steps are fed: its loss is whatever a test wants to see of a draw.

import { linear, type TimeLaw, u, uniform } from "../../src/core/index.ts";
import type { Draw } from "../../src/couplings/coupling.ts";
import { independent } from "../../src/couplings/independent.ts";
import { add, mul, sum, type Tensor } from "../../src/graph/index.ts";
import type { Clock } from "../../src/pair.ts";
import type { Plan } from "../../src/recipes/plan.ts";
import {
  freshState,
  type TrainBatch,
  type TrainEvent,
  type TrainOptions,
  type TrainState,
  train,
} from "../../src/run/train.ts";
import type { Runtime } from "../../src/runtime/index.ts";

/** A loss per sample [B], of the draw, the times and the two weights [2]. */
export type Measure = (draw: Draw, clock: Clock, weights: Tensor) => Tensor;

export interface Probe {
  readonly measure: Measure;
  readonly times?: TimeLaw;
  /** Labels are 0; a dropped one is 1. */
  readonly labels?: boolean;
  readonly noise?: Float32Array;
}

export const start: TrainState = freshState(Float32Array.of(0.5, -0.25));

export function probe(
  { measure, times = uniform(), labels = false, noise }: Probe,
  runtime: Runtime,
  options: Partial<TrainOptions> = {},
  from: TrainState = start,
): AsyncGenerator<TrainEvent> {
  const plan: Plan = {
    method: "probe",
    model: {
      form: linear(),
      prediction: u,
      sampleShape: [1],
      labelCount: labels ? 2 : null,
      apply: (_, x) => x,
    },
    coupling: independent,
    objective: (p, draw, clock) => {
      const weights = p("weights", [2]);
      return add(measure(draw, clock, weights), mul(sum(weights), 0));
    },
    times,
    source: "data",
    sampler: { solver: "euler", grid: { kind: "uniform" }, steps: [1] },
  };
  const { batch = 8 } = options;
  const data = (step: number): TrainBatch => ({
    x: new Float32Array(batch).fill(step),
    labels: new BigInt64Array(batch),
    ...(noise ? { noise } : {}),
  });
  return train(plan, [{ name: "weights", shape: [2], init: "zeros" }], data, runtime, from, {
    batch,
    steps: 3,
    rate: { kind: "constant", peak: 0.1, warmup: 1, final: 1 },
    ema: 0.9,
    clip: 1,
    dropLabels: 0,
    seed: 1,
    saveEvery: 100,
    ...options,
  });
}

export async function all(events: AsyncGenerator<TrainEvent>): Promise<TrainEvent[]> {
  const list: TrainEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

/** The losses of the steps: means over the batch of what was measured. */
export const losses = async (events: AsyncGenerator<TrainEvent>): Promise<number[]> =>
  (await all(events)).filter((event) => event.kind === "step").map((event) => event.loss);
