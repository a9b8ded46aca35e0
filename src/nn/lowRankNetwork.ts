// A network of which only a low-rank change is trained (LoRA): its own weights are constants, and its parameters are the
// change's factors. Methods see a network like any other.

import { type LowRank, lowRank } from "./lowRank.ts";
import type { Network } from "./network.ts";
import type { Params } from "./params.ts";

export interface FrozenBase {
  /** The weights that stay. */
  readonly base: Params;
  /** Their names: parameters that the base does not have (the guidance that LCM tells) are trained whole. */
  readonly names: ReadonlySet<string>;
  readonly change: LowRank;
}

/** All parameters of the network, from those that are trained. */
export function changed({ base, names, change }: FrozenBase, p: Params): Params {
  const own: Params = (name, shape, init) => (names.has(name) ? base(name, shape) : p(name, shape, init));
  return lowRank(Object.assign<Params, Pick<Params, "tap" | "remat">>(own, { tap: p.tap, remat: p.remat }), p, change);
}

/** Parameters: "<layer>.lora_A" and "<layer>.lora_B" of the changed layers, and those that the base does not have. */
export function lowRankNetwork(network: Network, frozen: FrozenBase): Network {
  const { apply } = network;
  return {
    ...network,
    lowRank: frozen,
    apply: (p, x, tau, cond) => apply(changed(frozen, p), x, tau, cond),
  } as Network;
}
