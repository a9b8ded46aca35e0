// Convolution in ONNX Runtime's blocked layout [N, C/block, H, W, block], which needs no columns in memory. The runtime
// goes over to it by itself where weights are constants; where they are not (training), these nodes do it.

import type { Emitter, OnnxAttr } from "./emitter.ts";
import { isConstant, type Shape, type Tensor } from "./tensor.ts";

/**
 * Fewer positions than this are not worth the reordering of the weights. Of small images fewer are enough: the other way
 * is a product for each image.
 */
const positionsNeeded = (ofImage: number): number => (ofImage < 64 ? 256 : 512);

/**
 * Whether it pays: a kernel larger than 1 x 1 of variable weights, whose channels fill blocks (or, going in, less than
 * one), and which is used at enough positions of the result, of shape [N, C, H, W].
 */
export function blockable(to: Emitter, w: Tensor, from: number, out: number, [n, , h, width]: Shape): boolean {
  const [, , kh, kw] = w.shape;
  if (to.block === 1 || isConstant(w) || kh * kw === 1 || n * h * width < positionsNeeded(h * width)) return false;
  return out % to.block === 0 && (from % to.block === 0 || from < to.block);
}

/**
 * `names`: x [N, C, H, W], w [O, C, kh, kw] and perhaps a bias [O]; the attributes are those of ONNX's Conv.
 * `turned`: with the kernel turned around and its channels swapped: x [N, O, H, W] to [N, C, H', W'].
 */
export function emitBlocked(
  to: Emitter,
  [x, w, ...bias]: readonly string[],
  attrs: Readonly<Record<string, OnnxAttr>>,
  ws: Shape,
  turned = false,
): string {
  const [from, out] = turned ? [ws[0], ws[1]] : [ws[1], ws[0]];
  // Fewer input channels than a block stay as they are; only the output's are blocked.
  const few = from < to.block;
  const input = few ? x : to.op("nchwc.ReorderInput", [x]);
  const weight = to.op("Reshape", [
    turned ? turnedWeight(to, w, ws, few) : orderedWeight(to, w, ws, few),
    to.ints([out, from, ...ws.slice(2)]),
  ]);
  const y = to.op("nchwc.Conv", [input, weight, ...bias], attrs);
  return to.op("nchwc.ReorderOutput", [y], { channels: out });
}

// The runtime's own reordering of an image puts a block of channels last, with vector instructions and threads: it moves
// a weight's channels too. What is left for Transpose are runs of a block.
const blocked = (to: Emitter, x: string, shape: Shape): string =>
  to.op("nchwc.ReorderInput", [to.op("Reshape", [x, to.ints(shape)])]);

/** To [O/b, C/b, k, b of C, b of O], or [O/b, C, k, b] for few C. */
function orderedWeight(to: Emitter, w: string, [o, c, kh, kw]: Shape, few: boolean): string {
  const [b, k] = [to.block, kh * kw];
  const last = blocked(to, w, [1, o, c, k]);
  return few ? last : permuteRuns(to, last, [((o / b) * c) / b, b, k], [0, 2, 1]);
}

/** To [C/b, O/b, k, b of O, b of C], or [C/b, O, k, b] for few O, with k running backwards. */
function turnedWeight(to: Emitter, w: string, [o, c, kh, kw]: Shape, few: boolean): string {
  const [b, k] = [to.block, kh * kw];
  const last = blocked(to, w, [o, c, 1, k]);
  return few
    ? permuteRuns(to, last, [o, c / b, k], [1, 0, 2], 2)
    : permuteRuns(to, last, [o / b, b, c / b, k], [2, 0, 3, 1], 3);
}

/**
 * x, seen as runs of a block each in this shape, with the axes of that shape in another order, and one of them perhaps
 * backwards. A Gather, which the runtime does with threads, by indices that it folds into a constant.
 */
export function permuteRuns(to: Emitter, x: string, shape: Shape, perm: readonly number[], backwards?: number): string {
  const count = shape.reduce((a, d) => a * d, 1);
  const scalar = (value: number) => to.op("Squeeze", [to.ints([value])]);
  let index = to.op("Reshape", [to.op("Range", [scalar(0), scalar(count), scalar(1)]), to.ints(shape)]);
  if (backwards !== undefined)
    index = to.op("Slice", [index, to.ints([-1]), to.ints([-(2 ** 31)]), to.ints([backwards]), to.ints([-1])]);
  const order = to.op("Reshape", [to.op("Transpose", [index], { perm }), to.ints([count])]);
  return to.op("Gather", [to.op("Reshape", [x, to.ints([count, to.block])]), order], { axis: 0 });
}
