// Rectified Diffusion (Wang et al. 2024, algorithm 1): keep form, prediction and sampler of the teacher, retrain on pairs
// of noise and the sample the teacher makes of it. The comparison is in x0, as in the published code.
//
// Differs from it: the pair's noisy end is the state the sampler starts from (couplings/storedPairs.ts), which removes
// the terminal mismatch; and a share of the batch is at t = 1, where one step is decided.

import { uniform, withAtoms } from "../core/index.ts";
import { storedPairs } from "../couplings/storedPairs.ts";
import { type DistanceSpec, distance } from "../objectives/distances.ts";
import { regress } from "../objectives/regress.ts";
import { dataRow } from "../pair.ts";
import type { Plan, Teacher } from "./plan.ts";

export interface RectifiedDiffusionOptions {
  /** Share of the batch at t = 1, in [0, 1]. */
  readonly atNoise: number;
  readonly distance: DistanceSpec;
}

export function rectifiedDiffusion(teacher: Pick<Teacher, "model">, o: RectifiedDiffusionOptions): Plan {
  const { model } = teacher;
  return {
    method: "rectified-diffusion",
    model,
    coupling: storedPairs(model.form),
    objective: regress(model, { compare: dataRow, distance: distance(o.distance) }),
    times: withAtoms(o.atNoise, [1], uniform({ from: model.form.tMin })),
    source: "pairs",
    sampler: { solver: "ddim", grid: { kind: "uniform" }, steps: [1, 2] },
  };
}
