// Every sampler. To add one, write its file and its line here; the contract tests pick it up.
import { lcm, tcd } from "./consistency.ts";
import { ddim, perflow, phased } from "./ddim.ts";
import { deis } from "./deis.ts";
import { dpmMultistep, dpmSinglestep } from "./dpm.ts";
import { edmSampler } from "./edm.ts";
import { kdpm2 } from "./kdpm2.ts";
import { ipndm } from "./pndm.ts";
import { dopri5, euler, heun, rk4, rk45 } from "./rungeKutta.ts";
import type { Solver } from "./solver.ts";
import { unipc } from "./unipc.ts";

export const solvers: readonly Solver[] = [
  ddim(),
  ddim({ eta: 0.5 }),
  ddim({ eta: 1, name: "ancestral" }),
  perflow,
  phased,
  euler,
  heun,
  rk4,
  dopri5,
  rk45(),
  dpmMultistep({ name: "dpm-2m", variable: "eps", order: 2, slope: "half" }),
  dpmMultistep({ name: "dpm-3m", variable: "eps", order: 3 }),
  dpmSinglestep({ name: "dpm-2s", variable: "eps", order: 2 }),
  dpmSinglestep({ name: "dpm-3s", variable: "eps", order: 3 }),
  dpmMultistep({ name: "dpm++2m", variable: "x0", order: 2, slope: "half" }),
  dpmMultistep({ name: "dpm++3m", variable: "x0", order: 3 }),
  dpmSinglestep({ name: "dpm++2s", variable: "x0", order: 2 }),
  dpmSinglestep({ name: "dpm++3s", variable: "x0", order: 3 }),
  dpmMultistep({ name: "sde-dpm++1", variable: "x0", order: 1, stochastic: true }),
  dpmMultistep({ name: "sde-dpm++2m", variable: "x0", order: 2, stochastic: true, slope: "half" }),
  dpmMultistep({ name: "sde-dpm++3m", variable: "x0", order: 3, stochastic: true }),
  dpmMultistep({ name: "sde-dpm-1", variable: "eps", order: 1, stochastic: true }),
  deis({ q: 1, basis: "t" }),
  deis({ q: 2, basis: "t" }),
  deis({ q: 3, basis: "t" }),
  deis({ q: 1, basis: "rho" }),
  deis({ q: 2, basis: "rho" }),
  dpmMultistep({ name: "deis-logrho3", variable: "eps", order: 3 }),
  unipc({ name: "unipc2", p: 2 }),
  unipc({ name: "unipc2-b1", p: 2, slope: "flat" }),
  unipc({ name: "unipc3", p: 3 }),
  ipndm,
  kdpm2,
  edmSampler(),
  edmSampler({ churn: 4 }),
  lcm,
  tcd(),
];

/** @throws RangeError naming an unknown solver. */
export function solverByName(name: string): Solver {
  const found = solvers.find((solver) => solver.name === name);
  if (!found)
    throw new RangeError(`Unknown solver "${name}". Expected one of ${solvers.map((s) => s.name).join(", ")}.`);
  return found;
}

export { combine, evaluate } from "./combine.ts";
export { lcm, tcd } from "./consistency.ts";
export { ddim, perflow, phased } from "./ddim.ts";
export { deis } from "./deis.ts";
export { dpmMultistep, dpmSinglestep } from "./dpm.ts";
export { edmSampler } from "./edm.ts";
export { ipndm } from "./pndm.ts";
export { dopri5, euler, heun, rk4, rk45 } from "./rungeKutta.ts";
export {
  checkPlan,
  type IntegrateOptions,
  integrate,
  type Predict,
  type Solver,
  type State,
  type Step,
  type Stepped,
  type Vector,
} from "./solver.ts";
export { unipc } from "./unipc.ts";
