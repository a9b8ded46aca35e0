// Rectified Diffusion (Phased) (Wang et al. 2024, section 3.3): PeRFlow's pairs on the teacher's own curved form,
// compared at the window's end. The student keeps the teacher's prediction (eps in the paper, whose teachers predict eps).

import { uniformWindows, withAtoms } from "../core/index.ts";
import { windowPairs } from "../couplings/windowPairs.ts";
import { type DistanceSpec, distance } from "../objectives/distances.ts";
import { regress } from "../objectives/regress.ts";
import type { Plan, Teacher } from "./plan.ts";

export interface PhasedOptions {
  readonly windows: number;
  readonly teacherSolver: "ddim" | "dpm++2m";
  /** Steps of the teacher per window; the paper uses 10. */
  readonly teacherSteps: number;
  readonly guidance: number;
  /** Share of the batch at the windows' starts, where one step per window is decided; 0 in the paper. */
  readonly atStarts: number;
  readonly distance: DistanceSpec;
}

export function rectifiedDiffusionPhased(teacher: Teacher, o: PhasedOptions): Plan {
  const windows = uniformWindows(o.windows);
  const { model } = teacher;
  const { form } = model;
  return {
    method: "rectified-diffusion-phased",
    model,
    coupling: windowPairs(teacher.model, teacher.params, windows, {
      solver: o.teacherSolver,
      steps: o.teacherSteps,
      guidance: o.guidance,
    }),
    objective: regress(model, {
      compare: (t) => form.at(windows.of(t).end),
      distance: distance(o.distance),
    }),
    times: withAtoms(o.atStarts, windows.edges.slice(0, -1)),
    source: "data",
    sampler: { solver: "ddim", grid: { kind: "windows", windows: windows.spec }, steps: [o.windows, 2 * o.windows] },
  };
}
