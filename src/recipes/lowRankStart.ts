// A start of which only a low-rank change is trained: every method that takes it makes a LoRA.

import { initialize } from "../nn/initialize.ts";
import { blockLayers, type LowRank } from "../nn/lowRank.ts";
import { changed, lowRankNetwork } from "../nn/lowRankNetwork.ts";
import { collect } from "../nn/network.ts";
import { fromConstants, type ParamSpec, type Params, unflatten } from "../nn/params.ts";
import type { Key } from "../random.ts";
import type { NetModel, Start } from "./recipe.ts";

export type LowRankOptions = Pick<LowRank, "rank"> & Partial<Omit<LowRank, "rank">>;

/**
 * `spec`: the network's own parameters; `base`: their values. `layers` default to all matrices and convolutions inside
 * blocks, `alpha` to the rank. Throws a RangeError for a layer that there is not, and for a network without any.
 */
export function lowRankStart(
  start: Pick<Start, "model" | "network" | "timeInput" | "sampler">,
  spec: readonly ParamSpec[],
  base: Params,
  { rank, alpha = rank, layers = [] }: LowRankOptions,
  seed: Key,
): Start {
  const chosen = layers.length > 0 ? layers : blockLayers(spec);
  if (chosen.length === 0)
    throw new RangeError("This network has no blocks whose layers could be changed: name them, or train all weights.");
  const unknown = chosen.find(
    (layer) => !spec.some(({ name, shape }) => name === `${layer}.weight` && shape.length >= 2),
  );
  if (unknown !== undefined)
    throw new RangeError(`The network has no layer "${unknown}" with a matrix or convolution that could be changed.`);
  const frozen = { base, names: new Set(spec.map(({ name }) => name)), change: { rank, alpha, layers: chosen } };
  const network = lowRankNetwork(start.network, frozen);
  const own = collect(network);
  const theta = initialize(own, seed);
  // The model may read the network in another form: what it does around it stays.
  const { apply } = start.model;
  const model: NetModel = { ...start.model, apply: (p, ...given) => apply(changed(frozen, p), ...given) };
  return { ...start, network, model, spec: own, theta, params: fromConstants(unflatten(own, theta)) };
}
