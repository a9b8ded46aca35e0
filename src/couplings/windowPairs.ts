// The two ends of a window of the teacher's trajectory, solved online from noised data (PeRFlow, section 3.1).

import type { Windows } from "../core/index.ts";
import { stopGradient } from "../graph/index.ts";
import { guided, type Model } from "../model.ts";
import { read } from "../pair.ts";
import { type SolverInGraph, solve } from "../solve.ts";
import type { Coupling } from "./coupling.ts";
import { independent } from "./independent.ts";

export interface WindowPairsOptions {
  readonly solver: SolverInGraph;
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
  const { steps, guidance, solver } = options;
  const { form } = teacher;
  const asked = guided(teacher, guidance);
  return (draws, clock) => {
    const path = Array.from({ length: steps + 1 }, (_, k) =>
      clock.at((t) => {
        const { start, end } = windows.of(t);
        return start + ((end - start) * k) / steps;
      }),
    );
    const start = (t: number) => form.at(windows.of(t).start);
    const from = draws.note("window_start", read(independent(draws, clock), start));
    const cond = draws.cond(guidance === 1 ? "dropped" : "full");
    const end = draws.note("window_end", stopGradient(solve(asked, p, from, path, cond, solver)));
    return { clock, a: from, rowA: start, b: end, rowB: (t) => form.at(windows.of(t).end) };
  };
}
