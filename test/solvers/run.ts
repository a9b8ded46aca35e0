// One number through a solver, with the exact denoiser of a Gaussian unless another is given.
import { eps, type Form } from "../../src/core/index.ts";
import { integrate, type Solver } from "../../src/solvers/index.ts";
import { gaussianDenoiser } from "../oracle/gaussian.ts";

export const data = { mean: 0.5, std: 0.3 };

export const run = (
  solver: Solver,
  form: Form,
  times: readonly number[],
  start: number,
  prediction = eps,
  predict = gaussianDenoiser<Float64Array>(data, form, prediction),
): Promise<number> =>
  integrate(solver, { form, prediction, times, x: Float64Array.of(start), predict }).then((x) => x[0]);
