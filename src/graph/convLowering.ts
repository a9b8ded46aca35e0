// How a convolution and its two gradients become ONNX nodes. Chosen by measurement: docs/performance.md.

import { blockable, emitBlocked } from "./blockedConv.ts";
import { blockableGradient, emitBlockedGradient } from "./blockedWeightGradient.ts";
import type { ConvAttrs, ConvGradAttrs } from "./conv.ts";
import type { Emitter } from "./emitter.ts";
import type { Shape, Tensor } from "./tensor.ts";
import { emitPaddedConv } from "./webgpu.ts";

/** `names`: x [N, C, H, W], w [O, C/groups, kh, kw] and perhaps a bias [O]. */
export function emitConv(to: Emitter, names: readonly string[], a: ConvAttrs, w: Tensor, ys: Shape): string {
  const attrs = {
    kernel_shape: w.shape.slice(2),
    strides: a.stride,
    pads: a.pads,
    dilations: a.dilation,
    group: a.groups,
  };
  const blocked = a.groups === 1 && blockable(to, w, w.shape[1], w.shape[0], ys);
  if (blocked) return emitBlocked(to, names, attrs, w.shape);
  return to.device === "webgpu" && a.groups === 1
    ? emitPaddedConv(to, names, attrs, w.shape)
    : to.op("Conv", names, attrs);
}

/** dy [N, O, Ho, Wo], w [O, C/groups, kh, kw] to dx [N, C, H, W]. */
export function emitInputGradient(
  to: Emitter,
  dy: string,
  w: string,
  a: ConvGradAttrs,
  dys: Shape,
  weight: Tensor,
): string {
  const [o, c, ...kernel] = weight.shape;
  const plain = a.stride.every((s) => s === 1) && a.groups === 1;
  const back = [0, 1, 2, 3].map((i) => a.dilation[i % 2] * (kernel[i % 2] - 1) - a.pads[i]);
  if (plain && back.every((p) => p >= 0)) {
    // With stride 1 it is a convolution with the kernel turned around: faster than ConvTranspose.
    const attrs = { kernel_shape: kernel, strides: [1, 1], pads: back, dilations: a.dilation, group: 1 };
    if (blockable(to, weight, o, c, [dys[0], c, ...a.size])) return emitBlocked(to, [dy, w], attrs, weight.shape, true);
    const swapped = to.op("Transpose", [w], { perm: [1, 0, 2, 3] });
    const both = (v: number) => to.ints([v, v]);
    const turned =
      kernel[0] * kernel[1] === 1
        ? swapped
        : to.op("Slice", [swapped, both(-1), both(-(2 ** 31)), to.ints([2, 3]), both(-1)]);
    return to.device === "webgpu"
      ? emitPaddedConv(to, [dy, turned], attrs, [c, o])
      : to.op("Conv", [dy, turned], attrs);
  }
  const extra = [0, 1].map(
    (i) =>
      a.size[i] - ((dys[i + 2] - 1) * a.stride[i] - a.pads[i] - a.pads[i + 2] + a.dilation[i] * (kernel[i] - 1) + 1),
  );
  return to.op("ConvTranspose", [dy, w], {
    kernel_shape: kernel,
    strides: a.stride,
    pads: a.pads,
    dilations: a.dilation,
    group: a.groups,
    output_padding: extra,
  });
}

