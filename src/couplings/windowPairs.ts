// The two ends of a window of the teacher's trajectory, solved online from noised data (PeRFlow, section 3.1).

import type { Windows } from "../core/index.ts";
import { stopGradient, type Tensor } from "../graph/index.ts";
import { guided, type Model, predict } from "../model.ts";
import { dataRow, noiseRow, read } from "../pair.ts";
import type { Coupling } from "./coupling.ts";

export interface WindowPairsOptions {
  /** DDIM steps of the teacher per window. */
  readonly steps: number;
  /**
   * The teacher's guidance. 1 ("sync"): the teacher is conditioned as the student is, dropped labels included, and the
   * student can be guided later. Other values ("fixed"): full labels, and the guidance is baked into the student.
   */
  readonly guidance: number;
}

/** `p` gives the teacher's parameters: constants, never trained. */
export function windowPairs<P>(teacher: Model<P>, p: P, windows: Windows, options: WindowPairsOptions): Coupling {
  const { steps, guidance } = options;
  const solver = guided(teacher, guidance);
  return ({ x, noise, labels, dropped }, clock) => {
    const cond = guidance === 1 ? dropped : labels;
    const start = (t: number) => teacher.form.at(windows.of(t).start);
    const end = (t: number) => teacher.form.at(windows.of(t).end);
    const from = read({ clock, a: x, rowA: dataRow, b: noise, rowB: noiseRow }, start);
    let state: Tensor = from;
    for (let j = 0; j < steps; j++) {
      const time = (k: number) => (t: number) => {
        const w = windows.of(t);
        return w.start + ((w.end - w.start) * k) / steps;
      };
      // A DDIM step is the prediction read at the row of the next time.
      const evaluated = predict(solver, p, state, clock.at(time(j)), cond);
      state = read({ ...evaluated, clock, rowA: at(evaluated.rowA, time(j)), rowB: at(evaluated.rowB, time(j)) }, (t) =>
        teacher.form.at(time(j + 1)(t)),
      );
    }
    return { pair: { clock, a: from, rowA: start, b: stopGradient(state), rowB: end }, labels: dropped };
  };
}

const at =
  <R>(row: (t: number) => R, time: (t: number) => number) =>
  (t: number): R =>
    row(time(t));
