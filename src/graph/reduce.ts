// Sums, means, maxima and what is built from them.

import { stopGradient } from "./autodiff.ts";
import type { Emitter } from "./emitter.ts";
import { add, div, equal, exp, log, mul, square, sub } from "./pointwise.ts";
import { broadcastTo, cast, reshape } from "./shape.ts";
import { axisOf, expectFloat, operator, type Shape, sameShape, sizeOf, type Tensor } from "./tensor.ts";

type ReduceAttrs = { axes: readonly number[] };

const kept = (shape: Shape, axes: readonly number[]): Shape => shape.map((d, i) => (axes.includes(i) ? 1 : d));

function reduction(
  name: string,
  onnx: string,
  vjp: (ct: Tensor, x: Tensor, y: Tensor, axes: readonly number[]) => Tensor,
  jvp: "linear" | ((tangent: Tensor, x: Tensor, y: Tensor, axes: readonly number[]) => Tensor),
  faster?: (to: Emitter, x: string, shape: Shape, axes: readonly number[]) => string | null,
) {
  const apply = operator<ReduceAttrs>({
    name,
    infer: ([x], { axes }) => {
      expectFloat(name, x);
      return [{ shape: kept(x.shape, axes), dtype: "float32" }];
    },
    emit: (to, [x], { axes }, { inputs }) => [
      faster?.(to, x, inputs[0].shape, axes) ?? to.op(onnx, [x, to.ints(axes)], { keepdims: 1 }),
    ],
    vjp: ([ct], { inputs: [x], outputs: [y] }, { axes }) => [ct && vjp(ct, x, y, axes)],
    jvp: jvp === "linear" ? jvp : ([t], { inputs: [x], outputs: [y] }, { axes }) => [t && jvp(t, x, y, axes)],
  });
  /** Over the given axes (default: all); `keepdims` leaves them with size 1. */
  return (x: Tensor, axes?: readonly number[], keepdims = false): Tensor => {
    const list = axes ? axes.map((a) => axisOf(x, a, name)).sort((a, b) => a - b) : x.shape.map((_, i) => i);
    const y = list.length === 0 ? x : apply([x], { axes: list })[0];
    return keepdims
      ? y
      : reshape(
          y,
          x.shape.filter((_, i) => !list.includes(i)),
        );
  };
}

/** The sum of the rows of a matrix: as a product with ones it takes half of ReduceSum's time. */
function sumOfRows(to: Emitter, x: string, shape: Shape, axes: readonly number[]): string | null {
  if (to.device === "webgpu" || to.half || shape.length !== 2 || axes.length !== 1 || axes[0] !== 0) return null;
  const ones = to.op("Expand", [to.floats([1], []), to.ints([1, shape[0]])]);
  return to.op("MatMul", [ones, x]);
}
/** The sum over `axes` (default all), which go, or stay with size 1 where `keepdims` is set. */
export const sum = reduction("sum", "ReduceSum", (ct, x) => broadcastTo(ct, x.shape), "linear", sumOfRows);
/** The mean over `axes`, as in `sum`. */
export const mean = reduction(
  "mean",
  "ReduceMean",
  (ct, x, y) => broadcastTo(div(ct, sizeOf(x.shape) / sizeOf(y.shape)), x.shape),
  "linear",
);
/** The sum of squares over `axes`, as in `sum`. */
export const sumOfSquares = reduction(
  "sum_of_squares",
  "ReduceSumSquare",
  (ct, x) => mul(ct, mul(x, 2)),
  (tangent, x, _, axes) => sum(mul(tangent, mul(x, 2)), axes, true),
);
/** The cotangent is shared equally among ties. */
export const max = reduction(
  "max",
  "ReduceMax",
  (ct, x, y, axes) => mul(ct, winners(x, y, axes)),
  (tangent, x, y, axes) => sum(mul(tangent, winners(x, y, axes)), axes, true),
);
function winners(x: Tensor, y: Tensor, axes: readonly number[]): Tensor {
  const hit = cast(equal(x, y), "float32");
  return div(hit, sum(hit, axes, true));
}

/** Sums a tensor down to a shape it was broadcast from: the adjoint of broadcasting. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes = x.shape.flatMap((d, i) => (i < lead || (shape[i - lead] === 1 && d !== 1) ? [i] : []));
  return reshape(sum(x, axes, true), shape);
}

/** Divides by n − correction (0: population, 1: sample). */
export function variance(x: Tensor, axes?: readonly number[], keepdims = false, correction = 0): Tensor {
  const n = axes ? axes.reduce((k, a) => k * x.shape[axisOf(x, a, "variance")], 1) : sizeOf(x.shape);
  const centered = sub(x, mean(x, axes, true));
  return div(sum(square(centered), axes, keepdims), n - correction);
}

/** ln Σ eˣ over `axes`, as in `sum`, without overflow. */
export function logsumexp(x: Tensor, axes?: readonly number[], keepdims = false): Tensor {
  const top = stopGradient(max(x, axes, true));
  const total = log(sum(exp(sub(x, top)), axes, keepdims));
  return add(total, reshape(top, total.shape));
}

const cumsumOp = operator<{ axis: number; reverse: boolean }>({
  name: "cumsum",
  infer: ([x]) => [{ shape: x.shape, dtype: "float32" }],
  emit: (to, [x], { axis, reverse }) => [to.op("CumSum", [x, to.ints([axis])], { reverse: reverse ? 1 : 0 })],
  vjp: ([ct], _, { axis, reverse }) => [ct && cumsum(ct, axis, !reverse)],
  jvp: "linear",
});
/** Running sum along an axis; `reverse` sums from the end. */
export function cumsum(x: Tensor, axis: number, reverse = false): Tensor {
  return cumsumOp([x], { axis: axisOf(x, axis, "cumsum"), reverse })[0];
}
