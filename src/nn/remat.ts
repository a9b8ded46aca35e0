// Gradient checkpointing of a network's blocks: a switch of its parameters, off by default.

import { checkpoint, type Tensor } from "../graph/index.ts";
import type { Params } from "./params.ts";

/** The same parameters for networks that compute their blocks again in the backward pass instead of keeping them. */
export const rematerialized = (p: Params): Params =>
  Object.assign<Params, Pick<Params, "tap" | "remat">>((name, shape, init) => p(name, shape, init), {
    tap: p.tap,
    remat: true,
  });

/** A block of a network: where the switch is on, only what it reads from outside is kept. */
export const block = (p: Params, make: () => Tensor): Tensor => (p.remat ? checkpoint(make)() : make());
