// One of the three canvases: the model in it, what it sampled, what was measured of it.
import { edgesOf, fewestSteps, formOf, titleOf } from "../lib/models.ts";
import type { Run } from "../lib/pathAt.ts";
import type { Measures, ModelParts, Sampled } from "../worker/protocol.ts";

export interface Slot {
  readonly id: string;
  /** The custom property that has its color. */
  readonly color: string;
  title: string;
  /** What stands below the title. */
  note: string;
  problem: string | undefined;
  parts: ModelParts | undefined;
  run: Run | undefined;
  fewest: number;
  edges: readonly number[];
  measures: Record<number, Measures>;
}

export function slot(id: string, color: string, title: string): Slot {
  let parts = $state.raw<ModelParts | undefined>();
  let run = $state.raw<Run | undefined>();
  let measures = $state.raw<Record<number, Measures>>({});
  let own = $state({ title, note: "", problem: undefined as string | undefined });
  const fewest = $derived(parts ? fewestSteps(parts.card) : 1);
  const edges = $derived(parts ? edgesOf(parts.card) : []);
  return {
    id,
    color,
    get title() {
      return own.title;
    },
    set title(value) {
      own.title = value;
    },
    get note() {
      return own.note;
    },
    set note(value) {
      own.note = value;
    },
    get problem() {
      return own.problem;
    },
    set problem(value) {
      own.problem = value;
    },
    get parts() {
      return parts;
    },
    set parts(value) {
      parts = value;
      if (value) own.title = titleOf(value.card.recipe.method);
    },
    get run() {
      return run;
    },
    set run(value) {
      run = value;
    },
    get fewest() {
      return fewest;
    },
    get edges() {
      return edges;
    },
    get measures() {
      return measures;
    },
    set measures(value) {
      measures = value;
    },
  } as Slot;
}

export const runOf = ({ card }: ModelParts, { times, states }: Sampled): Run => ({ form: formOf(card), times, states });
