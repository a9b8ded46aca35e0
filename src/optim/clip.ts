// Gradient clipping by the norm of the whole vector.

import { add, div, minimum, sqrt, sumOfSquares, type Tensor } from "../graph/index.ts";

/**
 * What to multiply the gradient (in parts) by, so that its norm is at most `limit`; and its norm before that. Scalars.
 * The gradient may be `factor` times the one meant; that is undone.
 */
export function clipByNorm(
  gradient: readonly Tensor[],
  limit: number,
  factor?: Tensor,
): { scale: Tensor; norm: Tensor } {
  const given = sqrt(gradient.map((g) => sumOfSquares(g)).reduce((a, b) => add(a, b)));
  const norm = factor ? div(given, factor) : given;
  const scale = minimum(div(limit, add(norm, 1e-6)), 1);
  return { scale: factor ? div(scale, factor) : scale, norm };
}
