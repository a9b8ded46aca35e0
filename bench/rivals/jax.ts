// jax-js: operators, grad and jit of @jax-js/jax on its Wasm backend.

import { availableParallelism } from "node:os";
import type { Shape } from "../../src/graph/tensor.ts";
import { findRival, versionOf } from "./find.ts";
import { provideWorkers } from "./nodeWorker.ts";
import type { About, Engine, Operators } from "./operators.ts";

/** An array or a tracer. Every use consumes one reference; `ref` adds one. */
interface Arr {
  readonly ref: Arr;
  readonly shape: readonly number[];
  reshape(shape: Shape): Arr;
  slice(...ranges: ([] | [number, number])[]): Arr;
  dispose(): void;
  data(): Promise<Float32Array>;
}
type Binary = (a: Arr, b: Arr) => Arr;
type Unary = (x: Arr) => Arr;
interface Jax {
  readonly numpy: Readonly<Record<"add" | "subtract" | "multiply" | "divide" | "minimum" | "matmul", Binary>> &
    Readonly<Record<"sqrt" | "sin" | "cos", Unary>> & {
      array(data: Float32Array | Int32Array, options: { shape: Shape; dtype: string }): Arr;
      transpose(x: Arr, perm: readonly number[]): Arr;
      concatenate(xs: readonly Arr[], axis: number): Arr;
      split(x: Arr, at: readonly number[], axis: number): Arr[];
      pad(x: Arr, width: readonly (readonly [number, number])[]): Arr;
      repeat(x: Arr, count: number, axis: number): Arr;
      mean(x: Arr, axis?: readonly number[], options?: { keepdims: boolean }): Arr;
      sum(x: Arr): Arr;
      square(x: Arr): Arr;
      reciprocal(x: Arr): Arr;
    };
  readonly nn: {
    sigmoid(x: Arr): Arr;
    gelu(x: Arr, options: { approximate: boolean }): Arr;
    softmax(x: Arr, axis: number): Arr;
    oneHot(x: Arr, count: number): Arr;
  };
  readonly lax: {
    convGeneralDilated(x: Arr, w: Arr, stride: readonly number[], padding: readonly (readonly [number, number])[]): Arr;
  };
  jit<A extends unknown[], R>(f: (...args: A) => R): (...args: A) => R;
  valueAndGrad(
    f: (weights: readonly Arr[], rest: readonly Arr[]) => Arr,
  ): (weights: readonly Arr[], rest: readonly Arr[]) => [Arr, Arr[]];
  init(...devices: string[]): Promise<string[]>;
  defaultDevice(device?: string): string;
  blockUntilReady<R>(x: R): Promise<R>;
}

/** conv: lax.convGeneralDilated. columns: the same from shifted slices and one matmul, which its compiler runs faster. */
export type JaxForm = "conv" | "columns";

export async function startJax(
  folder: string | undefined,
  form: JaxForm,
): Promise<(About & { engine: Engine<Arr> }) | null> {
  const require = findRival("jax-js", folder);
  if (!require) return null;
  // It starts workers as soon as it is imported, if there are any.
  const threads = availableParallelism();
  provideWorkers(threads);
  const jax = require("@jax-js/jax") as Jax;
  const devices = await jax.init();
  if (!devices.includes("wasm")) throw new Error(`jax-js offers no Wasm backend here, only ${devices.join(", ")}.`);
  jax.defaultDevice("wasm");
  return { version: versionOf(require, "@jax-js/jax"), backend: "wasm", threads, engine: engine(jax, form) };
}

function engine(jax: Jax, form: JaxForm): Engine<Arr> {
  const refs = (xs: readonly Arr[]) => xs.map((x) => x.ref);
  const operators = operatorsOf(jax, form);
  // One after another: the first submits all that is pending, and together they would each go through the same list.
  const computed = async (xs: Arr[]): Promise<Arr[]> => {
    for (const x of xs) await jax.blockUntilReady(x);
    return xs;
  };
  return {
    operators,
    put: operators.constant,
    read: (x) => x.ref.data(),
    free: (xs) => {
      for (const x of xs) x.dispose();
    },
    compile(f) {
      const fast = jax.jit((args: readonly Arr[]) => f(args));
      return async (args) => computed(fast(refs(args)));
    },
    gradient(f) {
      const fast = jax.jit(jax.valueAndGrad(f));
      return async (weights, rest) => {
        const [loss, grads] = fast(refs(weights), refs(rest));
        return computed([loss, ...grads]);
      };
    },
  };
}