/** x [N, C, H, W], dy [N, O, Ho, Wo] to dw [O, C/groups, kh, kw]. */
export function emitWeightGradient(
  to: Emitter,
  x: string,
  dy: string,
  a: ConvGradAttrs,
  xs: Shape,
  dys: Shape,
): string {
  if (blockableGradient(to, a, xs, dys)) return emitBlockedGradient(to, x, dy, a, xs, dys);
  if (a.groups === 1) return emitDense(to, x, dy, a, xs, dys);
  const [n, c, h, w] = xs;
  const o = dys[1];
  if (a.groups === c && o === c) return emitDepthwise(to, x, dy, a, xs, dys);
  const per = [c / a.groups, o / a.groups];
  const piece = (t: string, g: number, size: number): string =>
    to.op("Slice", [t, to.ints([g * size]), to.ints([(g + 1) * size]), to.ints([1])]);
  const parts = Array.from({ length: a.groups }, (_, g) =>
    emitDense(to, piece(x, g, per[0]), piece(dy, g, per[1]), a, [n, per[0], h, w], [n, per[1], dys[2], dys[3]]),
  );
  return to.op("Concat", parts, { axis: 0 });
}

/** The input shifted by each kernel position: kh·kw tensors [N, C, Ho, Wo]. */
function shifts(to: Emitter, x: string, a: ConvGradAttrs, dys: Shape): string[] {
  const [ho, wo] = dys.slice(2);
  const [kh, kw] = a.size;
  const padded = a.pads.some((p) => p > 0)
    ? to.op("Pad", [x, to.ints([0, 0, a.pads[0], a.pads[1], 0, 0, a.pads[2], a.pads[3]])])
    : x;
  return Array.from({ length: kh * kw }, (_, k) => {
    const top = Math.floor(k / kw) * a.dilation[0];
    const left = (k % kw) * a.dilation[1];
    return to.op("Slice", [
      padded,
      to.ints([top, left]),
      to.ints([top + (ho - 1) * a.stride[0] + 1, left + (wo - 1) * a.stride[1] + 1]),
      to.ints([2, 3]),
      to.ints(a.stride),
    ]);
  });
}

function emitDense(to: Emitter, x: string, dy: string, a: ConvGradAttrs, xs: Shape, dys: Shape): string {
  const [n, c] = xs;
  const [, o, ho, wo] = dys;
  const [kh, kw] = a.size;
  const k = kh * kw;
  const sameSize = a.stride.every((s) => s === 1) && xs[2] === ho && xs[3] === wo;
  if (k > 1 && sameSize) return emitShifted(to, x, dy, a, xs, dys);
  const direct = k === 1 && a.pads.every((p) => p === 0) && a.stride.every((s) => s === 1);
  const columns = direct ? x : to.op("Concat", shifts(to, x, a, dys), { axis: 1 });
  const total = batchProduct(to, [dy, n, o, ho * wo], [columns, n, k * c, ho * wo]);
  if (k === 1) return to.op("Reshape", [total, to.ints([o, c, 1, 1])]);
  const byPosition = to.op("Reshape", [total, to.ints([o, k, c])]);
  const byChannel = to.op("Transpose", [byPosition], { perm: [0, 2, 1] });
  return to.op("Reshape", [byChannel, to.ints([o, c, kh, kw])]);
}

/**
 * A shift by (i, j) between x and dy is a shift of dy by i rows and of x by j columns. So kh copies of dy, and one
 * product with each of kw copies of x, instead of kh·kw copies of x. Where one of them has few channels, only that one
 * is shifted, by (i, j).
 */
