// Gradient clipping by the norm of the whole vector.

import { add, div, minimum, sqrt, sumOfSquares, type Tensor } from "../graph/index.ts";

/** What to multiply the gradient (in parts) by, so that its norm is at most `limit`; and its norm before that. Scalars. */
export function clipByNorm(gradient: readonly Tensor[], limit: number): { scale: Tensor; norm: Tensor } {
  const norm = sqrt(gradient.map((g) => sumOfSquares(g)).reduce((a, b) => add(a, b)));
  return { scale: minimum(div(limit, add(norm, 1e-6)), 1), norm };
}
