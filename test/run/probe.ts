// A training that shows what steps are fed: its loss is whatever a test wants to see of a draw.

import type { Clock } from "../../src/clock.ts";
import { labelColumn } from "../../src/condition.ts";
import { linear, type TimeLaw, uniform, velocity } from "../../src/core/index.ts";
import { independent } from "../../src/couplings/independent.ts";
import type { Batch } from "../../src/draws.ts";
import { add, mul, sum, type Tensor } from "../../src/graph/index.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { noised, type Pair } from "../../src/pair.ts";
import { evenly } from "../../src/recipes/parts.ts";
import { type NetModel, type Player, STUDENT, type Stage } from "../../src/recipes/recipe.ts";
import { startOf } from "../../src/recipes/start.ts";
import {
  freshState,
  randomWeights,
  type TrainEvent,
  type TrainOptions,
  type TrainState,
  train,
} from "../../src/run/train.ts";
import type { Runtime } from "../../src/runtime/index.ts";

/** What a sample is made of; labels only where there are some. */
export interface Draw {
  readonly pair: Pair;
  readonly labels?: Tensor;
}

/** A loss per sample [B], of the draw, the times and the two weights [2]. */
export type Measure = (draw: Draw, clock: Clock, weights: Tensor) => Tensor;

export interface Probe {
  readonly measure: Measure;
  readonly times?: TimeLaw;
  /** Labels are 0; a dropped one is 1. */
  readonly labels?: boolean;
  /** Comes with the data, as it does with stored pairs. */
  readonly noise?: Float32Array;
}

const WEIGHTS = { spec: [{ name: "weights", shape: [2], init: "zeros" }], start: Float32Array.of(0.5, -0.25) } as const;

export const start: TrainState = freshState({ players: [{ ...WEIGHTS, name: STUDENT, loss: () => never() }] });

/** The vectors of the only player. */
export const studentOf = ({ players }: TrainState) => players[STUDENT];

const network = buildNetwork({ family: "mlp", config: { dim: 1, width: 4, depth: 1 } });
const timeInput = { scale: 1, offset: 0 };

/** A stage around players of a test's own, on the line with samples of one number. */
export function stageWith(
  players: readonly [Player, ...Player[]],
  { labels = false, source = { data: "" } }: { labels?: boolean; source?: Stage["source"] } = {},
): Stage {
  const model: NetModel = {
    form: linear(),
    prediction: velocity,
    sampleShape: [1],
    conditions: labels ? { labels: labelColumn(2) } : {},
    apply: (_, x) => x,
  };
  return { name: "probe", model, network, timeInput, players, source, sampler: evenly([1], "euler"), share: 1 };
}

export function probe(
  { measure, times = uniform(), labels = false, noise }: Probe,
  runtime: Runtime,
  options: Partial<TrainOptions> = {},
  from: TrainState = start,
): AsyncGenerator<TrainEvent> {
  const player: Player = {
    ...WEIGHTS,
    name: STUDENT,
    loss: (params, draws) => {
      const clock = draws.clock("t", times);
      const pair = noise ? noised(clock, draws.data("x"), draws.data("noise")) : independent(draws, clock);
      const weights = params(STUDENT)("weights", [2]);
      return add(measure({ pair, ...draws.cond("dropped") }, clock, weights), mul(sum(weights), 0));
    },
  };
  const stage = stageWith([player], { labels, ...(noise ? { source: { pairs: storedPairs() } } : {}) });
  const { batch = 8 } = options;
  const data = (step: number): Batch => ({
    x: new Float32Array(batch).fill(step),
    labels: new BigInt64Array(batch),
    ...(noise ? { noise } : {}),
  });
  return train(stage, data, runtime, from, { ...usual, ...options });
}

/** Options that a test changes some of. */
export const usual: TrainOptions = {
  batch: 8,
  steps: 3,
  rate: { kind: "constant", peak: 0.1, warmup: 1, final: 1 },
  ema: 0.9,
  clip: 1,
  dropLabels: 0,
  seed: 1,
  saveEvery: 100,
};

function storedPairs(): NonNullable<Stage["source"]["pairs"]> {
  const spec = collect(network);
  const { model } = stageWith([{ ...WEIGHTS, name: STUDENT, loss: () => never() }]);
  const teacher = startOf({ model, network, timeInput, spec, theta: randomWeights(spec, 1) });
  return { prefix: "", teacher, guidance: 1, solver: "ddim", steps: 1, pairs: 8 };
}

function never(): never {
  throw new Error("This loss is not computed.");
}

export async function all(events: AsyncGenerator<TrainEvent>): Promise<TrainEvent[]> {
  const list: TrainEvent[] = [];
  for await (const event of events) list.push(event);
  return list;
}

/** The losses of the steps: means over the batch of what was measured. */
export const losses = async (events: AsyncGenerator<TrainEvent>): Promise<number[]> =>
  (await all(events)).filter((event) => event.kind === "step").map((event) => event.loss);
