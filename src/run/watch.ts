// Trainings that look alive and are not: a discriminator that has learned nothing, a critic that does not follow.

import type { Stage } from "../recipes/recipe.ts";

/** Steps over which means are taken, and for how many such windows in a row a value must be wrong. */
const WINDOW = 100;
const PATIENCE = 3;
/** The relative distance below which a value counts as the one of knowing nothing. */
const NEAR = 0.02;
/** A critic whose error is above the teacher's by this factor does not follow the samples. */
const LAG = 1.05;

/** Told the notes of every step; says in a sentence, once each, what is wrong. */
export function watcher({
  nothing = {},
  lag,
}: Pick<Stage, "nothing" | "lag">): (notes: Readonly<Record<string, number>>) => string | undefined {
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
      const wrong = seen !== undefined && Math.abs(seen - value) <= NEAR * value;
      return judge(
        name,
        wrong,
        `The ${name}'s loss has stayed at ${value.toFixed(3)} for ${span} steps: it has learned nothing, so it moves the student nowhere. Raise its learning rate or its weight.`,
      );
    });
    if (lag) {
      const [ours, theirs] = [mean(lag.critic), mean(lag.teacher)];
      const wrong = ours !== undefined && theirs !== undefined && ours > LAG * theirs;
      sentences.push(
        judge(
          "lag",
          wrong,
          `For ${span} steps the critic has known the student's samples worse than the teacher does (error ${ours?.toPrecision(3)} against ${theirs?.toPrecision(3)}): it lags. Raise --critic-rate, or let the student move less often.`,
        ),
      );
    }
    sums.clear();
    return sentences.find((sentence) => sentence !== undefined);
  };
}
