// A coupling gives two points of a trajectory of every sample to learn from. Nothing in it is differentiated.

import type { Clock } from "../clock.ts";
import type { Draws } from "../draws.ts";
import type { Pair } from "../pair.ts";

/** `clock` shows where the student will be asked. */
export type Coupling = (draws: Draws, clock: Clock) => Pair;
