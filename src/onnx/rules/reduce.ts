// Reductions and softmax.

import * as g from "../../graph/index.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { at, type Call, int, intsFrom, type Rule, type Rules, rule, value } from "../call.ts";
import { type Host, stridesOf, view } from "../host.ts";
import { fewParts } from "../limits.ts";
import { axisIn, cast, isHost, reshape, tensor, type Value } from "../value.ts";

type Symbolic = (x: Tensor, axes: readonly number[]) => Tensor;

/** `symbolic` keeps the reduced axes with size 1; `onHost` sees all values that become one. */
const reduction = (symbolic: Symbolic, onHost: (values: readonly number[]) => number): Rule =>
  rule("axes keepdims noop_with_empty_axes", (call) => {
    const x = value(call, 0);
    const given = intsFrom(call, 1, "axes") ?? [];
    // Without axes nothing is summed, but the squares, sizes and logarithms are taken: also of a scalar.
    const none = given.length === 0 && int(call, "noop_with_empty_axes", 0) === 1;
    const all = given.length === 0 ? x.shape.map((_, i) => i) : given.map((a) => axisIn(x, a));
    const axes = none ? [] : all;
    const kept = x.shape.map((d, i) => (axes.includes(i) ? 1 : d));
    const y = isHost(x) ? onNumbers(x, axes, onHost) : cast(symbolic(tensor(cast(x, "float32")), axes), x.dtype);
    const shape = int(call, "keepdims", 1) === 1 ? kept : x.shape.filter((_, i) => !axes.includes(i));
    return reshape(y, shape);
  });

function onNumbers(x: Host, axes: readonly number[], f: (values: readonly number[]) => number): Host {
  const strides = stridesOf(x.shape);
  const rest = x.shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const order = [...rest, ...axes];
  const turned = view(
    x,
    order.map((i) => x.shape[i]),
    order.map((i) => strides[i]),
  );
  const shape = rest.map((i) => x.shape[i]);
  const n = sizeOf(axes.map((i) => x.shape[i]));
  const out = x.dtype === "float32" ? new Float32Array(sizeOf(shape)) : new Float64Array(sizeOf(shape));
  for (let i = 0; i < out.length; i++) out[i] = f(Array.from(turned.data.subarray(i * n, (i + 1) * n)));
  return { dtype: x.dtype, shape, data: out };
}

const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const sum: Symbolic = (x, axes) => g.sum(x, axes, true);
const max: Symbolic = (x, axes) => g.max(x, axes, true);
const squares: Symbolic = (x, axes) => sum(g.square(x), axes);

/** Factor by factor: there is no kernel's derivative that is safe at zero. */
const product: Symbolic = (x, axes) =>
  axes.reduce((y, axis) => {
    fewParts(y.shape[axis], "factors");
    const parts = g.split(y, new Array<number>(y.shape[axis]).fill(1), axis);
    return parts.reduce((a, b) => g.mul(a, b));
  }, x);

/** Before version 13 all axes from `axis` on were one. */
const softmaxLike = (f: (x: Tensor, axis: number) => Tensor): Rule =>
  rule("axis", (call: Call): Value => {
    const x = at(call, 0);
    if (call.opset >= 13) return f(x, axisIn(x, int(call, "axis", -1)));
    const axis = axisIn(x, int(call, "axis", 1));
    const rows = g.reshape(x, [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis))]);
    return g.reshape(f(rows, 1), x.shape);
  });

export const reduce: Rules = {
  ReduceSum: reduction(sum, total),
  ReduceMean: reduction(
    (x, axes) => g.mean(x, axes, true),
    (v) => total(v) / v.length,
  ),
  ReduceMax: reduction(max, (v) => v.reduce((a, b) => Math.max(a, b))),
  ReduceMin: reduction(
    (x, axes) => g.neg(max(g.neg(x), axes)),
    (v) => v.reduce((a, b) => Math.min(a, b)),
  ),
  ReduceProd: reduction(product, (v) => v.reduce((a, b) => a * b, 1)),
  ReduceL1: reduction(
    (x, axes) => sum(g.abs(x), axes),
    (v) => total(v.map(Math.abs)),
  ),
  ReduceL2: reduction(
    (x, axes) => g.sqrt(squares(x, axes)),
    (v) => Math.sqrt(total(v.map((x) => x * x))),
  ),
  ReduceSumSquare: reduction(squares, (v) => total(v.map((x) => x * x))),
  ReduceLogSum: reduction(
    (x, axes) => g.log(sum(x, axes)),
    (v) => Math.log(total(v)),
  ),
  ReduceLogSumExp: reduction(
    (x, axes) => g.logsumexp(x, axes, true),
    (v) => Math.log(total(v.map(Math.exp))),
  ),
  Softmax: softmaxLike(g.softmax),
  LogSoftmax: softmaxLike(g.logSoftmax),
};
