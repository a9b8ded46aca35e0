// Exponential moving average of the weights.

import { add, mul, sub, type Tensor } from "../graph/index.ts";

/** ema + (1 − decay)·(theta − ema); `decay` is a scalar tensor. */
export const ema = (average: Tensor, theta: Tensor, decay: Tensor): Tensor =>
  add(average, mul(sub(theta, average), sub(1, decay)));

/** The decay of step k ≥ 1: ramps up as (1 + m)/(10 + m), m = k − 1, so that early weights are forgotten (diffusers' EMAModel). */
export const emaDecay = (k: number, limit: number): number => (k <= 1 ? 0 : Math.min(limit, k / (9 + k)));
