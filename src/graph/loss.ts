// Losses: means over every element, as scalars.

import { oneHot } from "./indexing.ts";
import { abs, add, div, lessEqual, mul, neg, sqrt, square, sub, where } from "./pointwise.ts";
import { mean, sum } from "./reduce.ts";
import { logSoftmax } from "./softmax.ts";
import type { Tensor } from "./tensor.ts";

/** d². */
export const squaredError = (pred: Tensor, target: Tensor): Tensor => square(sub(pred, target));
/** √(d² + c²) − c (Charbonnier et al. 1997; c = 0.001 in PeRFlow and Rectified Diffusion). */
export const pseudoHuberError = (pred: Tensor, target: Tensor, c: number): Tensor =>
  sub(sqrt(add(squaredError(pred, target), c * c)), c);
/** ½d² for |d| ≤ delta, else delta·(|d| − delta/2). */
export function huberError(pred: Tensor, target: Tensor, delta: number): Tensor {
  const d = sub(pred, target);
  const size = abs(d);
  return where(lessEqual(size, delta), mul(0.5, square(d)), mul(delta, sub(size, delta / 2)));
}

/** The mean squared difference, a scalar. */
export const mse = (pred: Tensor, target: Tensor): Tensor => mean(squaredError(pred, target));
/** The mean of `huberError`, a scalar. */
export const huber = (pred: Tensor, target: Tensor, delta = 1): Tensor => mean(huberError(pred, target, delta));
/** The mean of `pseudoHuberError`, a scalar. */
export const pseudoHuber = (pred: Tensor, target: Tensor, c = 1e-3): Tensor => mean(pseudoHuberError(pred, target, c));

/** Mean of −log softmax(logits)[label]; logits [N, classes], label int64 [N]. */
export function crossEntropy(logits: Tensor, label: Tensor): Tensor {
  const picked = sum(mul(logSoftmax(logits, 1), oneHot(label, logits.shape[1])));
  return neg(div(picked, logits.shape[0]));
}
