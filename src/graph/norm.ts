// Normalizations.

import { float } from "./emitter.ts";
import { add, mul, rsqrt, square, sub } from "./pointwise.ts";
import { mean } from "./reduce.ts";
import { broadcastTo, reshape } from "./shape.ts";
import { expectFloat, operator, sizeOf, type Tensor } from "./tensor.ts";

/**
 * Rows to zero mean and unit (biased) variance, in one pass: x [rows, n] to the normalized rows, and their mean and
 * inverse deviation [rows, 1].
 */
const normalizeOp = operator<{ eps: number }>({
  name: "normalize",
  infer: ([x]) => {
    expectFloat("normalize", x);
    const [rows] = x.shape;
    const stat = { shape: [rows, 1], dtype: "float32" } as const;
    return [{ shape: x.shape, dtype: "float32" }, stat, stat];
  },
  emit: (to, [x], { eps }, node) => {
    const ones = to.floats(new Float32Array(node.inputs[0].shape[1]).fill(1));
    return to.ops("LayerNormalization", [x, ones], 3, { axis: -1, epsilon: float(eps) });
  },
  vjp: ([dy, dMean, dInv], { outputs: [y, , inv] }) => {
    // d inv/dx = −inv²·y/n and d mean/dx = 1/n; needed when a gradient is differentiated again.
    const n = y.shape[1];
    const parts = [
      dy && project(dy, y, inv),
      dInv && mul(mul(dInv, mul(square(inv), -1 / n)), y),
      dMean && broadcastTo(mul(dMean, 1 / n), y.shape),
    ].filter((p) => p !== null);
    return [parts.length > 0 ? parts.reduce((a, b) => add(a, b)) : null];
  },
  // The Jacobian inv·(I − 1/n − y yᵀ/n) is symmetric: tangents go through the same projection as cotangents.
  jvp: ([tangent], { outputs: [y, , inv] }) =>
    tangent
      ? [
          project(tangent, y, inv),
          mean(tangent, [1], true),
          mul(mul(square(inv), -1), mean(mul(tangent, y), [1], true)),
        ]
      : [null, null, null],
});

function project(d: Tensor, y: Tensor, inv: Tensor): Tensor {
  const centered = sub(d, mean(d, [1], true));
  return mul(inv, sub(centered, mul(y, mean(mul(d, y), [1], true))));
}

const normalize = (x: Tensor, eps: number): Tensor => normalizeOp([x], { eps })[0];

/** GroupNorm (Wu & He 2018): x [N, C, …], w and b [C]; mean and biased variance over a group and all positions. */
export function groupNorm(x: Tensor, groups: number, w?: Tensor, b?: Tensor, eps = 1e-5): Tensor {
  const [n, c] = x.shape;
  if (c % groups !== 0) throw new RangeError(`groupNorm: ${c} channels do not divide into ${groups} groups.`);
  const flat = normalize(reshape(x, [n * groups, -1]), eps);
  const broadcast = [1, c, ...x.shape.slice(2).map(() => 1)];
  return affine(reshape(flat, x.shape), w && reshape(w, broadcast), b && reshape(b, broadcast));
}

/** LayerNorm over the trailing dimensions (`normalizedDims` of them); w and b have their shape. */
export function layerNorm(x: Tensor, normalizedDims: number, w?: Tensor, b?: Tensor, eps = 1e-5): Tensor {
  const tail = x.shape.slice(x.shape.length - normalizedDims);
  const flat = normalize(reshape(x, [-1, sizeOf(tail)]), eps);
  return affine(reshape(flat, x.shape), w, b);
}

/** x / sqrt(mean(x²) + eps) · w over the trailing dimensions (Zhang & Sennrich 2019). */
export function rmsNorm(x: Tensor, normalizedDims: number, w?: Tensor, eps = 1e-6): Tensor {
  const axes = Array.from({ length: normalizedDims }, (_, i) => x.shape.length - normalizedDims + i);
  return affine(mul(x, rsqrt(add(mean(square(x), axes, true), eps))), w);
}

function affine(x: Tensor, w?: Tensor, b?: Tensor): Tensor {
  const scaled = w ? mul(x, w) : x;
  return b ? add(scaled, b) : scaled;
}
