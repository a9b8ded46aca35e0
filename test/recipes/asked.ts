// The stages of every method on small teachers, and what their losses ask for.

import { type Form, type Prediction, vPrediction, vp } from "../../src/core/index.ts";
import type { CondKind, Draws } from "../../src/draws.ts";
import { drawsOf } from "../../src/draws.ts";
import { input } from "../../src/graph/index.ts";
import { fromTensors } from "../../src/nn/params.ts";
import { key } from "../../src/random.ts";
import { diffusion, type Recipe, recipes, type Stage, type Start } from "../../src/recipes/index.ts";
import { startOf } from "../../src/recipes/start.ts";
import { outline } from "../../src/run/outline.ts";
import { columnsOf } from "../../src/run/step.ts";
import { tinyModel } from "../run/helpers.ts";

export type Options = Readonly<Record<string, unknown>>;
const all = [...recipes, diffusion] as unknown as readonly Recipe[];
export const [tMin, tMax] = [0.04, 0.96];
export const cut = (form: Form): Form => ({ ...form, tMin, tMax });
export const start = (
  form: Form,
  prediction: Prediction = vPrediction,
  offset = 0,
  classes: number | null = 3,
): Start => startOf({ ...tinyModel(form, prediction, classes), timeInput: { scale: 1000, offset } });
export const teacher = start(cut(vp()));
export const stagesOf = (name: string, o: Options = {}, from = teacher): readonly Stage[] => {
  const recipe = all.find((r) => r.name === name) as Recipe;
  const options = recipe.options.parse(o);
  return outline(() => recipe.stages(from, recipe.resolve?.(from, options) ?? options, key(1)));
};

export interface Asked {
  readonly laws: Map<string, (q: number, t: number) => number>;
  readonly noise: Set<string>;
  /** "dropped", "pair_full": kinds of conditions with the prefix of their source. */
  readonly conds: Set<string>;
  readonly notes: Set<string>;
}
/** What the losses of a stage's players ask for, by player. */
export function askedBy(stage: Stage): Record<string, Asked> {
  return Object.fromEntries(
    stage.players.map((player): [string, Asked] => {
      const draws = drawsOf(2, stage.model.sampleShape, stage.model.conditions, columnsOf(stage));
      const asked: Asked = { laws: new Map(), noise: new Set(), conds: new Set(), notes: new Set() };
      const watched: Draws = {
        ...draws,
        clock(name, law) {
          asked.laws.set(name, law);
          return draws.clock(name, law);
        },
        clockAfter(name, t, law) {
          asked.laws.set(name, law);
          return draws.clockAfter(name, t, law);
        },
        number(name, law) {
          asked.laws.set(name, law);
          return draws.number(name, law);
        },
        normal(name, ...shape) {
          asked.noise.add(name);
          return draws.normal(name, ...shape);
        },
        cond(kind: CondKind, prefix = "") {
          asked.conds.add(`${prefix}${kind}`);
          return draws.cond(kind, prefix);
        },
        note(name, x) {
          asked.notes.add(name);
          return draws.note(name, x);
        },
      };
      const table = (name: string, average?: string) => {
        const { spec } = stage.players.find((p) => p.name === name) as { spec: typeof player.spec };
        const vector = `${name}.${average ?? "theta"}`;
        return fromTensors(new Map(spec.map((s) => [s.name, input(`${vector}.${s.name}`, s.shape)])));
      };
      player.loss(table, watched);
      return [player.name, asked];
    }),
  );
}
