// Noise and the sample a teacher made of it, computed beforehand: Rectified Diffusion, reflow.

import type { Form } from "../core/index.ts";
import type { Coupling } from "./coupling.ts";

/**
 * `x` is the teacher's sample at t = 0, `noise` the state its sampler started from at t = 1. So the first end of the
 * pair has the row of the state at t = 1 and not that of pure noise: a table whose last SNR is not zero (Stable
 * Diffusion's) starts sampling from pure noise all the same, and a student that took the start for eps would be wrong
 * by r(1)·alpha(1) there (a mismatch in Rectified Diffusion, section 3.1). `prefix` begins the columns' names.
 */
export const storedPairs =
  (form: Form, prefix = ""): Coupling =>
  (draws, clock) => ({
    clock,
    a: draws.data(`${prefix}noise`),
    rowA: () => form.at(1),
    b: draws.data(`${prefix}x`),
    rowB: () => form.at(0),
  });
