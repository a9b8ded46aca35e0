// Where a moving window lies: kernel, strides, dilations and padding of convolutions and pools, in two dimensions.

import { reshape, type Tensor } from "../../graph/index.ts";
import { type Call, int, ints, text, value } from "../call.ts";

export interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly dilation: readonly [number, number];
  /** top, left, bottom, right; below 0 (pools only): rows and columns that are cut off. */
  readonly pads: readonly [number, number, number, number];
  /** Rows and columns by which rounding up lets the last windows hang over, besides the padding. */
  readonly over: readonly [number, number];
}

const two = (list: readonly number[], fill: number): [number, number] =>
  list.length === 1 ? [fill, list[0]] : [list[0] ?? fill, list[1] ?? fill];

/** `kernel` (of a `pool` or of a convolution) may have one dimension where the node works on rows; the other is 1. */
export function windowOf(call: Call, size: readonly number[], kernel: readonly number[], pool = false): Window {
  const k = two(kernel, 1);
  const hw = two(size, 1);
  const stride = two(ints(call, "strides", []), 1);
  const dilation = two(ints(call, "dilations", []), 1);
  const span = [0, 1].map((i) => dilation[i] * (k[i] - 1) + 1);
  const pads = padsOf(call, value(call, 0).shape.length - 2, hw, stride, span, pool ? k : undefined);
  const ceil = int(call, "ceil_mode", 0) === 1;
  const over = [0, 1].map((i): number => {
    const room = hw[i] + pads[i] + pads[i + 2] - span[i];
    if (!ceil) return 0;
    let count = Math.ceil(room / stride[i]) + 1;
    // A window must start on the image or the padding before it.
    if ((count - 1) * stride[i] >= hw[i] + pads[i]) count--;
    return Math.max(0, (count - 1) * stride[i] - room);
  });
  return { kernel: k, stride, dilation, pads, over: [over[0], over[1]] };
}

function padsOf(
  call: Call,
  rank: number,
  size: readonly number[],
  stride: readonly number[],
  span: readonly number[],
  poolKernel: readonly number[] | undefined,
): [number, number, number, number] {
  const auto = text(call, "auto_pad", "NOTSET");
  if (auto === "SAME_UPPER" || auto === "SAME_LOWER") {
    const beyond = (i: number, kernel: number) => (Math.ceil(size[i] / stride[i]) - 1) * stride[i] + kernel - size[i];
    // ONNX Runtime pads for pools as if they had no dilation, and cuts off where strides leave more than they read.
    const total = [0, 1].map((i) => (poolKernel ? beyond(i, poolKernel[i]) : Math.max(0, beyond(i, span[i]))));
    const before = total.map((t) => Math.trunc((auto === "SAME_UPPER" ? t : t + 1) / 2));
    const after = total.map((t, i) => t - before[i]);
    return [before[0], before[1], after[0], after[1]];
  }
  const given = ints(call, "pads", []);
  if (given.length === 0 || auto === "VALID") return [0, 0, 0, 0];
  return rank === 1 ? [0, given[0], 0, given[1]] : [given[0], given[1], given[2], given[3]];
}

/** Does to [N, C, L] what f does to images, as [N, C, 1, L]. Throws a RangeError for more than two dimensions. */
export function asImage(x: Tensor, f: (image: Tensor) => Tensor): Tensor {
  const rank = x.shape.length - 2;
  if (rank === 2) return f(x);
  if (rank !== 1) throw new RangeError(`its input [${x.shape}] has ${rank} dimensions of space; expected one or two.`);
  const y = f(row(x));
  return reshape(y, [y.shape[0], y.shape[1], y.shape[3]]);
}
/** [A, B, L] as [A, B, 1, L]. */
export const row = (x: Tensor): Tensor =>
  x.shape.length === 3 ? reshape(x, [x.shape[0], x.shape[1], 1, x.shape[2]]) : x;
