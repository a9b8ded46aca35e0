// The stages of a recipe before anything is trained: their names and shares of the budget.

import type { Key } from "../random.ts";
import type { Stage, Start } from "../recipes/recipe.ts";
import { startOf } from "../recipes/start.ts";

export type Stages = () => Generator<Stage, void, Start>;

/** What a stage ends with, given its student's kept weights. */
export const endOfStage = ({ model, network, timeInput, sampler, players }: Stage, theta: Float32Array): Start =>
  startOf({ model, network, timeInput, sampler, spec: players[0].spec, theta });

/** Every stage with the weights it would begin with if those before it did nothing. */
export function outline(stages: Stages): readonly Stage[] {
  const found: Stage[] = [];
  const generator = stages();
  let next = generator.next();
  while (!next.done) {
    found.push(next.value);
    next = generator.next(endOfStage(next.value, next.value.players[0].start));
  }
  return found;
}

/** Steps of each stage: `images` are shared out as the stages ask, each rounded up to whole batches. */
export function stepsOf(shares: readonly Pick<Stage, "share">[], images: number, batch: number): readonly number[] {
  const total = shares.reduce((sum, { share }) => sum + share, 0);
  return shares.map(({ share }) => Math.max(1, Math.ceil((images * share) / total / batch)));
}

/** The stages of a recipe's options. */
export const stagesOf =
  <O>(
    recipe: { stages(start: Start, o: O, seed: Key): Generator<Stage, void, Start> },
    start: Start,
    options: O,
    seed: Key,
  ): Stages =>
  () =>
    recipe.stages(start, options, seed);
