// Normalizations.

import { type Emitter, float } from "./emitter.ts";
import { add, mul, rsqrt, square, sub } from "./pointwise.ts";
import { mean, sum } from "./reduce.ts";
import { asFloat32, broadcastTo, reshape } from "./shape.ts";
import { expectFloat, operator, type Shape, sizeOf, type Tensor } from "./tensor.ts";

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
  emit: (to, [x], { eps }, node) => emitNormalize(to, x, node.inputs[0].shape[1], eps),
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

function emitNormalize(to: Emitter, x: string, length: number, eps: number): string[] {
  const ones = to.floats(new Float32Array(length).fill(1));
  return to.ops("LayerNormalization", [x, ones], 3, { axis: -1, epsilon: float(eps) });
}

function project(d: Tensor, y: Tensor, inv: Tensor): Tensor {
  const centered = sub(d, mean(d, [1], true));
  return mul(inv, sub(centered, mul(y, mean(mul(d, y), [1], true))));
}

/**
 * The normalized groups scaled and shifted by channel. An operator of its own because its gradient needs two sums per
 * channel, and those give the gradients of w and b and the means over groups, which would be four passes otherwise.
 * x [N, groups, channels of a group, L], w and b [groups, channels of a group, 1].
 */
const groupNormOp = operator<{ eps: number }>({
  name: "group_norm",
  infer: ([x, w, b]) => {
    expectFloat("groupNorm", x, w, b);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, [x, w, b], { eps }, node) => {
    const { shape } = node.inputs[0];
    const [n, groups, channels, length] = shape;
    const reshape = (t: string, dims: Shape) => to.op("Reshape", [t, to.ints(dims)], { allowzero: 1 });
    const [flat] = emitNormalize(to, reshape(x, [n * groups, channels * length]), channels * length, eps);
    return [to.op("Add", [to.op("Mul", [reshape(flat, shape), w]), b])];
  },
  vjp: ([ct], { inputs: [x, w] }, { eps }) => {
    if (!ct) return [null, null, null];
    const { y, inv } = normalizedGroups(x, eps);
    const total = sum(ct, [3], true);
    const product = sum(mul(ct, y), [3], true);
    // The means over a group of w·ct and of w·ct·y, times inv. Over two axes: the last, though of size 1, makes it fast.
    const overGroup = (t: Tensor) => mul(sum(mul(t, w), [2, 3], true), mul(inv, 1 / (x.shape[2] * x.shape[3])));
    const dx = sub(sub(mul(ct, mul(inv, w)), mul(y, overGroup(product))), overGroup(total));
    return [dx, sum(product, [0]), sum(total, [0])];
  },
  jvp: ([dx, dw, db], { inputs: [x, w] }, { eps }) => {
    const { y, flat, inv } = normalizedGroups(x, eps);
    const parts = [
      dx && mul(reshape(project(reshape(dx, flat.shape), flat, reshape(inv, [-1, 1])), x.shape), w),
      dw && mul(y, dw),
      db && broadcastTo(db, x.shape),
    ].filter((p) => p !== null);
    return [parts.length > 0 ? parts.reduce((p, q) => add(p, q)) : null];
  },
});

/** The groups of x [N, groups, channels, L] normalized, with their inverse deviations: once per x, as equal nodes are. */
function normalizedGroups(x: Tensor, eps: number) {
  const [n, groups, channels, length] = x.shape;
  const [flat, , inv] = normalizeOp([reshape(x, [n * groups, channels * length])], { eps });
  return { y: reshape(flat, x.shape), flat, inv: reshape(inv, [n, groups, 1, 1]) };
}

/** GroupNorm (Wu & He 2018): x [N, C, …], w and b [C]; mean and biased variance over a group and all positions. */
export function groupNorm(x: Tensor, groups: number, w?: Tensor, b?: Tensor, eps = 1e-5): Tensor {
  const [n, c] = x.shape;
  if (c % groups !== 0) throw new RangeError(`groupNorm: ${c} channels do not divide into ${groups} groups.`);
  const grouped = reshape(x, [n, groups, c / groups, -1]);
  const column = (t: Tensor) => reshape(t, [groups, c / groups, 1]);
  if (w && b) return reshape(groupNormOp([grouped, column(w), column(b)], { eps })[0], x.shape);
  return reshape(affine(normalizedGroups(grouped, eps).y, w && column(w), b && column(b)), x.shape);
}

/** Rows normalized, scaled and shifted in one pass: x [rows, n], w and b [n]. Derivatives use the normalized rows. */
const layerNormOp = operator<{ eps: number }>({
  name: "layer_norm",
  infer: ([x, w, b]) => {
    expectFloat("layerNorm", x, w, b);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, names, { eps }) => [to.op("LayerNormalization", names, { axis: -1, epsilon: float(eps) })],
  vjp: ([ct], { inputs: [x, w] }, attrs) => {
    if (!ct) return [null, null, null];
    const [y, , inv] = normalizeOp([x], attrs);
    return [project(mul(ct, w), y, inv), sum(mul(ct, y), [0]), sum(ct, [0])];
  },
  jvp: ([dx, dw, db], { inputs: [x, w] }, attrs) => {
    const [y, , inv] = normalizeOp([x], attrs);
    const parts = [dx && mul(project(dx, y, inv), w), dw && mul(y, dw), db && broadcastTo(db, x.shape)].filter(
      (p) => p !== null,
    );
    return [parts.length > 0 ? parts.reduce((p, q) => add(p, q)) : null];
  },
});

/** LayerNorm over the trailing dimensions (`normalizedDims` of them); w and b have their shape. */
export function layerNorm(x: Tensor, normalizedDims: number, w?: Tensor, b?: Tensor, eps = 1e-5): Tensor {
  const tail = x.shape.slice(x.shape.length - normalizedDims);
  const rows = reshape(x, [-1, sizeOf(tail)]);
  if (w && b) return reshape(layerNormOp([rows, reshape(w, [-1]), reshape(b, [-1])], { eps })[0], x.shape);
  return affine(reshape(normalizeOp([rows], { eps })[0], x.shape), w, b);
}

/** x / sqrt(mean(x²) + eps) · w over the trailing dimensions (Zhang & Sennrich 2019). */
export function rmsNorm(x: Tensor, normalizedDims: number, w?: Tensor, eps = 1e-6): Tensor {
  const axes = Array.from({ length: normalizedDims }, (_, i) => x.shape.length - normalizedDims + i);
  // float16 ends at 65504: squares do not fit.
  return affine(mul(x, rsqrt(add(mean(square(asFloat32(x)), axes, true), eps))), w);
}

function affine(x: Tensor, w?: Tensor, b?: Tensor): Tensor {
  const scaled = w ? mul(x, w) : x;
  return b ? add(scaled, b) : scaled;
}
