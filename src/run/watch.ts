// Trainings that look alive and are not: a discriminator that has learned nothing, a critic that does not follow.

import type { Stage } from "../recipes/recipe.ts";

/** Steps over which means are taken, and for how many such windows in a row a value must be wrong. */
const WINDOW = 100;
const PATIENCE = 3;
/** The relative distance below which a value counts as the one of knowing nothing. */
const NEAR = 0.02;
/**
 * A critic begins as the teacher, whose error is the greater one as soon as it follows the student's samples: below this
 * share of it, it does. In the end both may be equal again, and then only an error above by LAG tells that it lags.
 */
const FOLLOWS = 0.98;
const LAG = 1.05;

/**
 * Told the notes of every step after `from`; says in a sentence each, once, what is wrong. Whether a critic ever followed
 * is not known of a run that goes on, so that is taken for granted there.
 */
export function watcher(
  { nothing = {}, lag }: Pick<Stage, "nothing" | "lag">,
  from = 0,
): (notes: Readonly<Record<string, number>>) => string | undefined {
  let followed = from > 0;
  const sums = new Map<string, { sum: number; count: number }>();
  const bad = new Map<string, number>();
  const said = new Set<string>();
  let steps = 0;
  const judge = (name: string, wrong: boolean, sentence: string): string | undefined => {
    const times = wrong ? (bad.get(name) ?? 0) + 1 : 0;
    bad.set(name, times);
    if (times < PATIENCE || said.has(name)) return undefined;
    said.add(name);
    return sentence;
  };
  return (notes) => {
    for (const [name, value] of Object.entries(notes)) {
      const { sum, count } = sums.get(name) ?? { sum: 0, count: 0 };
      sums.set(name, { sum: sum + value, count: count + 1 });
    }
    if (++steps % WINDOW !== 0) return undefined;
    const mean = (name: string): number | undefined => {
      const found = sums.get(name);
      return found && found.sum / found.count;
    };
    const span = WINDOW * PATIENCE;
    const sentences = Object.entries(nothing).map(([name, value]) => {
      const seen = mean(name);
      // Fresh heads may do worse than knowing nothing.
      const wrong = seen !== undefined && seen >= (1 - NEAR) * value;
      return judge(
        name,
        wrong,
        `The ${name}'s loss has not come below ${value.toFixed(3)} for ${span} steps: it has learned nothing, so it moves the student nowhere. Raise its learning rate or its weight.`,
      );
    });
    if (lag) {
      const [ours, theirs] = [mean(lag.critic), mean(lag.teacher)];
      const known = ours !== undefined && theirs !== undefined;
      if (known && ours < FOLLOWS * theirs) followed = true;
      const wrong = known && ours > (followed ? LAG : FOLLOWS) * theirs;
      sentences.push(
        judge(
          "lag",
          wrong,
          `For ${span} steps the critic has known the student's samples no better than the teacher does (error ${ours?.toPrecision(3)} against ${theirs?.toPrecision(3)}): it lags. Raise --critic-rate, or let the student move less often.`,
        ),
      );
    }
    sums.clear();
    const found = sentences.filter((sentence) => sentence !== undefined);
    return found.length > 0 ? found.join(" ") : undefined;
  };
}