function emitShifted(to: Emitter, x: string, dy: string, a: ConvGradAttrs, xs: Shape, dys: Shape): string {
  const [n, c, h, w] = xs;
  const o = dys[1];
  const [kh, kw] = a.size;
  // Small images make small products: there the batch, turned to the end, becomes part of the inner dimension.
  const folded = h * w < 256 && (to.device === "cpu" || to.device === "wasm");
  const turn = (t: string): string => (folded ? to.op("Transpose", [t], { perm: [1, 2, 3, 0] }) : t);
  // Zeros come in on one side and the other side falls off: a Pad with a negative end.
  const shift = (t: string, rows: number, columns: number): string => {
    if (rows === 0 && columns === 0) return t;
    const by = folded ? [0, rows, columns, 0] : [0, 0, rows, columns];
    return to.op("Pad", [t, to.ints([...by, ...by.map((d) => -d)])]);
  };
  // By how much position (i, j) of the kernel shifts dy against x.
  const rowOf = (i: number) => i * a.dilation[0] - a.pads[0];
  const columnOf = (j: number) => j * a.dilation[1] - a.pads[1];
  const join = (parts: readonly string[]) =>
    parts.length === 1 ? parts[0] : to.op("Concat", parts, { axis: folded ? 0 : 1 });
  /** [rows of left, rows of right], summed over batch and positions. */
  const product = (left: string, rows: number, right: string, columns: number): string => {
    if (!folded) return batchProduct(to, [left, n, rows, h * w], [right, n, columns, h * w]);
    const flat = (t: string, size: number) => to.op("Reshape", [t, to.ints([size, h * w * n])]);
    return to.op("Gemm", [flat(left, rows), flat(right, columns)], { transB: 1 });
  };
  const arranged = (total: string, sizes: readonly number[], perm: readonly number[]) =>
    to.op("Transpose", [to.op("Reshape", [total, to.ints(sizes)])], { perm });

  const split = kh * o + kw * c;
  const shifts = (t: string, sign: 1 | -1) =>
    join(range(kh).flatMap((i) => range(kw).map((j) => shift(t, sign * rowOf(i), sign * columnOf(j)))));
  if (kh * kw * c < split)
    return arranged(product(turn(dy), o, shifts(turn(x), -1), kh * kw * c), [o, kh, kw, c], [0, 3, 1, 2]);
  if (kh * kw * o < split)
    return arranged(product(shifts(turn(dy), 1), kh * kw * o, turn(x), c), [kh, kw, o, c], [2, 3, 0, 1]);
  const rows = join(range(kh).map((i) => shift(turn(dy), rowOf(i), 0)));
  const products = range(kw).map((j) => product(rows, kh * o, shift(turn(x), 0, -columnOf(j)), c));
  const total = kw === 1 ? products[0] : to.op("Concat", products, { axis: 1 });
  return arranged(total, [kh, o, kw, c], [1, 3, 0, 2]);
}
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

type Rows = readonly [name: string, batch: number, rows: number, length: number];

/** The sum over the batch of a·bᵀ, with a and b seen as [batch, rows, length], as [rows of a, rows of b]. */
function batchProduct(to: Emitter, [a, n, rowsA, length]: Rows, [b, , rowsB]: Rows): string {
  const left = to.op("Reshape", [a, to.ints([n, rowsA, length])]);
  const right = to.op("Reshape", [b, to.ints([n, rowsB, length])]);
  const product =
    to.device === "webgpu"
      ? to.op("MatMul", [left, to.op("Transpose", [right], { perm: [0, 2, 1] })])
      : to.op("ms.FusedMatMul", [left, right], { transB: 1 });
  if (to.half) return to.op("ReduceSum", [product, to.ints([0])], { keepdims: 0 });
  // A product with ones sums faster than ReduceSum.
  const ones = to.floats(new Float32Array(n).fill(1), [1, n]);
  const total = to.op("MatMul", [ones, to.op("Reshape", [product, to.ints([n, rowsA * rowsB])])]);
  return to.op("Reshape", [total, to.ints([rowsA, rowsB])]);
}

function emitDepthwise(to: Emitter, x: string, dy: string, a: ConvGradAttrs, xs: Shape, dys: Shape): string {
  const parts = shifts(to, x, a, dys).map((shifted) =>
    to.op("ReduceSum", [to.op("Mul", [shifted, dy]), to.ints([0, 2, 3])], { keepdims: 0 }),
  );
  const rows = parts.map((p) => to.op("Reshape", [p, to.ints([xs[1], 1])]));
  const joined = rows.length === 1 ? rows[0] : to.op("Concat", rows, { axis: 1 });
  return to.op("Reshape", [joined, to.ints([xs[1], 1, ...a.size])]);
}
