// Activations.

import type { Emitter } from "./emitter.ts";
import { add, erf, exp, gate, maximum, mul, sigmoid, sub } from "./pointwise.ts";
import { split } from "./shape.ts";
import { axisOf, expectFloat, operator, type Tensor } from "./tensor.ts";

export { softplus } from "./pointwise.ts";

/** x·sigmoid(x), elementwise. */
export const silu = (x: Tensor): Tensor => gate(x, 1);
/** x·sigmoid(1.702·x), elementwise, as CLIP has it. */
export const quickGelu = (x: Tensor): Tensor => gate(x, 1.702);
/** max(x, 0), elementwise; its derivative at 0 is 1. */
export const relu = (x: Tensor): Tensor => maximum(x, 0);

const geluOp = operator<{ approximate: "none" | "tanh" }>({
  name: "gelu",
  infer: ([x]) => {
    expectFloat("gelu", x);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, [x], { approximate }) => [
    to.device === "webgpu" ? fromPrimitives(to, x, approximate) : to.op("Gelu", [x], { approximate }),
  ],
  vjp: ([ct], { inputs: [x], outputs: [y] }, { approximate }) => [ct && mul(ct, geluDerivative(x, y, approximate))],
  jvp: ([tangent], { inputs: [x], outputs: [y] }, { approximate }) => [
    tangent && mul(tangent, geluDerivative(x, y, approximate)),
  ],
});
/** Where there is no kernel for the whole. */
function fromPrimitives(to: Emitter, x: string, approximate: "none" | "tanh"): string {
  const scaled = (a: string, by: number) => to.op("Mul", [a, to.floats([by], [])]);
  if (approximate === "none") {
    const cumulative = to.op("Add", [scaled(to.op("Erf", [scaled(x, Math.SQRT1_2)]), 0.5), to.floats([0.5], [])]);
    return to.op("Mul", [x, cumulative]);
  }
  const cubic = to.op("Add", [scaled(to.op("Mul", [x, x]), CUBIC * SLOPE), to.floats([SLOPE], [])]);
  return to.op("Mul", [x, to.op("Sigmoid", [to.op("Mul", [x, cubic])])]);
}
// The tanh formula is x·s(z), z = 2√(2/π)·(x + 0.044715·x³), s the logistic function.
const SLOPE = 2 * Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

function geluDerivative(x: Tensor, y: Tensor, approximate: "none" | "tanh"): Tensor {
  const squared = mul(x, x);
  if (approximate === "none") {
    // Φ + x·φ.
    const cumulative = add(mul(erf(mul(x, Math.SQRT1_2)), 0.5), 0.5);
    return add(cumulative, mul(x, mul(exp(mul(squared, -0.5)), 1 / Math.sqrt(2 * Math.PI))));
  }
  // s + y·(1 − s)·z'.
  const s = sigmoid(mul(x, add(mul(squared, CUBIC * SLOPE), SLOPE)));
  return add(s, mul(mul(y, sub(1, s)), add(mul(squared, 3 * CUBIC * SLOPE), SLOPE)));
}
/** x·Φ(x): exactly (erf), or with the tanh formula of Hendrycks & Gimpel 2016. */
export const gelu = (x: Tensor, approximate: "none" | "tanh" = "none"): Tensor => geluOp([x], { approximate })[0];

/** First half of the last dimension times gelu of the second half (Shazeer 2020). */
export function geglu(x: Tensor): Tensor {
  const last = axisOf(x, -1, "geglu");
  const half = x.shape[last] / 2;
  const [value, gateHalf] = split(x, [half, half], last);
  return mul(value, gelu(gateHalf));
}
