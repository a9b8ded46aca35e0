// Convolution. Its three bilinear maps (forward, input gradient, weight gradient) are each other's derivatives,
// so any order of differentiation stays within this file.

import { emitConv, emitInputGradient, emitWeightGradient } from "./convLowering.ts";
import { add } from "./pointwise.ts";
import { sum } from "./reduce.ts";
import { reshape } from "./shape.ts";
import { expectFloat, operator, type Shape, type Tensor } from "./tensor.ts";

/** pads: top, left, bottom, right. */
export type ConvAttrs = {
  stride: readonly number[];
  pads: readonly number[];
  dilation: readonly number[];
  groups: number;
};
export type ConvGradAttrs = ConvAttrs & { size: readonly number[] };

/** Output height and width. */
const convSize = (hw: Shape, kernel: Shape, { stride, pads, dilation }: ConvAttrs): number[] =>
  [0, 1].map((i) => Math.floor((hw[i] + pads[i] + pads[i + 2] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1);

const convOp = operator<ConvAttrs>({
  name: "conv2d",
  infer: ([x, w], a) => {
    expectFloat("conv2d", x, w);
    const [n, c] = x.shape;
    if (x.shape.length !== 4 || w.shape.length !== 4 || w.shape[1] * a.groups !== c || w.shape[0] % a.groups !== 0)
      throw new RangeError(`conv2d: input [${x.shape}] and weight [${w.shape}] with ${a.groups} group(s) do not fit.`);
    const size = convSize(x.shape.slice(2), w.shape.slice(2), a);
    if (size.some((d) => d < 1)) throw new RangeError(`conv2d: weight [${w.shape}] is larger than input [${x.shape}].`);
    return [{ shape: [n, w.shape[0], ...size], dtype: "float32" }];
  },
  emit: (to, names, attrs, { inputs: [, w], outputs: [y] }) => [emitConv(to, names, attrs, w, y.shape)],
  vjp: ([ct], { inputs: [x, w, b] }, attrs, need) =>
    ct
      ? [
          need[0] ? inputGradient(ct, w, attrs, x.shape.slice(2)) : null,
          need[1] ? weightGradient(x, ct, attrs, w.shape.slice(2)) : null,
          ...(b ? [need[2] ? sum(ct, [0, 2, 3]) : null] : []),
        ]
      : [null, null, null],
  jvp: ([dx, dw, db], { inputs: [x, w] }, attrs) => {
    const parts: Tensor[] = [];
    if (dx) parts.push(convOp([dx, w], attrs)[0]);
    if (dw) parts.push(convOp([x, dw], attrs)[0]);
    if (db) parts.push(reshape(db, [1, -1, 1, 1]));
    return [parts.length > 0 ? parts.reduce((a, b) => add(a, b)) : null];
  },
});

/** The adjoint of conv2d in its input: also the transposed convolution. `size` is the height and width it returns. */
const inputGradientOp = operator<ConvGradAttrs>({
  name: "conv2d_input_gradient",
  infer: ([dy, w], a) => {
    expectFloat("convTranspose2d", dy, w);
    if (dy.shape.length !== 4 || w.shape.length !== 4 || dy.shape[1] !== w.shape[0])
      throw new RangeError(`convTranspose2d: input [${dy.shape}] and weight [${w.shape}] do not fit.`);
    return [{ shape: [dy.shape[0], w.shape[1] * a.groups, ...a.size], dtype: "float32" }];
  },
  emit: (to, [dy, w], attrs, { inputs }) => [emitInputGradient(to, dy, w, attrs, inputs[0].shape, inputs[1])],
  vjp: ([ct], { inputs: [dy, w] }, attrs, need) =>
    ct
      ? [need[0] ? convOp([ct, w], attrs)[0] : null, need[1] ? weightGradient(ct, dy, attrs, w.shape.slice(2)) : null]
      : [null, null],
  jvp: "multilinear",
});
const inputGradient = (dy: Tensor, w: Tensor, attrs: ConvAttrs, size: Shape): Tensor =>
  inputGradientOp([dy, w], { ...base(attrs), size })[0];

/** The adjoint of conv2d in its weight. `size` is the kernel's height and width. */
const weightGradientOp = operator<ConvGradAttrs>({
  name: "conv2d_weight_gradient",
  infer: ([x, dy], a) => [{ shape: [dy.shape[1], x.shape[1] / a.groups, ...a.size], dtype: "float32" }],
  emit: (to, [x, dy], attrs, node) => [
    emitWeightGradient(to, x, dy, attrs, node.inputs[0].shape, node.inputs[1].shape),
  ],
  vjp: ([ct], { inputs: [x, dy] }, attrs, need) =>
    ct
      ? [
          need[0] ? inputGradient(dy, ct, attrs, x.shape.slice(2)) : null,
          need[1] ? convOp([x, ct], base(attrs))[0] : null,
        ]
      : [null, null],
  jvp: "multilinear",
});
const weightGradient = (x: Tensor, dy: Tensor, attrs: ConvAttrs, size: Shape): Tensor =>
  weightGradientOp([x, dy], { ...base(attrs), size })[0];

const base = ({ stride, pads, dilation, groups }: ConvAttrs): ConvAttrs => ({ stride, pads, dilation, groups });

export interface ConvOptions {
  stride?: number | readonly [number, number];
  /** On all sides, [vertical, horizontal], or [top, left, bottom, right]. */
  padding?: number | readonly [number, number] | readonly [number, number, number, number];
  dilation?: number | readonly [number, number];
  groups?: number;
}
const both = (v: number | readonly [number, number]): readonly number[] => (typeof v === "number" ? [v, v] : v);
const attrsOf = ({ stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvOptions): ConvAttrs => ({
  stride: both(stride),
  pads:
    typeof padding === "number"
      ? [padding, padding, padding, padding]
      : padding.length === 2
        ? [...padding, ...padding]
        : padding,
  dilation: both(dilation),
  groups,
});

/** Cross-correlation: x [N, C, H, W], w [out, C/groups, kh, kw], b [out]; zero padding. */
export function conv2d(x: Tensor, w: Tensor, b?: Tensor, options: ConvOptions = {}): Tensor {
  return convOp(b ? [x, w, b] : [x, w], attrsOf(options))[0];
}

/** The adjoint of conv2d with the same options: x [N, in, H, W], w [in, out/groups, kh, kw], b [out]. */
export function convTranspose2d(
  x: Tensor,
  w: Tensor,
  b?: Tensor,
  options: ConvOptions & { outputPadding?: number | readonly [number, number] } = {},
): Tensor {
  const attrs = attrsOf(options);
  const extra = both(options.outputPadding ?? 0);
  const size = [0, 1].map(
    (i) =>
      (x.shape[i + 2] - 1) * attrs.stride[i] -
      attrs.pads[i] -
      attrs.pads[i + 2] +
      attrs.dilation[i] * (w.shape[i + 2] - 1) +
      1 +
      extra[i],
  );
  const y = inputGradient(x, w, attrs, size);
  return b ? add(y, reshape(b, [1, -1, 1, 1])) : y;
}
