// What another engine has to offer to run our graphs: its own operators behind these names.

import type { Shape, TensorData } from "../../src/graph/tensor.ts";

/** `T` is the engine's tensor. No function consumes its arguments. */
export interface Operators<T> {
  /** Images are [N, H, W, C] and kernels [h, w, in, out]; otherwise [N, C, H, W] and [out, in, h, w]. */
  readonly channelsLast: boolean;
  constant(data: TensorData, shape: Shape): T;
  add(a: T, b: T): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T): T;
  div(a: T, b: T): T;
  minimum(a: T, b: T): T;
  sqrt(x: T): T;
  sin(x: T): T;
  cos(x: T): T;
  sigmoid(x: T): T;
  gelu(x: T, approximate: "none" | "tanh"): T;
  /** Over the last axis. */
  softmax(x: T): T;
  reshape(x: T, shape: Shape): T;
  transpose(x: T, perm: readonly number[]): T;
  concat(xs: readonly T[], axis: number): T;
  split(x: T, sizes: readonly number[], axis: number): T[];
  matmul(a: T, b: T, transA: boolean, transB: boolean): T;
  /** x [rows, in], w [in, out], b [out]. */
  linear(x: T, w: T, b: T): T;
  /** pads: top, left, bottom, right. */
  conv(x: T, w: T, b: T | null, stride: readonly number[], pads: readonly number[]): T;
  upsampleNearest(x: T, scale: number): T;
  /** To zero mean and unit variance over the axes. */
  normalize(x: T, axes: readonly number[], eps: number): T;
  /** Rows of w [count, width] by an integer index [n]. */
  embedding(w: T, index: T): T;
  /** Over everything, to a scalar. */
  mean(x: T): T;
  sum(x: T): T;
}

/** An engine: operators, its automatic differentiation and its compiler, if it has one. */
export interface Engine<T> {
  readonly operators: Operators<T>;
  put(data: TensorData, shape: Shape): T;
  read(x: T): Promise<Float32Array>;
  free(xs: readonly T[]): void;
  /** The function in the engine's fastest form; arguments are not consumed, and the results are computed on return. */
  compile(f: (args: readonly T[]) => T[]): (args: readonly T[]) => Promise<T[]>;
  /** The same for the loss and its gradients in `weights`. */
  gradient(
    f: (weights: readonly T[], rest: readonly T[]) => T,
  ): (weights: readonly T[], rest: readonly T[]) => Promise<T[]>;
}

export interface About {
  readonly version: string;
  readonly backend: string;
  readonly threads: number;
}
