// What flows between the nodes of an imported model: a symbolic tensor, or an array known already. The functions here
// move values about, of either kind.

import * as g from "../graph/index.ts";
import { type DType, type Shape, sizeOf, type Tensor } from "../graph/index.ts";
import { broadcastShapes } from "../graph/tensor.ts";
import { broadcastHost, concatHost, type Host, host, stridesOf, view } from "./host.ts";

export type Value = Tensor | Host;
export const isHost = (x: Value): x is Host => "data" in x;

const made = new WeakMap<Host, Tensor>();

/** A constant tensor for a known array: always the same one, so that it is stored once. */
export function tensor(x: Value): Tensor {
  if (!isHost(x)) return x;
  const constant = made.get(x) ?? constantOf(x);
  made.set(x, constant);
  return constant;
}
function constantOf({ data, shape, dtype }: Host): Tensor {
  if (dtype === "bool") return g.constant(Uint8Array.from(data), shape);
  if (data instanceof Float32Array) return g.constant(data, shape);
  return g.constant(BigInt64Array.from(data, toInt64), shape);
}
const LAST = 2n ** 63n - 1n;
const toInt64 = (x: number): bigint => {
  const whole = BigInt(Math.trunc(x));
  return whole > LAST ? LAST : whole < -LAST ? -LAST : whole;
};

/** Constant scalars stay numbers, so that the operators can simplify them. */
export const operand = (x: Value): g.Operand =>
  isHost(x) && x.dtype === "float32" && x.shape.length === 0 ? x.data[0] : tensor(x);

export function reshape(x: Value, shape: Shape): Value {
  const known = shape.reduce((a, d) => (d === -1 ? a : a * d), 1);
  const dims = shape.map((d) => (d === -1 ? sizeOf(x.shape) / known : d));
  if (!isHost(x)) return g.reshape(x, dims);
  if (sizeOf(dims) !== x.data.length) throw new RangeError(`reshape: [${x.shape}] does not fit into [${shape}].`);
  return { ...x, shape: dims };
}

export function transpose(x: Value, perm: readonly number[]): Value {
  if (!isHost(x)) return g.transpose(x, perm);
  const own = stridesOf(x.shape);
  return view(
    x,
    perm.map((p) => x.shape[p]),
    perm.map((p) => own[p]),
  );
}

export const expand = (x: Value, shape: Shape): Value =>
  isHost(x) ? broadcastHost(x, shape) : g.broadcastTo(x, shape);

/** Broadcasting in both directions, as ONNX's Expand has it. */
export const expandBoth = (x: Value, shape: Shape): Value => expand(x, broadcastShapes(x.shape, shape, "Expand"));

export function concat(xs: readonly Value[], axis: number): Value {
  const at = axis < 0 ? axis + xs[0].shape.length : axis;
  // Empty parts are common in shape arithmetic.
  const parts = xs.length > 1 ? xs.filter((x) => x.shape[at] !== 0) : xs;
  if (parts.length === 0) return xs[0];
  if (parts.every(isHost)) return parts.length === 1 ? parts[0] : concatHost(parts, at);
  return g.concat(parts.map(tensor), at);
}

/** Positions start, start + step, … before (for a negative step: after) stop, along one axis. */
export function sliceAxis(x: Value, axis: number, start: number, stop: number, step = 1): Value {
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (isHost(x)) {
    const own = stridesOf(x.shape);
    const shape = x.shape.map((d, i) => (i === axis ? length : d));
    const strides = own.map((s, i) => (i === axis ? s * step : s));
    return view(x, shape, strides, start * own[axis]);
  }
  if (length === 0)
    return host(
      x.dtype,
      x.shape.map((d, i) => (i === axis ? 0 : d)),
      [],
    );
  if (step > 0) return g.sliceAxis(x, axis, start, Math.min(stop, x.shape[axis]), step);
  const turned = g.flip(x, [axis]);
  const last = x.shape[axis] - 1;
  return g.sliceAxis(turned, axis, last - start, Math.min(last - stop, last + 1), -step);
}

export const split = (x: Value, sizes: readonly number[], axis: number): readonly Value[] => {
  if (!isHost(x)) return g.split(x, sizes, axis);
  let start = 0;
  return sizes.map((size) => {
    start += size;
    return sliceAxis(x, axis, start - size, start);
  });
};

/** Whole numbers round toward zero, as in ONNX; everything but zero is true. */
export function cast(x: Value, dtype: DType): Value {
  if (!isHost(x)) return g.cast(x, dtype);
  if (x.dtype === dtype) return x;
  if (dtype === "float32") return { ...x, dtype, data: Float32Array.from(x.data) };
  return { ...x, dtype, data: Float64Array.from(x.data, dtype === "bool" ? (v) => (v !== 0 ? 1 : 0) : Math.trunc) };
}

export const axisIn = (x: Value, axis: number): number => {
  const rank = x.shape.length;
  const at = axis < 0 ? axis + rank : axis;
  if (at < 0 || at >= rank) throw new RangeError(`axis ${axis} does not exist in shape [${x.shape}].`);
  return at;
};
