// Clipping, AdamW and the moving average with another engine's operators; the formulas are those of src/optim.

import type { AdamWOptions } from "../../src/optim/adamw.ts";
import type { Operators } from "./operators.ts";

/** The norm of all gradients together. */
export const gradientNorm = <T>(o: Operators<T>, grads: readonly T[]): T =>
  o.sqrt(grads.map((g) => o.sum(o.mul(g, g))).reduce((a, b) => o.add(a, b)));

/**
 * `args`: `count` arrays each of weights, first moments, second moments, averages and gradients, then the scalars rate,
 * decay, floor (see adamwScalars), the average's decay and the gradient's norm. Returns the four new lists.
 */
export function clipAndUpdate<T>(o: Operators<T>, args: readonly T[], count: number, options: AdamWOptions): T[] {
  const [theta, m, v, average, grads] = [0, 1, 2, 3, 4].map((i) => args.slice(i * count, (i + 1) * count));
  const [rate, decay, floor, averageDecay, norm] = args.slice(5 * count);
  const scalar = (x: number): T => o.constant(Float32Array.of(x), []);
  const scale = o.minimum(o.div(scalar(1), o.add(norm, scalar(1e-6))), scalar(1));
  const { beta1, beta2 } = options;
  const [b1, c1, b2, c2] = [beta1, 1 - beta1, beta2, 1 - beta2].map(scalar);
  const pull = o.sub(scalar(1), averageDecay);
  const next = theta.map((p, i) => {
    const g = o.mul(grads[i], scale);
    const m1 = o.add(o.mul(m[i], b1), o.mul(g, c1));
    const v1 = o.add(o.mul(v[i], b2), o.mul(o.mul(g, g), c2));
    const p1 = o.sub(o.mul(p, decay), o.div(o.mul(m1, rate), o.add(o.sqrt(v1), floor)));
    return [p1, m1, v1, o.add(average[i], o.mul(o.sub(p1, average[i]), pull))];
  });
  return [0, 1, 2, 3].flatMap((k) => next.map((list) => list[k]));
}
