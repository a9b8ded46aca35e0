// AdamW (Loshchilov & Hutter 2019) on a vector, or a part of one, inside the graph.

import { add, div, mul, sqrt, square, sub, type Tensor } from "../graph/index.ts";

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
}
export const adamwDefaults: AdamWOptions = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 1e-2 };

export interface AdamWState {
  readonly theta: Tensor;
  /** First and second moments, shaped as theta. */
  readonly m: Tensor;
  readonly v: Tensor;
}

export interface AdamWScalars {
  /** The three of `adamwScalars`, for step k ≥ 1. */
  readonly rate: Tensor;
  readonly decay: Tensor;
  readonly floor: Tensor;
  /** What the gradient is multiplied by first; see `clipByNorm`. */
  readonly scale: Tensor;
}

/** One step: p ← p·(1 − lr·wd), then p ← p − lr·m̂/(√v̂ + eps). The gradient's scale costs no pass of its own. */
export function adamw(state: AdamWState, g: Tensor, scalars: AdamWScalars, o: AdamWOptions): AdamWState {
  const { rate, decay, floor, scale } = scalars;
  const m = add(mul(state.m, o.beta1), mul(g, mul(scale, 1 - o.beta1)));
  const v = add(mul(state.v, o.beta2), mul(square(g), mul(square(scale), 1 - o.beta2)));
  const step = div(mul(m, rate), add(sqrt(v), floor));
  return { theta: sub(mul(state.theta, decay), step), m, v };
}

/**
 * The bias corrections folded into three numbers, so that the vector is passed over once less:
 * lr·m̂/(√v̂ + eps) = rate·m/(√v + floor), rate = lr·√c2/c1, floor = eps·√c2, ci = 1 − betaiᵏ.
 */
export function adamwScalars(k: number, lr: number, o: AdamWOptions): { rate: number; decay: number; floor: number } {
  const c1 = 1 - o.beta1 ** k;
  const root = Math.sqrt(1 - o.beta2 ** k);
  return { rate: (lr * root) / c1, decay: 1 - lr * o.weightDecay, floor: o.eps * root };
}
