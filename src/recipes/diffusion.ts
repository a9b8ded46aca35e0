// Diffusion training (Ho et al. 2020, eq. 14; Salimans & Ho 2022 for v): noise the data, predict what was hidden.

import { uniform } from "../core/index.ts";
import { independent } from "../couplings/independent.ts";
import { distance } from "../objectives/distances.ts";
import { regress } from "../objectives/regress.ts";
import type { NetModel, Plan } from "./plan.ts";

/** The model's form and prediction are the method; the loss is the plain mean square of Ho et al.'s L_simple. */
export function diffusion(model: NetModel): Plan {
  return {
    method: "diffusion",
    model,
    coupling: independent,
    objective: regress(model, { distance: distance({ kind: "mse" }) }),
    times: uniform({ from: model.form.tMin, to: model.form.tMax }),
    source: "data",
    sampler: { solver: "ddim", grid: { kind: "uniform" }, steps: [50] },
  };
}
