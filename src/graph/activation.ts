// Activations, composed from pointwise operators.

import { add, erf, gate, maximum, mul, tanh } from "./pointwise.ts";
import { split } from "./shape.ts";
import { axisOf, type Tensor } from "./tensor.ts";

export { softplus } from "./pointwise.ts";

export const silu = (x: Tensor): Tensor => gate(x, 1);
export const quickGelu = (x: Tensor): Tensor => gate(x, 1.702);
export const relu = (x: Tensor): Tensor => maximum(x, 0);

/** x·Φ(x): exactly (erf), or with the tanh formula of Hendrycks & Gimpel 2016. */
export function gelu(x: Tensor, approximate: "none" | "tanh" = "none"): Tensor {
  if (approximate === "none") return mul(mul(x, 0.5), add(erf(mul(x, Math.SQRT1_2)), 1));
  const inner = mul(Math.sqrt(2 / Math.PI), add(x, mul(0.044715, mul(x, mul(x, x)))));
  return mul(mul(x, 0.5), add(tanh(inner), 1));
}

/** First half of the last dimension times gelu of the second half (Shazeer 2020). */
export function geglu(x: Tensor): Tensor {
  const last = axisOf(x, -1, "geglu");
  const half = x.shape[last] / 2;
  const [value, gateHalf] = split(x, [half, half], last);
  return mul(value, gelu(gateHalf));
}
