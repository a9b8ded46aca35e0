// Operators that move values without changing them.

import { onnxType } from "./emitter.ts";
import { sumTo } from "./reduce.ts";
import {
  axisOf,
  broadcastShapes,
  type DType,
  expectFloat,
  operator,
  registerBroadcast,
  type Shape,
  sameShape,
  sizeOf,
  type Tensor,
  zerosLike,
} from "./tensor.ts";

const reshapeOp = operator<{ shape: Shape }>({
  name: "reshape",
  infer: ([x], { shape }) => [{ shape, dtype: x.dtype }],
  emit: (to, [x], { shape }) => [to.op("Reshape", [x, to.ints(shape)], { allowzero: 1 })],
  vjp: ([ct], { inputs: [x] }) => [ct && reshape(ct, x.shape)],
  jvp: "linear",
});
/** One dimension may be -1: what is left. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.reduce((a, d) => (d === -1 ? a : a * d), 1);
  const dims = shape.map((d) => (d === -1 ? sizeOf(x.shape) / known : d));
  if (sizeOf(dims) !== sizeOf(x.shape) || !dims.every(Number.isInteger))
    throw new RangeError(`reshape: [${x.shape}] does not fit into [${shape}].`);
  return sameShape(dims, x.shape) ? x : reshapeOp([x], { shape: dims })[0];
}
/** [n], all values in their order. */
export const flatten = (x: Tensor): Tensor => reshape(x, [sizeOf(x.shape)]);
/** With an axis of size 1 put in at `axis`. */
export const unsqueeze = (x: Tensor, axis: number): Tensor => {
  const at = axis < 0 ? axis + x.shape.length + 1 : axis;
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
};
/** A number per sample [B] as [B, 1, …] of this rank, to broadcast over the samples' elements. */
export const perSample = (x: Tensor, rank: number): Tensor =>
  reshape(x, [x.shape[0], ...new Array<number>(rank - 1).fill(1)]);
/** Without `axis`, whose size has to be 1: throws RangeError else. */
export const squeeze = (x: Tensor, axis: number): Tensor => {
  const at = axisOf(x, axis, "squeeze");
  return reshape(x, [...x.shape.slice(0, at), ...x.shape.slice(at + 1)]);
};

const transposeOp = operator<{ perm: readonly number[] }>({
  name: "transpose",
  infer: ([x], { perm }) => [{ shape: perm.map((p) => x.shape[p]), dtype: x.dtype }],
  emit: (to, [x], { perm }) => [to.op("Transpose", [x], { perm })],
  vjp: ([ct], _, { perm }) => [ct && transpose(ct, inverse(perm))],
  jvp: "linear",
});
const inverse = (perm: readonly number[]): number[] => perm.map((_, i) => perm.indexOf(i));
/** Output dimension k is input dimension perm[k]. */
export function transpose(x: Tensor, perm: readonly number[]): Tensor {
  const axes = perm.map((p) => axisOf(x, p, "transpose"));
  if (new Set(axes).size !== x.shape.length)
    throw new RangeError(`transpose: [${perm}] is not a permutation of the ${x.shape.length} axes of [${x.shape}].`);
  return axes.every((p, i) => p === i) ? x : transposeOp([x], { perm: axes })[0];
}

// A WebGPU kernel takes about ten buffers, and Split does not do with fewer: longer lists are slices there.
const MANY = 8;

const concatOp = operator<{ axis: number }>({
  name: "concat",
  infer: (xs, { axis }) => {
    const first = xs[0];
    for (const x of xs)
      if (x.shape.length !== first.shape.length || x.shape.some((d, i) => i !== axis && d !== first.shape[i]))
        throw new RangeError(`concat: shapes [${first.shape}] and [${x.shape}] differ outside axis ${axis}.`);
    const total = xs.reduce((n, x) => n + x.shape[axis], 0);
    return [{ shape: first.shape.map((d, i) => (i === axis ? total : d)), dtype: first.dtype }];
  },
  emit: (to, xs, { axis }) => [to.op("Concat", xs, { axis })],
  vjp: ([ct], { inputs }, { axis }) =>
    ct
      ? [
          ...split(
            ct,
            inputs.map((x) => x.shape[axis]),
            axis,
          ),
        ]
      : inputs.map(() => null),
  jvp: "linear",
});
/** Joined along `axis`; all other sizes have to agree. Throws RangeError where they do not. */
export const concat = (xs: readonly Tensor[], axis: number): Tensor =>
  xs.length === 1 ? xs[0] : concatOp(xs, { axis: axisOf(xs[0], axis, "concat") })[0];
/** Tensors of one shape along an axis of their own, put in at `axis`. */
export const stack = (xs: readonly Tensor[], axis: number): Tensor =>
  concat(
    xs.map((x) => unsqueeze(x, axis)),
    axis,
  );