function operatorsOf({ numpy: np, nn, lax }: Jax, form: JaxForm): Operators<Arr> {
  const binary =
    (f: Binary): Binary =>
    (a, b) =>
      f(a.ref, b.ref);
  const unary =
    (f: Unary): Unary =>
    (x) =>
      f(x.ref);
  const swapped = (x: Arr): Arr => {
    const last = x.shape.length - 1;
    return np.transpose(
      x.ref,
      x.shape.map((_, i) => (i === last ? last - 1 : i === last - 1 ? last : i)),
    );
  };
  const linear = (x: Arr, w: Arr, b: Arr): Arr => np.add(np.matmul(x.ref, w.ref), b.ref);
  const constant: Operators<Arr>["constant"] = (data, shape) =>
    data instanceof Float32Array
      ? np.array(data, { shape, dtype: "float32" })
      : np.array(Int32Array.from(data, Number), { shape, dtype: "int32" });
  /** x [N, H, W, C], w [h, w, in, out]. */
  const columns: Operators<Arr>["conv"] = (x, w, b, [sy, sx], [top, left, bottom, right]) => {
    const [kh, kw, c, out] = w.shape;
    const padded = np.pad(x.ref, [
      [0, 0],
      [top, bottom],
      [left, right],
      [0, 0],
    ]);
    const [n, height, width] = padded.shape;
    const [h, v] = [Math.floor((height - kh) / sy) + 1, Math.floor((width - kw) / sx) + 1];
    const parts: Arr[] = [];
    for (let i = 0; i < kh; i++)
      for (let j = 0; j < kw; j++) {
        // Its slices have no steps: cut whole steps, then keep the first of each.
        const cut = (at: number, count: number, step: number, size: number): [number, number] => [
          at,
          Math.min(size, at + count * step),
        ];
        const rows = cut(i, h, sy, height);
        const cols = cut(j, v, sx, width);
        parts.push(strided(padded.ref.slice([], rows, cols, []), [h, v], [sy, sx]));
      }
    padded.dispose();
    const wide = parts.length === 1 ? parts[0] : np.concatenate(parts, 3);
    const y = np.matmul(wide.reshape([n * h * v, kh * kw * c]), w.ref.reshape([kh * kw * c, out]));
    return (b ? np.add(y, b.ref) : y).reshape([n, h, v, out]);
  };
  /** Every step-th row and column of [N, H, W, C]; what is missing of the last step is padded first. */
  const strided = (x: Arr, [h, v]: Shape, [sy, sx]: Shape): Arr => {
    if (sy === 1 && sx === 1) return x;
    const [n, height, width, c] = x.shape;
    const whole = np.pad(x, [
      [0, 0],
      [0, h * sy - height],
      [0, v * sx - width],
      [0, 0],
    ]);
    return whole
      .reshape([n, h, sy, v, sx * c])
      .slice([], [], [0, 1], [], [0, c])
      .reshape([n, h, v, c]);
  };
  const convolution: Operators<Arr>["conv"] = (x, w, b, stride, [top, left, bottom, right]) => {
    const y = lax.convGeneralDilated(x.ref, w.ref, stride, [
      [top, bottom],
      [left, right],
    ]);
    return b ? np.add(y, b.ref.reshape([1, -1, 1, 1])) : y;
  };
  const channelsLast = form === "columns";
  return {
    channelsLast,
    constant,
    linear,
    add: binary(np.add),
    sub: binary(np.subtract),
    mul: binary(np.multiply),
    div: binary(np.divide),
    minimum: binary(np.minimum),
    sqrt: unary(np.sqrt),
    sin: unary(np.sin),
    cos: unary(np.cos),
    sigmoid: unary(nn.sigmoid),
    gelu: (x, approximate) => nn.gelu(x.ref, { approximate: approximate === "tanh" }),
    softmax: (x) => nn.softmax(x.ref, -1),
    reshape: (x, shape) => x.ref.reshape(shape),
    transpose: (x, perm) => np.transpose(x.ref, perm),
    concat: (xs, axis) =>
      np.concatenate(
        xs.map((x) => x.ref),
        axis,
      ),
    split(x, sizes, axis) {
      let at = 0;
      const ends = sizes.slice(0, -1).map((s) => {
        at += s;
        return at;
      });
      return np.split(x.ref, ends, axis);
    },
    matmul: (a, b, transA, transB) => np.matmul(transA ? swapped(a) : a.ref, transB ? swapped(b) : b.ref),
    conv: channelsLast ? columns : convolution,
    upsampleNearest(x, scale) {
      const [vertical, horizontal] = channelsLast ? [1, 2] : [2, 3];
      return np.repeat(np.repeat(x.ref, scale, vertical), scale, horizontal);
    },
    normalize(x, axes, eps) {
      const mean = (y: Arr): Arr => np.mean(y, axes, { keepdims: true });
      const centered = np.subtract(x.ref, mean(x.ref));
      const variance = mean(np.square(centered.ref));
      const deviation = np.sqrt(np.add(variance, constant(Float32Array.of(eps), [])));
      return np.multiply(centered, np.reciprocal(deviation));
    },
    embedding: (w, index) => np.matmul(nn.oneHot(index.ref, w.shape[0]), w.ref),
    mean: (x) => np.mean(x.ref),
    sum: (x) => np.sum(x.ref),
  };
}
