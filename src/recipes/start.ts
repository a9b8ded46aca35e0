// From a network and its weights to a start.

import type { TimeInput } from "../model.ts";
import type { Network } from "../nn/network.ts";
import { fromConstants, type ParamSpec, unflatten } from "../nn/params.ts";
import type { SamplerSpec } from "../run/card.ts";
import { evenly } from "./parts.ts";
import type { NetModel, Start } from "./recipe.ts";

export interface StartParts {
  readonly model: NetModel;
  readonly network: Network;
  readonly timeInput: TimeInput;
  readonly spec: readonly ParamSpec[];
  /** [P] */
  readonly theta: Float32Array;
  /** How it is sampled; default 50 steps of ddim. */
  readonly sampler?: SamplerSpec;
}

/** Its weights as constants, for what asks it, and as a vector, for what trains it further. */
export const startOf = ({ sampler = evenly([50]), ...parts }: StartParts): Start => ({
  ...parts,
  sampler,
  params: fromConstants(unflatten(parts.spec, parts.theta)),
});
