// Gradient clipping by the norm of the whole vector.

import { add, div, minimum, mul, sqrt, square, sum, type Tensor } from "../graph/index.ts";

/** The gradient scaled to at most `limit`, and its norm before that (a scalar). */
export function clipByNorm(g: Tensor, limit: number): { clipped: Tensor; norm: Tensor } {
  const norm = sqrt(sum(square(g)));
  return { clipped: mul(g, minimum(div(limit, add(norm, 1e-6)), 1)), norm };
}
