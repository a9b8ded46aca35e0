// DDIM: read the prediction at the next row. Exact where the ODE is first order; on the linear form it is Euler.
import { coefficients } from "../core/prediction.ts";
import type { Row } from "../core/row.ts";
import { combine, fresh } from "./combine.ts";
import type { Solver } from "./solver.ts";

/**
 * DDIM with noise level eta (Song et al. 2021, eq. 16). eta = 1 is ancestral sampling (DDPM, Euler ancestral).
 * Works at pure noise and pure data wherever the prediction can be read there.
 */
export function ddim({ eta = 0, name }: { eta?: number; name?: string } = {}): Solver {
  if (!(eta >= 0 && eta <= 1)) throw new RangeError(`eta is ${eta}. Expected a number from 0 (ODE) to 1 (ancestral).`);
  return {
    name: name ?? (eta === 0 ? "ddim" : `ddim(eta ${eta})`),
    order: 1,
    nfePerStep: 1,
    kind: eta === 0 ? "ode" : "sde",
    ...fresh,
    async step({ form, prediction, t, next, x, k, predict, noise, state }) {
      const y = await predict(x, t);
      const { row, fresh: s } = withNoise(form.at(t), form.at(next), eta);
      const [p, q] = coefficients(form, t, prediction, row);
      return {
        x: combine(
          s === 0
            ? [
                [p, x],
                [q, y],
              ]
            : [
                [p, x],
                [q, y],
                [s, noise(k)],
              ],
        ),
        state,
      };
    },
  };
}

/**
 * The row to read so that adding `fresh` new noise gives the marginal at `to`:
 * fresh = eta·sigma_to·√(1 - (r_to/r_from)²) with r = sigma/alpha. The same on every form.
 */
export function withNoise(from: Row, to: Row, eta: number): { row: Row; fresh: number } {
  if (eta === 0 || to[1] === 0) return { row: to, fresh: 0 };
  const shrink = (to[1] * from[0]) / (to[0] * from[1]);
  const amount = eta * to[1] * Math.sqrt(Math.max(0, 1 - shrink * shrink));
  return { row: [to[0], Math.sqrt(Math.max(0, to[1] * to[1] - amount * amount))], fresh: amount };
}

/** PeRFlow's sampler is DDIM on the chord, with a grid through every window edge. */
export const perflow: Solver = {
  ...ddim({ name: "perflow" }),
  refuses: (form) =>
    form.spec.kind === "chord"
      ? undefined
      : `perflow samples on a chord, but the form is ${form.name}. Expected chord(form, windows).`,
};

/** Phased Rectified Diffusion's sampler is DDIM on the teacher's own form, through every window edge. */
export const phased: Solver = {
  ...ddim({ name: "phased" }),
  refuses: (form) =>
    form.spec.kind === "chord"
      ? `phased samples on the teacher's own form, but the form is ${form.name}. Expected its base.`
      : undefined,
};
