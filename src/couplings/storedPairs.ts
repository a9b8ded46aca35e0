// Noise and the sample a teacher made of it, computed beforehand: Rectified Diffusion, reflow.

import { type Form, startScale } from "../core/index.ts";
import { mul } from "../graph/index.ts";
import type { Coupling } from "./coupling.ts";

/**
 * `x` is the teacher's sample at t = 0, `noise` the state its sampler started from at t = 1. So the first end of the
 * pair has the row of the state at t = 1 and not that of pure noise: a table whose last SNR is not zero (Stable
 * Diffusion's) starts sampling from pure noise all the same, and a student that took the start for eps would be wrong
 * by r(1)·alpha(1) there (a mismatch in Rectified Diffusion, section 3.1). `of` is the teacher's form where the student has
 * another: the start is then that of the student's sampler with the same noise (a VE teacher starts at sigma times it).
 */
export const storedPairs =
  (form: Form, of: Form = form): Coupling =>
  (draws, clock) => {
    const scale = startScale(form, 1) / startScale(of, of.tMax);
    const start = draws.data("noise");
    return {
      clock,
      a: scale === 1 ? start : mul(start, scale),
      rowA: () => form.at(1),
      b: draws.data("x"),
      rowB: () => form.at(0),
    };
  };
