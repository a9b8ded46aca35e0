// Forms: x_t = alpha(t)·x0 + sigma(t)·eps with t in [0, 1], data at 0 and noise at 1.
import type { Row } from "./row.ts";
import type { Windows, WindowsSpec } from "./windows.ts";

/** JSON-able description of a form; `formFromSpec(form.spec)` is the same form. */
export type FormSpec =
  | { kind: "linear"; shift: number }
  | { kind: "vp"; betaMin: number; betaMax: number }
  | { kind: "cosine" }
  | { kind: "subVp"; betaMin: number; betaMax: number }
  | { kind: "ve"; sigmaMin: number; sigmaMax: number }
  | { kind: "edm"; sigmaMin: number; sigmaMax: number; rho: number }
  | TableSpec
  | { kind: "chord"; base: FormSpec; windows: WindowsSpec };

/** A discrete noise schedule, by its betas or by its ᾱ; `between` says how times between two entries are read. */
export type TableSpec = { kind: "table"; between: "logSnr" | "floor" } & (
  | {
      schedule: "linear" | "scaled_linear" | "squaredcos_cap_v2";
      betaStart: number;
      betaEnd: number;
      steps: number;
      zeroSnr: boolean;
    }
  | { schedule: "trained_betas"; betas: readonly number[]; zeroSnr: boolean }
  | { schedule: "alphas_cumprod"; alphasCumprod: readonly number[] }
);

export interface Form {
  readonly name: string;
  /** (alpha, sigma) at t. Throws RangeError unless 0 <= t <= 1. */
  at(t: number): Row;
  /** d/dt of `at`; infinite where the form has a vertical tangent (vp at t = 0). */
  rate(t: number): Row;
  /** The time at which ln(alpha/sigma) has this value. Throws RangeError outside the form's range. */
  tAt(logSnr: number): number;
  readonly spec: FormSpec;
  /** Times on which the form is defined and networks are trained. */
  readonly tMin: number;
  readonly tMax: number;
  /** Present on a chord: the windows it is straight in. */
  readonly windows?: Windows;
}

/** Half log-SNR ln(alpha/sigma): the lambda of DPM-Solver. Infinite at pure data or noise. */
export function logSnr(form: Form, t: number): number {
  const [alpha, sigma] = form.at(t);
  return Math.log(alpha / sigma);
}

export function checkTime(name: string, t: number): void {
  if (!(t >= 0 && t <= 1)) {
    throw new RangeError(`Time ${t} of the form ${name} is out of range. Expected 0 (data) <= t <= 1 (noise).`);
  }
}

/** `t` if it is in [tMin, tMax] up to rounding, else a sentence. Inverse functions end here. */
export function checkInverse(name: string, lambda: number, t: number, tMin: number, tMax: number): number {
  const slack = 1e-9;
  if (!(t >= tMin - slack && t <= tMax + slack)) {
    throw new RangeError(
      `No time of the form ${name} has half log-SNR ${lambda}. Expected a value reached for t in [${tMin}, ${tMax}].`,
    );
  }
  return Math.min(tMax, Math.max(tMin, t));
}

export function positive(form: string, option: string, value: number): number {
  if (!(value > 0 && Number.isFinite(value))) {
    throw new RangeError(`Option ${option} of the form ${form} is ${value}. Expected a positive number.`);
  }
  return value;
}
