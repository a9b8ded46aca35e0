// Flow matching on the straight path (Lipman et al. 2023, eq. 23; the 1-rectified flow of Liu et al. 2023, eq. 1).
// It is `diffusion` on the linear form with the velocity: only the time law is a choice of its own.

import { logitNormal, uniform } from "../core/index.ts";
import { diffusion } from "./diffusion.ts";
import type { NetModel, Plan } from "./plan.ts";

export interface FlowMatchingOptions {
  /** Logit-normal times favor the middle (Esser et al. 2024, section 3.1). */
  readonly times: "uniform" | "logit-normal";
}

export function flowMatching(model: NetModel, options: FlowMatchingOptions): Plan {
  return {
    ...diffusion(model),
    method: "flow-matching",
    times: options.times === "uniform" ? uniform() : logitNormal(),
    sampler: { solver: "euler", grid: { kind: "uniform" }, steps: [50] },
  };
}
