// Softmax.

import { mul, sub } from "./pointwise.ts";
import { logsumexp, sum } from "./reduce.ts";
import { axisOf, expectFloat, operator, type Tensor } from "./tensor.ts";

const softmaxOp = operator<{ axis: number }>({
  name: "softmax",
  infer: ([x]) => {
    expectFloat("softmax", x);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, [x], { axis }) => [to.op("Softmax", [x], { axis })],
  vjp: ([ct], { outputs: [y] }, { axis }) => [ct && softmaxJacobian(ct, y, axis)],
  jvp: ([tangent], { outputs: [y] }, { axis }) => [tangent && softmaxJacobian(tangent, y, axis)],
});
/** diag(y) − y yᵀ: symmetric, so it serves both directions. */
const softmaxJacobian = (d: Tensor, y: Tensor, axis: number): Tensor => {
  const dy = mul(d, y);
  return sub(dy, mul(y, sum(dy, [axis], true)));
};
/** eˣ/Σ eˣ along `axis`, without overflow. */
export const softmax = (x: Tensor, axis = -1): Tensor => softmaxOp([x], { axis: axisOf(x, axis, "softmax") })[0];
/** x − ln Σ eˣ along `axis`, without overflow. */
export const logSoftmax = (x: Tensor, axis = -1): Tensor => sub(x, logsumexp(x, [axis], true));
