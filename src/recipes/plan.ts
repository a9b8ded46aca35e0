// A plan is what a recipe composes: everything that the training loop and the sampler need to know.

import type { TimeLaw } from "../core/index.ts";
import type { Coupling } from "../couplings/coupling.ts";
import type { Model } from "../model.ts";
import type { Params } from "../nn/params.ts";
import type { Objective } from "../objectives/regress.ts";
import type { SamplerSpec } from "../run/card.ts";

export type NetModel = Model<Params>;

/** A pretrained model: its network's parameters are constants from here on. */
export interface Teacher {
  readonly model: NetModel;
  readonly params: Params;
}

export interface Plan {
  readonly method: string;
  /** The student. */
  readonly model: NetModel;
  readonly coupling: Coupling;
  readonly objective: Objective<Params>;
  readonly times: TimeLaw;
  /** Where `x` and `noise` of a batch come from. */
  readonly source: "data" | "pairs";
  /** How to sample the result; stored in its card. */
  readonly sampler: SamplerSpec;
}
