// What a training run does from step to step, to compare devices and precisions.

import { STUDENT } from "../../src/recipes/recipe.ts";
import { freshState, train } from "../../src/run/train.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import type { Training } from "./trainings.ts";

export interface Curve {
  /** Loss and gradient norm of each step. */
  readonly curve: readonly number[];
  /** The last weights. */
  readonly end: Float32Array;
  /** Steps that were left out because the gradient overflowed. */
  readonly skipped: number;
}

export async function follow(
  { stage, data, options }: Training,
  on: Runtime,
  start = freshState(stage),
): Promise<Curve> {
  const curve: number[] = [];
  let end: Float32Array | undefined;
  let skipped = 0;
  for await (const event of train(stage, data, on, start, options)) {
    if (event.kind === "step") curve.push(event.loss, event.norm);
    else end = event.state?.players[STUDENT].theta;
    if (event.kind === "step" && event.skipped) skipped++;
  }
  if (!end) throw new Error("The run ended without a state.");
  return { curve, end, skipped };
}
