// Softmax and attention.

import { matmul } from "./matmul.ts";
import { add, mul, sub, where } from "./pointwise.ts";
import { logsumexp, sum } from "./reduce.ts";
import { axisOf, constant, expectFloat, operator, type Tensor } from "./tensor.ts";

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
export const softmax = (x: Tensor, axis = -1): Tensor => softmaxOp([x], { axis: axisOf(x, axis, "softmax") })[0];
export const logSoftmax = (x: Tensor, axis = -1): Tensor => sub(x, logsumexp(x, [axis], true));

export interface AttentionOptions {
  /** Default 1/√(head size). */
  scale?: number;
  /** bool: keep where true; float: added to the scores. Broadcasts to [B, heads, Lq, Lk]. */
  mask?: Tensor;
  /** Keep key ≤ query. */
  causal?: boolean;
}

/** softmax(q kᵀ·scale + mask) v; q [B, heads, Lq, d], k [B, heads, Lk, d], v [B, heads, Lk, dv]. */
export function attention(q: Tensor, k: Tensor, v: Tensor, { scale, mask, causal }: AttentionOptions = {}): Tensor {
  const d = q.shape[q.shape.length - 1];
  const factor = scale ?? 1 / Math.sqrt(d);
  // Scaling q is cheaper than scaling the scores.
  let scores = matmul(mul(q, factor), k, { transB: true });
  if (mask) scores = mask.dtype === "bool" ? where(mask, scores, HIDDEN) : add(scores, mask);
  if (causal) scores = where(causalMask(q.shape[q.shape.length - 2], k.shape[k.shape.length - 2]), scores, HIDDEN);
  return matmul(softmax(scores, -1), v);
}
const HIDDEN = -1e30;

function causalMask(queries: number, keys: number): Tensor {
  const keep = new Uint8Array(queries * keys);
  for (let i = 0; i < queries; i++) keep.fill(1, i * keys, i * keys + Math.min(keys, i + 1));
  return constant(keep, [queries, keys]);
}
