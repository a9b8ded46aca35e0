// The two ends of a window of the teacher's trajectory, solved online from noised data (PeRFlow, section 3.1).

import { type Form, logSnr, type Windows } from "../core/index.ts";
import { add, mul, stopGradient, sub, type Tensor } from "../graph/index.ts";
import { guided, type Model, predict } from "../model.ts";
import { dataRow, noiseRow, type Pair, read } from "../pair.ts";
import type { Coupling } from "./coupling.ts";

export interface WindowPairsOptions {
  /** The papers use ddim; dpm++2m is closer to the teacher's exact solution at equal steps. */
  readonly solver: "ddim" | "dpm++2m";
  /** Steps of the teacher per window. */
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
    const time = (k: number) => (t: number) => {
      const w = windows.of(t);
      return w.start + ((w.end - w.start) * k) / steps;
    };
    const stateAt = (k: number) => (t: number) => teacher.form.at(time(k)(t));
    let state: Tensor = from;
    let before: Tensor | null = null;
    for (let j = 0; j < steps; j++) {
      const { rowB, ...seen } = predict(solver, p, state, clock.at(time(j)), cond);
      const known: Pair = { ...seen, clock, rowA: stateAt(j), rowB: (t) => rowB(time(j)(t)) };
      if (options.solver === "ddim") {
        state = read(known, stateAt(j + 1));
        continue;
      }
      // DPM-Solver++(2M) (Lu et al. 2022, algorithm 2) is DDIM with the data prediction extrapolated along log-SNR.
      const data = read(known, dataRow);
      const reach = (t: number) => ahead(teacher.form, time(j - 1)(t), time(j)(t), time(j + 1)(t));
      const extrapolated: Tensor = before
        ? add(data, mul(clock.column(reach, data.shape.length), sub(data, before)))
        : data;
      state = read({ ...known, b: extrapolated, rowB: dataRow }, stateAt(j + 1));
      before = data;
    }
    return { pair: { clock, a: from, rowA: start, b: stopGradient(state), rowB: end }, labels: dropped };
  };
}

/** Half of the next step over the last one, in log-SNR; 0 (first order) for a step to pure data, which is infinite. */
function ahead(form: Form, previous: number, now: number, next: number): number {
  const step = logSnr(form, next) - logSnr(form, now);
  return Number.isFinite(step) ? (0.5 * step) / (logSnr(form, now) - logSnr(form, previous)) : 0;
}
