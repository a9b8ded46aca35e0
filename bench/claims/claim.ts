// What a claim is: plans to run, and the rule that turns their numbers into a verdict.

import type { Compared } from "../../src/node/compare.ts";
import type { Claimed } from "./plans.ts";
import type { Part } from "./verdict.ts";

/** The comparisons of a claim's plans, in their order, and what was computed besides. */
export interface Found {
  readonly compared: readonly Compared[];
  readonly extra?: Readonly<Record<string, number>>;
}

export interface Claim {
  readonly id: string;
  readonly says: string;
  readonly caveat: string;
  readonly plans: readonly Claimed[];
  /** Needs more than plans: see extras.ts. */
  readonly extra?: "shuffled" | "matched";
  parts(found: Found): readonly Part[];
  /** What the caveat asks to be looked at; it has no say in the verdict. */
  controls(found: Found): readonly Part[];
  readonly note: string;
}
