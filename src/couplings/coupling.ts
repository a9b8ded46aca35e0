// A coupling turns a batch into points of trajectories to learn from. Nothing in it is differentiated.

import type { Tensor } from "../graph/index.ts";
import type { Clock, Pair } from "../pair.ts";

/** What a step is fed: [B, ...sampleShape] twice, int64 [B] twice. */
export interface BatchTensors {
  /** Data, or the stored samples of a teacher. */
  readonly x: Tensor;
  /** Standard normal noise, or the noise the stored samples came from. */
  readonly noise: Tensor;
  readonly labels?: Tensor;
  /** The labels, some replaced by "no label" (for classifier-free guidance). */
  readonly dropped?: Tensor;
}

export interface Draw {
  readonly pair: Pair;
  /** What the student is conditioned on. */
  readonly labels?: Tensor;
}

export type Coupling = (batch: BatchTensors, clock: Clock) => Draw;
