// What would go wrong in a run, all of it, before anything is made: players, averages, and predictions that say nothing
// where they are asked.

import { conditioning } from "../core/index.ts";
import type { NetModel, Stage, Teacher } from "../recipes/recipe.ts";
import { askedBy } from "./step.ts";
import { freshState, type TrainState, wrongPlayers } from "./train.ts";

export interface Checked {
  readonly batch: number;
  /** Whom the stages learn from, if anyone: their students have to be readable at pure noise. */
  readonly teacher?: Teacher;
  /** A state to go on from, and the index of its stage. */
  readonly from?: { readonly stage: number; readonly state: TrainState };
}

/**
 * Throws a RangeError, one sentence for all that is wrong with the stages of a run. Returns whether any of their losses
 * drops conditions.
 */
export function checkStages(stages: readonly Stage[], { batch, teacher, from }: Checked): { readonly drops: boolean } {
  let drops = false;
  const found = stages.map((stage, index): readonly string[] => {
    const players = wrongPlayers(stage, from?.stage === index ? from.state : freshState(stage));
    // Of players that are wrong already nothing more can be asked.
    if (players.length > 0) return [`${stage.name} cannot be trained: ${players.join("; ")}`];
    const blind = [stage.model, ...(teacher ? [teacher.model] : [])].find(blindAtNoise);
    // A few-step student is sampled from where its form is noisiest; a teacher's many steps may begin a little below.
    if (teacher && blind === stage.model) return [atNoise(stage.name, blind)];
    const { draws, wrong } = askedBy(stage, batch);
    if (wrong.length > 0) return wrong;
    try {
      drops ||= draws.drops();
      draws.tryEnds();
      return [];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return [blind ? atNoise(stage.name, blind) : `${stage.name} cannot be trained: ${error.message.slice(0, -1)}`];
    }
  });
  const wrong = [...new Set(found.flat())];
  if (wrong.length > 0) throw new RangeError(`${wrong.join("; ")}.`);
  return { drops };
}

/** Whether the prediction says nothing beyond the state at the form's noisiest time: eps where alpha is 0. */
export const blindAtNoise = ({ form, prediction }: NetModel): boolean =>
  !Number.isFinite(conditioning(form.at(form.tMax), prediction.row(form, form.tMax)));

const atNoise = (name: string, { form, prediction }: NetModel): string =>
  `${name} starts at pure noise, and there ${prediction.name} says nothing of the data on the form ${form.name}, whose alpha is ${form.at(form.tMax)[0]}: ` +
  "use a teacher that predicts v, x0 or u, or one whose form keeps some of the data at t = 1 (vp), " +
  "or a method whose student learns u instead (reflow, instaflow or meanflow with --start naive)";
