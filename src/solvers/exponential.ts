// Exponential integrators in the half log-SNR: the one formula behind DPM-Solver, DPM-Solver++, UniPC and log-rho DEIS.
import { type Row, transfer } from "../core/row.ts";
import { solveLinear } from "./linear.ts";

/** What is interpolated along the trajectory: the noise (DPM-Solver) or the data (DPM-Solver++). */
export type Variable = "eps" | "x0";

/** next = x·(coefficient) + Σ outputs[j]·m_j + noise·z */
export interface Combination {
  readonly x: number;
  readonly outputs: readonly number[];
  readonly noise: number;
}

export interface ExponentialOptions {
  variable: Variable;
  /** The reverse SDE instead of the probability-flow ODE. */
  stochastic?: boolean;
  /**
   * How the slope enters with two nodes: "taylor" integrates it exactly, "half" puts half of the first-order weight
   * on it (DPM-Solver's midpoint, UniPC's B2), "flat" half of h (UniPC's B1). All of second order.
   */
  slope?: "taylor" | "half" | "flat";
}

const level = ([alpha, sigma]: Row): number => Math.log(alpha / sigma);

/**
 * One step from row `from` to row `to` with m known at `nodes` (nodes[0] is `from`; others may lie before it, between, or
 * at `to`). With z = h (eps) or -h (x0), P = sigma_to or alpha_to:
 *   next = ratio·x - P·z·∫_0^1 e^{z(1-s)} m(s) ds,   s = (lambda - lambda_from)/h,
 * and m(s) the polynomial through the nodes (DPM-Solver, eq. 3.4; DPM-Solver++, eq. 8; UniPC, eq. 5).
 * Nodes at infinite log-SNR carry no information about slopes and are dropped; a step to or from one is first order.
 */
export function exponentialStep(options: ExponentialOptions, from: Row, to: Row, nodes: readonly Row[]): Combination {
  const { variable, stochastic = false, slope = "taylor" } = options;
  const h = level(to) - level(from);
  const data = variable === "x0";
  const zeros = nodes.map(() => 0);
  if (h === 0) return { x: 1, outputs: zeros, noise: 0 };

  if (!stochastic && (nodes.length === 1 || !Number.isFinite(h))) {
    const [x, m] = transfer(from, data ? [1, 0] : [0, 1], to);
    return { x, outputs: [m, ...zeros.slice(1)], noise: 0 };
  }
  const [[alpha, sigma], [alphaTo, sigmaTo]] = [from, to];
  // The SDE doubles the drift towards the prediction (Lu et al. 2022, "++", section 5).
  const z = data ? (stochastic ? -2 * h : -h) : h;
  const drift = stochastic && !data ? 2 : 1;
  const scale = drift * (data ? alphaTo : sigmaTo);
  const weights = nodeWeights(z, slope, Number.isFinite(h) ? nodes.map((n) => (level(n) - level(from)) / h) : [0]);
  const ratio = data ? (sigmaTo / sigma) * (stochastic ? Math.exp(-h) : 1) : alphaTo / alpha;
  const noise = !stochastic ? 0 : sigmaTo * Math.sqrt(Math.max(0, data ? -Math.expm1(-2 * h) : Math.expm1(2 * h)));
  return { x: ratio, outputs: nodes.map((_, j) => (weights[j] ? -scale * weights[j] : 0)), noise };
}

/** Weights w with Σ w_j m(s_j) = z∫e^{z(1-s)} m(s) ds for polynomials through the nodes. */
function nodeWeights(z: number, slope: "taylor" | "half" | "flat", nodes: readonly number[]): number[] {
  const kept = nodes.map((s, j) => ({ s, j })).filter(({ s }) => Number.isFinite(s));
  const out = nodes.map(() => 0);
  if (kept.length === 1) {
    out[kept[0].j] = Math.expm1(z);
    return out;
  }
  const integrals = moments(z, kept.length);
  if (kept.length === 2 && slope !== "taylor") integrals[1] = slope === "half" ? integrals[0] / 2 : z / 2;
  const powers = integrals.map((_, i) => kept.map(({ s }) => s ** i));
  solveLinear(powers, integrals).forEach((w, i) => {
    out[kept[i].j] = w;
  });
  return out;
}

/** z∫_0^1 e^{z(1-s)} s^i ds for i = 0 .. count - 1: h·φ_1, h·φ_2, 2h·φ_3, ... */
export function moments(z: number, count: number): number[] {
  const out = [Math.expm1(z)];
  for (let i = 1; i < count; i++) out.push(Math.abs(z) > 1 ? (i * out[i - 1]) / z - 1 : series(z, i));
  return out;
}

/** Σ_k z^(k+1) i!/(i+k+1)!: the recurrence above cancels for small z. */
function series(z: number, i: number): number {
  let term = z / (i + 1);
  let sum = 0;
  for (let k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k++) {
    sum += term;
    term *= z / (i + k + 1);
  }
  return sum;
}