const splitOp = operator<{ sizes: readonly number[]; axis: number }>({
  name: "split",
  infer: ([x], { sizes, axis }) => {
    const total = sizes.reduce((a, b) => a + b, 0);
    if (total !== x.shape[axis])
      throw new RangeError(`split: sizes add up to ${total}, but axis ${axis} of [${x.shape}] has ${x.shape[axis]}.`);
    return sizes.map((s) => ({ shape: x.shape.map((d, i) => (i === axis ? s : d)), dtype: x.dtype }));
  },
  emit: (to, [x], { sizes, axis }) => {
    if (to.device !== "webgpu" || sizes.length <= MANY)
      return to.ops("Split", [x, to.ints(sizes)], sizes.length, { axis });
    let start = 0;
    return sizes.map((s) => {
      const piece = to.op("Slice", [x, to.ints([start]), to.ints([start + s]), to.ints([axis])]);
      start += s;
      return piece;
    });
  },
  vjp: (cts, { outputs }, { axis }) =>
    cts.some(Boolean)
      ? [
          concat(
            cts.map((ct, i) => ct ?? zerosLike(outputs[i])),
            axis,
          ),
        ]
      : [null],
  jvp: "linear",
});
/** Pieces of these sizes along `axis`, which they have to fill. */
export const split = (x: Tensor, sizes: readonly number[], axis: number): readonly Tensor[] =>
  sizes.length === 1 ? [x] : splitOp([x], { sizes, axis: axisOf(x, axis, "split") });

type SliceAttrs = { starts: readonly number[]; stops: readonly number[]; steps: readonly number[] };
const sliceOp = operator<SliceAttrs>({
  name: "slice",
  infer: ([x], { starts, stops, steps }) => [
    { shape: starts.map((s, i) => Math.ceil((stops[i] - s) / steps[i])), dtype: x.dtype },
  ],
  emit: (to, [x], { starts, stops, steps }, node) => {
    const moved = starts.flatMap((s, i) =>
      s !== 0 || stops[i] !== node.inputs[0].shape[i] || steps[i] !== 1 ? [i] : [],
    );
    const pick = (list: readonly number[]) => to.ints(moved.map((i) => list[i]));
    return [to.op("Slice", [x, pick(starts), pick(stops), to.ints(moved), pick(steps)])];
  },
  vjp: ([ct], { inputs: [x] }, attrs) => [ct && unslice(ct, x.shape, attrs)],
  jvp: "linear",
});
/** The adjoint of slicing: zeros everywhere but in the slice. */
function unslice(ct: Tensor, shape: Shape, { starts, steps }: SliceAttrs): Tensor {
  let spread = ct;
  steps.forEach((step, axis) => {
    if (step === 1) return;
    // n values with step - 1 zeros behind each.
    const open = unsqueeze(spread, axis + 1);
    const zeroed = pad(
      open,
      open.shape.map((_, i) => [0, i === axis + 1 ? step - 1 : 0]),
    );
    spread = reshape(
      zeroed,
      spread.shape.map((d, i) => (i === axis ? d * step : d)),
    );
    const room = shape[axis] - starts[axis];
    if (spread.shape[axis] > room)
      spread = slice(
        spread,
        spread.shape.map((d, i) => [0, i === axis ? room : d]),
      );
  });
  return pad(
    spread,
    shape.map((d, i) => [starts[i], d - starts[i] - spread.shape[i]]),
  );
}
/** [start, stop, step] per dimension, 0 ≤ start < stop ≤ size, step ≥ 1. */
export function slice(x: Tensor, ranges: readonly (readonly [start: number, stop: number, step?: number])[]): Tensor {
  if (ranges.length !== x.shape.length)
    throw new RangeError(`slice: ${ranges.length} ranges for the ${x.shape.length} dimensions of [${x.shape}].`);
  ranges.forEach(([start, stop, step = 1], i) => {
    if (start < 0 || stop > x.shape[i] || start >= stop || step < 1)
      throw new RangeError(`slice: [${start}, ${stop}, ${step}] is outside dimension ${i} of [${x.shape}].`);
  });
  if (ranges.every(([start, stop], i) => start === 0 && stop === x.shape[i]) && ranges.every(([, , s = 1]) => s === 1))
    return x;
  return sliceOp([x], {
    starts: ranges.map(([s]) => s),
    stops: ranges.map(([, s]) => s),
    steps: ranges.map(([, , s = 1]) => s),
  })[0];
}
/** A slice of one axis. */
export const sliceAxis = (x: Tensor, axis: number, start: number, stop: number, step = 1): Tensor =>
  slice(
    x,
    x.shape.map((d, i) => (i === axisOf(x, axis, "slice") ? [start, stop, step] : [0, d])),
  );

