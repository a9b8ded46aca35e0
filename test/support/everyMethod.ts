// Every method with guidance and every part of its loss, as stages on a teacher with classes, and data for them.

import { classCount } from "../../src/condition.ts";
import { sizeOf, type TensorData } from "../../src/graph/index.ts";
import { fold, key, normal, randint } from "../../src/random.ts";
import { type Recipe, recipes, type Stage, type Start } from "../../src/recipes/index.ts";
import { outline } from "../../src/run/outline.ts";
import { columnsOf } from "../../src/run/step.ts";
import { freshState, type TrainOptions, train } from "../../src/run/train.ts";
import type { Runtime } from "../../src/runtime/index.ts";

type Options = Readonly<Record<string, unknown>>;
const options: Readonly<Record<(typeof recipes)[number]["name"], Options>> = {
  perflow: { guidance: 2, windows: 2, teacherSteps: 2, teacherSolver: "dpm++2m", atStarts: 0.5, weight: "endpoint" },
  "rectified-diffusion": { guidance: 2 },
  "rectified-diffusion-phased": { guidance: 2, windows: 2, teacherSteps: 1 },
  "rectified-diffusion-cd": { guidance: 2 },
  reflow: { guidance: 2, start: "snr-matched" },
  instaflow: { guidance: 2 },
  consistency: { guidance: 2, boundary: "edm" },
  lcm: { embedding: 8 },
  progressive: { from: 2, to: 1 },
  dmd: { guidance: 2, gan: 0.1, steps: 2 },
  // As the teacher is guided, the critic, which begins as the teacher, would move nothing at first.
  swiftbrush: { guidance: 2, criticGuidance: 1, rank: 2 },
  adversarial: { guidance: 2 },
  meanflow: { guidance: 2 },
  scm: { guidance: 2, tangentWarmup: 2 },
};

/** The stages of every method, by its name. */
export const stagesOfEvery = (teacher: Start): readonly (readonly [name: string, stages: readonly Stage[]])[] =>
  (recipes as unknown as readonly Recipe[]).map((recipe) => {
    const own = recipe.options.parse(options[recipe.name as keyof typeof options]);
    return [recipe.name, outline(() => recipe.stages(teacher, recipe.resolve?.(teacher, own) ?? own, key(4)))];
  });

/** Random values for every column that a stage has, data within [−1, 1] by and large. */
const dataOf = (stage: Stage, batch: number) => (step: number) =>
  Object.fromEntries(
    Object.entries(columnsOf(stage)).map(([name, { shape, dtype }]): [string, TensorData] => {
      const [own, count] = [fold(key(8), name, step), batch * sizeOf(shape)];
      const classes = classCount(stage.model.conditions);
      if (dtype === "int64") return [name, BigInt64Array.from(randint(own, count, classes), BigInt)];
      return [name, normal(own, count).map((x) => (name.endsWith("noise") ? x : 0.5 * x))];
    }),
  );

/** Losses and norms of all players, step by step. */
export async function lossesOf(stage: Stage, on: Runtime, o: TrainOptions): Promise<number[]> {
  const found: number[] = [];
  for await (const event of train(stage, dataOf(stage, o.batch), on, freshState(stage), o))
    if (event.kind === "step") for (const { loss, norm } of Object.values(event.players)) found.push(loss, norm);
  return found;
}
