// PeRFlow (Yan et al. 2024, algorithm 1): solve the teacher inside each window from noised data, move straight between
// the two ends. The path is the chord of the teacher's form, so the student is an ordinary model on that form.
//
// Differs from the published code: times are real numbers, so a window's solve has no rounded indices; the student is
// told the teacher's own time label (the published one is off by one index); `weight: "endpoint"` is ours (below).

import { chord, diffEps, eps, type Prediction, u, uniformWindows, withAtoms } from "../core/index.ts";
import { transfer } from "../core/row.ts";
import { windowPairs } from "../couplings/windowPairs.ts";
import { type DistanceSpec, distance } from "../objectives/distances.ts";
import { regress } from "../objectives/regress.ts";
import type { Plan, Teacher } from "./plan.ts";

export interface PerflowOptions {
  readonly windows: number;
  readonly teacherSolver: "ddim" | "dpm++2m";
  /** Steps of the teacher per window; the paper uses 8. */
  readonly teacherSteps: number;
  /** Guidance of the teacher's solves: 1 is the paper's "sync", others its "fixed". */
  readonly guidance: number;
  /** What the student predicts; ddim_eps inherits an eps teacher best. */
  readonly predict: "ddim_eps" | "diff_eps" | "velocity";
  /**
   * "uniform": the published loss. "endpoint": the squared error of the window's end as data, x/alpha, which is what
   * the next window starts from; an error of eps in the first window counts a hundred times more than in the last.
   */
  readonly weight: "uniform" | "endpoint";
  /** Share of the batch at the windows' starts, where one step per window is decided; 0 in the paper. */
  readonly atStarts: number;
  readonly distance: DistanceSpec;
}

const predictions: Readonly<Record<PerflowOptions["predict"], Prediction>> = {
  ddim_eps: eps,
  diff_eps: diffEps,
  velocity: u,
};

export function perflow(teacher: Teacher, o: PerflowOptions): Plan {
  const windows = uniformWindows(o.windows);
  const form = chord(teacher.model.form, windows);
  const model = { ...teacher.model, form, prediction: predictions[o.predict] };
  // How far an error of the prediction moves the window's end, measured there as data (x/alpha).
  const slope = (t: number): number => {
    const end = form.at(windows.of(t).end);
    return transfer(form.at(t), model.prediction.row(form, t), end)[1] / end[0];
  };
  return {
    method: "perflow",
    model,
    coupling: windowPairs(teacher.model, teacher.params, windows, {
      solver: o.teacherSolver,
      steps: o.teacherSteps,
      guidance: o.guidance,
    }),
    objective: regress(model, {
      distance: distance(o.distance),
      weight: o.weight === "endpoint" ? (t) => slope(t) ** 2 : undefined,
    }),
    times: withAtoms(o.atStarts, windows.edges.slice(0, -1)),
    source: "data",
    sampler: { solver: "ddim", grid: { kind: "windows", windows: windows.spec }, steps: [o.windows, 2 * o.windows] },
  };
}
