// TensorFlow.js: operators and gradients of @tensorflow/tfjs on its Wasm backend or in plain JavaScript.

import type { Shape } from "../../src/graph/tensor.ts";
import { findRival, versionOf } from "./find.ts";
import type { About, Engine, Operators } from "./operators.ts";
import { type Kernels, registerKernels } from "./tfjsKernels.ts";

export interface TfTensor {
  readonly shape: number[];
  data(): Promise<Float32Array>;
  dispose(): void;
}
type Binary = (a: TfTensor, b: TfTensor) => TfTensor;
type Unary = (x: TfTensor) => TfTensor;
type Pads = readonly (readonly [number, number])[];
export interface Tf extends Kernels {
  readonly add: Binary;
  readonly sub: Binary;
  readonly mul: Binary;
  readonly div: Binary;
  readonly minimum: Binary;
  readonly sqrt: Unary;
  readonly rsqrt: Unary;
  readonly square: Unary;
  readonly sin: Unary;
  readonly cos: Unary;
  readonly tanh: Unary;
  readonly erf: Unary;
  readonly sigmoid: Unary;
  readonly softmax: Unary;
  scalar(x: number): TfTensor;
  tensor(data: Float32Array | Int32Array, shape: Shape, dtype: string): TfTensor;
  reshape(x: TfTensor, shape: Shape): TfTensor;
  transpose(x: TfTensor, perm: readonly number[]): TfTensor;
  reverse(x: TfTensor, axes: readonly number[]): TfTensor;
  pad(x: TfTensor, widths: Pads): TfTensor;
  stridedSlice(x: TfTensor, begin: Shape, end: Shape, strides: Shape): TfTensor;
  concat(xs: readonly TfTensor[], axis: number): TfTensor;
  split(x: TfTensor, sizes: readonly number[], axis: number): TfTensor[];
  matMul(a: TfTensor, b: TfTensor, transA?: boolean, transB?: boolean): TfTensor;
  conv2d(x: TfTensor, w: TfTensor, stride: Shape, pad: number | Pads): TfTensor;
  readonly image: { resizeNearestNeighbor(x: TfTensor, size: Shape): TfTensor };
  moments(x: TfTensor, axes: readonly number[], keepDims: boolean): { mean: TfTensor; variance: TfTensor };
  oneHot(x: TfTensor, depth: number): TfTensor;
  cast(x: TfTensor, dtype: string): TfTensor;
  mean(x: TfTensor): TfTensor;
  sum(x: TfTensor): TfTensor;
  tidy<R>(f: () => R): R;
  valueAndGrads(
    f: (...weights: TfTensor[]) => TfTensor,
  ): (weights: readonly TfTensor[]) => { value: TfTensor; grads: TfTensor[] };
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
}

/**
 * wasm: the backend as it ships. wasm+kernels: with the kernels of tfjsKernels.ts, which it lacks or has only slow ones of.
 * cpu: plain JavaScript, which has all gradients.
 */
export type TfForm = "wasm" | "wasm+kernels" | "cpu";

export async function startTf(
  folder: string | undefined,
  form: TfForm,
): Promise<(About & { engine: Engine<TfTensor> }) | null> {
  const require = findRival("tfjs", folder);
  if (!require) return null;
  const tf = require("@tensorflow/tfjs") as Tf;
  const wasm = require("@tensorflow/tfjs-backend-wasm") as { getThreadsCount(): number };
  const backend = form === "cpu" ? "cpu" : "wasm";
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js could not start its backend "${backend}".`);
  await tf.ready();
  if (form === "wasm+kernels") registerKernels(tf);
  // It refuses threads in Node.
  const threads = backend === "cpu" ? 1 : wasm.getThreadsCount();
  return { version: versionOf(require, "@tensorflow/tfjs"), backend, threads, engine: engine(tf) };
}

/** Its kernels run at once, before the call returns. */
function engine(tf: Tf): Engine<TfTensor> {
  const operators = operatorsOf(tf);
  return {
    operators,
    put: operators.constant,
    read: (x) => x.data(),
    free: (xs) => {
      for (const x of xs) x.dispose();
    },
    compile: (f) => async (args) => tf.tidy(() => f(args)),
    gradient: (f) => async (weights, rest) =>
      tf.tidy(() => {
        const { value, grads } = tf.valueAndGrads((...ws) => f(ws, rest))(weights);
        return [value, ...grads];
      }),
  };
}

function operatorsOf(tf: Tf): Operators<TfTensor> {
  const constant: Operators<TfTensor>["constant"] = (data, shape) =>
    data instanceof Float32Array
      ? tf.tensor(data, shape, "float32")
      : tf.tensor(Int32Array.from(data, Number), shape, "int32");
  return {
    channelsLast: true,
    constant,
    add: tf.add,
    sub: tf.sub,
    mul: tf.mul,
    div: tf.div,
    minimum: tf.minimum,
    sqrt: tf.sqrt,
    sin: tf.sin,
    cos: tf.cos,
    sigmoid: tf.sigmoid,
    gelu(x, approximate) {
      const half = tf.mul(x, tf.scalar(0.5));
      if (approximate === "none") return tf.mul(half, tf.add(tf.erf(tf.mul(x, tf.scalar(Math.SQRT1_2))), tf.scalar(1)));
      const cubic = tf.add(x, tf.mul(tf.mul(tf.square(x), x), tf.scalar(0.044715)));
      return tf.mul(half, tf.add(tf.tanh(tf.mul(cubic, tf.scalar(Math.sqrt(2 / Math.PI)))), tf.scalar(1)));
    },
    softmax: (x) => tf.softmax(x),
    reshape: (x, shape) => tf.reshape(x, shape),
    transpose: (x, perm) => tf.transpose(x, perm),
    concat: (xs, axis) => tf.concat(xs, axis),
    split: (x, sizes, axis) => tf.split(x, sizes, axis),
    matmul: (a, b, transA, transB) => tf.matMul(a, b, transA, transB),
    linear: (x, w, b) => tf.add(tf.matMul(x, w), b),
    conv(x, w, b, stride, [top, left, bottom, right]) {
      const even = top === left && top === bottom && top === right;
      const pads: Pads = [
        [0, 0],
        [top, bottom],
        [left, right],
        [0, 0],
      ];
      const y = even ? tf.conv2d(x, w, stride, top) : tf.conv2d(tf.pad(x, pads), w, stride, 0);
      return b ? tf.add(y, b) : y;
    },
    upsampleNearest: (x, scale) => tf.image.resizeNearestNeighbor(x, [x.shape[1] * scale, x.shape[2] * scale]),
    normalize(x, axes, eps) {
      const { mean, variance } = tf.moments(x, axes, true);
      return tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, tf.scalar(eps))));
    },
    // The gradient of tf.gather has no Wasm kernel.
    embedding: (w, index) => tf.matMul(tf.cast(tf.oneHot(index, w.shape[0]), "float32"), w),
    mean: (x) => tf.mean(x),
    sum: (x) => tf.sum(x),
  };
}