const padOp = operator<{ before: readonly number[]; after: readonly number[]; value: number }>({
  name: "pad",
  infer: ([x], { before, after }) => [{ shape: x.shape.map((d, i) => before[i] + d + after[i]), dtype: x.dtype }],
  emit: (to, [x], { before, after, value }) => {
    const inputs = [x, to.ints([...before, ...after])];
    if (value !== 0) inputs.push(to.floats([value], []));
    return [to.op("Pad", inputs)];
  },
  vjp: ([ct], { inputs: [x] }, { before }) => [
    ct &&
      slice(
        ct,
        x.shape.map((d, i) => [before[i], before[i] + d]),
      ),
  ],
  // Not "linear": a padding value other than zero is a constant, whose tangent is zero.
  jvp: ([tangent], _, { before, after }) => [
    tangent &&
      pad(
        tangent,
        before.map((b, i) => [b, after[i]]),
      ),
  ],
});
/** [before, after] per dimension; "reflect" mirrors without repeating the edge. */
export function pad(
  x: Tensor,
  pads: readonly (readonly [before: number, after: number])[],
  value: number | "reflect" = 0,
): Tensor {
  expectFloat("pad", x);
  if (pads.length !== x.shape.length || pads.some(([b, a]) => b < 0 || a < 0))
    throw new RangeError(
      `pad: [${pads.join("; ")}] does not fit shape [${x.shape}]; one non-negative pair a dimension.`,
    );
  if (pads.every(([b, a]) => b === 0 && a === 0)) return x;
  if (value === "reflect") return pads.reduce((y, [b, a], axis) => reflect(y, axis, b, a), x);
  return padOp([x], { before: pads.map(([b]) => b), after: pads.map(([, a]) => a), value })[0];
}
function reflect(x: Tensor, axis: number, before: number, after: number): Tensor {
  const n = x.shape[axis];
  if (before >= n || after >= n)
    throw new RangeError(`pad: cannot reflect ${Math.max(before, after)} values on axis ${axis} of [${x.shape}].`);
  const parts = [x];
  if (before > 0) parts.unshift(flip(sliceAxis(x, axis, 1, before + 1), [axis]));
  if (after > 0) parts.push(flip(sliceAxis(x, axis, n - 1 - after, n - 1), [axis]));
  return concat(parts, axis);
}

const flipOp = operator<{ axes: readonly number[] }>({
  name: "flip",
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (to, [x], { axes }) => {
    const all = (v: number) => to.ints(axes.map(() => v));
    return [to.op("Slice", [x, all(-1), all(-(2 ** 31)), to.ints(axes), all(-1)])];
  },
  vjp: ([ct], _, { axes }) => [ct && flip(ct, axes)],
  jvp: "linear",
});
/** With the order turned around along these axes. */
export function flip(x: Tensor, axes: readonly number[]): Tensor {
  return flipOp([x], { axes: axes.map((a) => axisOf(x, a, "flip")) })[0];
}

const expandOp = operator<{ shape: Shape }>({
  name: "broadcast_to",
  infer: ([x], { shape }) => {
    if (!sameShape(broadcastShapes(x.shape, shape, "broadcastTo"), shape))
      throw new RangeError(`broadcastTo: [${x.shape}] does not broadcast to [${shape}].`);
    return [{ shape, dtype: x.dtype }];
  },
  emit: (to, [x], { shape }) => [to.op("Expand", [x, to.ints(shape)])],
  vjp: ([ct], { inputs: [x] }) => [ct && sumTo(ct, x.shape)],
  jvp: "linear",
});
/** Repeated along axes of size 1, and along new ones in front, to this shape. Throws RangeError where it does not fit. */
export const broadcastTo = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape) ? x : expandOp([x], { shape })[0];
registerBroadcast(broadcastTo);

const float32Op = operator<Record<string, never>>({
  name: "float32",
  infer: ([x]) => {
    expectFloat("float32", x);
    return [{ shape: x.shape, dtype: "float32" }];
  },
  emit: (to, [x]) => [to.full(x)],
  vjp: ([ct]) => [ct],
  jvp: "linear",
});
/** The same value, with which float32 is computed even in a program of half precision. */
export const asFloat32 = (x: Tensor): Tensor => float32Op([x], {})[0];

const castOp = operator<{ to: DType }>({
  name: "cast",
  infer: ([x], { to }) => [{ shape: x.shape, dtype: to }],
  emit: (emitter, [x], { to }) => [emitter.op("Cast", [x], { to: onnxType(to, emitter.device) })],
  vjp: () => [null],
  jvp: "none",
});
/** As another type; whole numbers round toward zero, and everything but 0 is true. */
export const cast = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : castOp([x], { to: dtype })[0]);
