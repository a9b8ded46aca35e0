// Multistep sampling of consistency models: jump towards data, add fresh noise, repeat (Song et al. 2023, algorithm 1).

import type { Row } from "../core/row.ts";
import { combine, evaluate, fresh } from "./combine.ts";
import type { Solver } from "./solver.ts";

/** Coefficients of x and noise that carry a state at `from` forward to the noisier `to`. */
export function diffuse(from: Row, to: Row): [x: number, noise: number] {
  const scale = to[0] / from[0];
  const kept = scale * from[1];
  return [scale, Math.sqrt(Math.max(0, to[1] * to[1] - kept * kept))];
}

/**
 * TCD's strategic stochastic sampling: read at s = (1 - gamma) of the way to the next time, then diffuse up to it
 * (Zheng et al. 2024, eq. 10). gamma = 1 jumps to the grid's end every time: LCM and consistency models.
 */
export function tcd({ gamma = 0.3, name = `tcd(${gamma})` }: { gamma?: number; name?: string } = {}): Solver {
  if (!(gamma >= 0 && gamma <= 1)) throw new RangeError(`gamma is ${gamma}. Expected a number from 0 to 1.`);
  return {
    name,
    order: 0,
    nfePerStep: 1,
    kind: "consistency",
    ...fresh,
    async step(step) {
      const { form, t, next, k, times, x, noise, state } = step;
      const end = times[times.length - 1];
      const s = next === end || gamma === 0 ? next : end + (1 - gamma) * (next - end);
      const landed = await evaluate(step, x, t, form.at(s));
      if (s === next) return { x: landed, state };
      const [p, q] = diffuse(form.at(s), form.at(next));
      return {
        x: combine([
          [p, landed],
          [q, noise(k)],
        ]),
        state,
      };
    },
  };
}

export const lcm: Solver = tcd({ gamma: 1, name: "lcm" });
