// Matrix products, Einsum, attention.

import type { Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";
import { at, type Call, int, maybe, number, type Rules, rule, text } from "../call.ts";
import { fused, fusedActivations } from "./activation.ts";
import { einsum } from "./einsum.ts";

const scaled = (x: Tensor, by: number): Tensor => (by === 1 ? x : g.mul(x, by));

function gemm(call: Call): Tensor {
  const [a, b, c] = [at(call, 0), at(call, 1), maybe(call, 2)];
  const [transA, transB] = [int(call, "transA", 0) === 1, int(call, "transB", 0) === 1];
  const [alpha, beta] = [number(call, "alpha", 1), number(call, "beta", 1)];
  // The usual linear layer: one operator.
  if (!transA && transB && alpha === 1 && beta === 1 && c && c.shape.length === 1 && c.shape[0] === b.shape[0])
    return g.linear(a, b, c);
  const product = scaled(g.matmul(a, b, { transA, transB }), alpha);
  return c && beta !== 0 ? g.add(product, scaled(c, beta)) : product;
}

function fusedMatMul(call: Call): Tensor {
  const [transA, transB] = [int(call, "transA", 0) === 1, int(call, "transB", 0) === 1];
  return scaled(g.matmul(at(call, 0), at(call, 1), { transA, transB }), number(call, "alpha", 1));
}

/** ONNX's Attention (version 23) on [B, heads, length, width], and on [B, length, heads·width] with the heads' numbers. */
function attention(call: Call): Tensor {
  if (call.inputs.slice(4).some((x) => x !== undefined) || call.node.outputs.length > 1)
    throw new RangeError("it keeps keys and values of earlier calls, which is not supported.");
  const heads = [int(call, "q_num_heads", 0), int(call, "kv_num_heads", 0)];
  const flat = at(call, 0).shape.length === 3;
  const apart = (x: Tensor, count: number): Tensor =>
    flat ? g.transpose(g.reshape(x, [x.shape[0], x.shape[1], count, x.shape[2] / count]), [0, 2, 1, 3]) : x;
  const [q, k, v] = [apart(at(call, 0), heads[0]), apart(at(call, 1), heads[1]), apart(at(call, 2), heads[1])];
  const groups = q.shape[1] / k.shape[1];
  const shared = (x: Tensor): Tensor => {
    if (groups === 1) return x;
    const [b, h, l, d] = x.shape;
    return g.reshape(g.broadcastTo(g.unsqueeze(x, 2), [b, h, groups, l, d]), [b, h * groups, l, d]);
  };
  const scale = number(call, "scale", 1 / Math.sqrt(q.shape[3]));
  const y = g.attention(q, shared(k), shared(v), {
    scale,
    mask: maybe(call, 3),
    causal: int(call, "is_causal", 0) === 1,
  });
  if (!flat) return y;
  const [b, h, l, d] = y.shape;
  return g.reshape(g.transpose(y, [0, 2, 1, 3]), [b, l, h * d]);
}

export const products: Rules = {
  MatMul: rule("", (call) => g.matmul(at(call, 0), at(call, 1))),
  Gemm: rule("alpha beta transA transB", gemm),
  Einsum: rule("equation", (call) =>
    einsum(
      text(call, "equation", ""),
      call.inputs.map((_, i) => at(call, i)),
    ),
  ),
  Attention: rule("q_num_heads kv_num_heads scale is_causal softmax_precision", attention, {
    softcap: [0],
    qk_matmul_output_mode: [0],
  }),
  "com.microsoft.FusedMatMul": rule("alpha transA transB", fusedMatMul, { transBatchA: [0], transBatchB: [0] }),
  "com.microsoft.FusedGemm": rule(
    "alpha beta transA transB activation_alpha activation_beta activation_gamma",
    (call) =>
      fused(gemm(call), text(call, "activation", ""), [
        number(call, "activation_alpha", 0.01),
        number(call, "activation_beta", 0.5),
      ]),
    { activation: fusedActivations.filter((name) => name !== "Clip") },
  ),
};
