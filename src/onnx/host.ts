// Arrays whose values are known while a model is imported: shapes, indices, tables. Folding them is what makes shapes static.

import type { DType, Shape } from "../graph/index.ts";
import { broadcastShapes, sizeOf } from "../graph/tensor.ts";
import { atMost } from "./limits.ts";

/** float32 values are kept rounded to float32; integers (beyond 2^53 inexact, as only "to the end" is) and bools are numbers. */
export interface Host {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly data: Float32Array | Float64Array;
}

export function host(dtype: DType, shape: Shape, values: ArrayLike<number>): Host {
  if (sizeOf(shape) !== values.length)
    throw new RangeError(`${values.length} values do not fill the shape [${shape}], which holds ${sizeOf(shape)}.`);
  return { dtype, shape: [...shape], data: storage(dtype, values) };
}
export const ints = (values: readonly number[], shape: Shape = [values.length]): Host => host("int64", shape, values);

function storage(dtype: DType, values: ArrayLike<number>): Host["data"] {
  const right = dtype === "float32" ? values instanceof Float32Array : values instanceof Float64Array;
  if (right) return values as Host["data"];
  return dtype === "float32" ? Float32Array.from(values) : Float64Array.from(values);
}

export const stridesOf = (shape: Shape): number[] => {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
};

/** The array of `shape` whose value at an index is x's value at offset + index · strides. */
export function view(x: Host, shape: Shape, strides: readonly number[], offset = 0): Host {
  const size = sizeOf(atMost(shape));
  const out = x.dtype === "float32" ? new Float32Array(size) : new Float64Array(size);
  const index = new Array<number>(shape.length).fill(0);
  let at = offset;
  for (let i = 0; i < size; i++) {
    out[i] = x.data[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return { dtype: x.dtype, shape: [...shape], data: out };
}

export function broadcastHost(x: Host, shape: Shape): Host {
  const lead = shape.length - x.shape.length;
  const own = stridesOf(x.shape);
  return view(
    x,
    shape,
    shape.map((_, i) => (i < lead || x.shape[i - lead] === 1 ? 0 : own[i - lead])),
  );
}

/** f of the values at equal positions after broadcasting. */
export function mapHost(dtype: DType, f: (...values: number[]) => number, ...xs: readonly Host[]): Host {
  const shape = atMost(xs.reduce<Shape>((s, x) => broadcastShapes(s, x.shape, "a constant"), []));
  const parts = xs.map((x) => (x.data.length === sizeOf(shape) ? x.data : broadcastHost(x, shape).data));
  const out = dtype === "float32" ? new Float32Array(sizeOf(shape)) : new Float64Array(sizeOf(shape));
  if (parts.length === 1) for (let i = 0; i < out.length; i++) out[i] = f(parts[0][i]);
  else if (parts.length === 2) for (let i = 0; i < out.length; i++) out[i] = f(parts[0][i], parts[1][i]);
  else for (let i = 0; i < out.length; i++) out[i] = f(...parts.map((p) => p[i]));
  return { dtype, shape, data: out };
}

/** Joins along an axis. */
export function concatHost(xs: readonly Host[], axis: number): Host {
  const first = xs[0];
  const total = xs.reduce((n, x) => n + x.shape[axis], 0);
  const shape = atMost(first.shape.map((d, i) => (i === axis ? total : d)));
  const out = first.dtype === "float32" ? new Float32Array(sizeOf(shape)) : new Float64Array(sizeOf(shape));
  const outer = sizeOf(shape.slice(0, axis));
  const row = sizeOf(shape.slice(axis));
  let start = 0;
  for (const x of xs) {
    const length = sizeOf(x.shape.slice(axis));
    for (let i = 0; i < outer; i++) out.set(x.data.subarray(i * length, (i + 1) * length), i * row + start);
    start += length;
  }
  return { dtype: first.dtype, shape, data: out };
}

/** x's slices along `axis` at the given positions. */
export function takeHost(x: Host, axis: number, positions: readonly number[]): Host {
  const own = stridesOf(x.shape);
  const one = x.shape.map((d, i) => (i === axis ? 1 : d));
  return concatHost(
    positions.map((p) => view(x, one, own, p * own[axis])),
    axis,
  );
}
