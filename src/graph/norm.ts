// Normalizations.

import { type Emitter, float } from "./emitter.ts";
import { add, mul, rsqrt, square, sub } from "./pointwise.ts";
import { mean, sum } from "./reduce.ts";
import { broadcastTo, reshape } from "./shape.ts";
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

const normalize = (x: Tensor, eps: number): Tensor => normalizeOp([x], { eps })[0];

/**
 * The normalized groups scaled and shifted by channel. An operator of its own because its gradient needs two sums per
 * channel, and those give the gradients of w and b and the means over groups, which would be four passes otherwise.
 * x [N, C, L], w and b [C].
 */
const groupNormOp = operator<{ groups: number; eps: number }>({
  name: "group_norm",
  infer: ([x, w, b]) => {
    expectFloat("groupNorm", x, w, b);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, [x, w, b], { groups, eps }, node) => {
    const { shape } = node.inputs[0];
    const [n, c, length] = shape;
    const rows = to.op("Reshape", [x, to.ints([n * groups, (c / groups) * length])], { allowzero: 1 });
    const [flat] = emitNormalize(to, rows, (c / groups) * length, eps);
    const column = (t: string) => to.op("Reshape", [t, to.ints([1, c, 1])], { allowzero: 1 });
    const y = to.op("Reshape", [flat, to.ints(shape)], { allowzero: 1 });
    return [to.op("Add", [to.op("Mul", [y, column(w)]), column(b)])];
  },
  vjp: ([ct], { inputs: [x, w] }, attrs) => {
    if (!ct) return [null, null, null];
    const [n, c] = x.shape;
    const { y, inv } = normalizedGroups(x, attrs);
    const total = sum(ct, [2], true);
    const product = sum(mul(ct, y), [2], true);
    // The means over a group of w·ct and of w·ct·y.
    const overGroup = (t: Tensor) => {
      const weighted = reshape(mul(t, reshape(w, [1, c, 1])), [n * attrs.groups, -1]);
      const m = mul(sum(weighted, [1], true), attrs.groups / (c * x.shape[2]));
      return perChannel(mul(m, inv), x.shape, attrs.groups);
    };
    const gain = mul(perChannel(inv, x.shape, attrs.groups), reshape(w, [1, c, 1]));
    const dx = sub(sub(mul(ct, gain), mul(y, overGroup(product))), overGroup(total));
    return [dx, reshape(sum(product, [0]), [c]), reshape(sum(total, [0]), [c])];
  },
  jvp: ([dx, dw, db], { inputs: [x, w] }, attrs) => {
    const [n, c, length] = x.shape;
    const { y, flat, inv } = normalizedGroups(x, attrs);
    const column = (t: Tensor) => reshape(t, [1, c, 1]);
    const parts = [
      dx && mul(reshape(project(reshape(dx, flat.shape), flat, inv), x.shape), column(w)),
      dw && mul(y, column(dw)),
      db && broadcastTo(column(db), [n, c, length]),
    ].filter((p) => p !== null);
    return [parts.length > 0 ? parts.reduce((p, q) => add(p, q)) : null];
  },
});

/** The groups of x [N, C, L] normalized, and their inverse deviations [N·groups, 1]: once per x, as equal nodes are. */
function normalizedGroups(x: Tensor, { groups, eps }: { groups: number; eps: number }) {
  const [flat, , inv] = normalizeOp([reshape(x, [x.shape[0] * groups, -1])], { eps });
  return { y: reshape(flat, x.shape), flat, inv };
}
/** [N·groups, 1] to [N, C, 1]. */
function perChannel(t: Tensor, [n, c]: Shape, groups: number): Tensor {
  return reshape(broadcastTo(reshape(t, [n, groups, 1]), [n, groups, c / groups]), [n, c, 1]);
}

/** GroupNorm (Wu & He 2018): x [N, C, …], w and b [C]; mean and biased variance over a group and all positions. */
export function groupNorm(x: Tensor, groups: number, w?: Tensor, b?: Tensor, eps = 1e-5): Tensor {
  const [n, c] = x.shape;
  if (c % groups !== 0) throw new RangeError(`groupNorm: ${c} channels do not divide into ${groups} groups.`);
  const flat = reshape(x, [n, c, -1]);
  if (w && b) return reshape(groupNormOp([flat, w, b], { groups, eps })[0], x.shape);
  const broadcast = [1, c, ...x.shape.slice(2).map(() => 1)];
  const y = reshape(normalizedGroups(flat, { groups, eps }).y, x.shape);
  return affine(y, w && reshape(w, broadcast), b && reshape(b, broadcast));
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
