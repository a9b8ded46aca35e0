// DEIS: the noise extrapolated by a polynomial in t or in r = sigma/alpha (Zhang & Chen 2023).
import type { Form } from "../core/form.ts";
import { transfer } from "../core/row.ts";
import { combine, eps, evaluate, fresh, remember } from "./combine.ts";
import { gaussLegendre } from "./quadrature.ts";
import type { Solver } from "./solver.ts";

const ratio = (form: Form, t: number): number => {
  const [alpha, sigma] = form.at(t);
  return sigma / alpha;
};

/**
 * tAB-q or rhoAB-q, of order q + 1: x_b = (alpha_b/alpha_a) x + Σ C_j n_j, C_j = alpha_b ∫ ℓ_j dr, with ℓ_j the
 * Lagrange basis through the last q + 1 times (or r). A step to or from an infinite r is a DDIM step.
 */
export function deis({ q, basis }: { q: 1 | 2 | 3; basis: "t" | "rho" }): Solver {
  const place = (form: Form, t: number) => (basis === "t" ? t : ratio(form, t));
  return {
    name: `deis-${basis}AB${q}`,
    order: q + 1,
    nfePerStep: 1,
    kind: "ode",
    minSteps: q + 1,
    smooth: basis === "t",
    ...fresh,
    async step(step) {
      const { form, t, next, x } = step;
      if (form.at(t)[0] === 0) {
        // No finite r here: a DDIM step from whatever the network predicts, and nothing to remember.
        return { x: await evaluate(step, x, t, form.at(next)), state: { past: [] } };
      }
      const past = remember(step, await evaluate(step, x, t, eps), q + 1);
      const at = past.map((e) => place(form, e.t));
      const [p, first] = transfer(form.at(t), eps, form.at(next));
      if (past.length === 1 || t === next)
        return {
          x: combine([
            [p, x],
            [first, past[0].m],
          ]),
          state: { past },
        };
      const alpha = form.at(next)[0];
      const r = basis === "t" ? (u: number) => ratio(form, u) : (u: number) => u;
      const terms = past.map((e, j) => [alpha * integral(r, at[0], place(form, next), at, j), e.m] as const);
      return { x: combine([[p, x], ...terms]), state: { past } };
    },
  };
}

/** ∫ ℓ_j dr over [from, to], as [ℓ_j r] - ∫ r dℓ_j: a kink of r at a table entry is integrated, not differentiated. */
function integral(r: (u: number) => number, from: number, to: number, at: readonly number[], j: number): number {
  const others = at.filter((_, i) => i !== j);
  const basis = (u: number) => others.reduce((product, v) => (product * (u - v)) / (at[j] - v), 1);
  const slope = (u: number) =>
    others.reduce(
      (sum, w) => sum + others.reduce((product, v) => (product * (v === w ? 1 : u - v)) / (at[j] - v), 1),
      0,
    );
  return basis(to) * r(to) - basis(from) * r(from) - gaussLegendre((u) => r(u) * slope(u), from, to);
}
