// How values are stored where an engine wants channels last. Our graphs are written for channels second; images stay in
// the engine's order from end to end, and only what truly needs another order is transposed.

import { type Shape, sameShape, sizeOf, type Tensor } from "../../src/graph/tensor.ts";
import { topological } from "../../src/graph/walk.ts";
import type { Operators } from "./operators.ts";

/**
 * plain: as its shape says. last: [N, C, …] stored [N, …, C]. groups: [N, G, C/G, P] (of a group norm) stored
 * [N, P, G, C/G]. kernel: [out, in, h, w] stored [h, w, in, out]. transposed: [out, in] stored [in, out].
 */
export type Layout = "plain" | "last" | "groups" | "kernel" | "transposed";

export interface Value<T> {
  readonly x: T;
  readonly layout: Layout;
  /** In our graph, whatever the layout. */
  readonly shape: Shape;
}

/** How the inputs of a graph are stored for an engine: weights and images in its own order. */
export function storedAs(output: Tensor, channelsLast: boolean): Map<string, Layout> {
  const stored = new Map<string, Layout>();
  const nodes = topological([output]);
  const images = channelsLast && nodes.some((node) => node.op === "conv2d");
  for (const node of nodes)
    node.inputs.forEach((x, i) => {
      if (x.source.kind !== "input") return;
      const { name } = x.source;
      if (node.op === "conv2d" && i === 1) {
        if (channelsLast) stored.set(name, "kernel");
      } else if (
        i === 1 &&
        (node.op === "linear" || (node.op === "matmul" && node.attrs.transB && x.shape.length === 2))
      )
        stored.set(name, "transposed");
      else if (images && x.shape.length === 4) stored.set(name, "last");
    });
  return stored;
}

/** The permutation that stores an array of the rank so; null: none. */
function permutation(layout: Layout, rank: number): number[] | null {
  switch (layout) {
    case "kernel":
      return [2, 3, 1, 0];
    case "transposed":
      return [1, 0];
    case "last":
      return [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
    case "groups":
      return [0, 3, 1, 2];
    case "plain":
      return null;
  }
}
const inverse = (perm: readonly number[]): number[] => perm.map((_, i) => perm.indexOf(i));

/** An array of the host in the order of a layout, and its stored shape. */
export function store<A extends Float32Array | BigInt64Array>(data: A, shape: Shape, layout: Layout) {
  const perm = permutation(layout, shape.length);
  return perm
    ? { data: permuted(data, shape, perm), shape: perm.map((p) => shape[p]) }
    : { data, shape: [...shape] as Shape };
}

/** The opposite. */
export function restore(data: Float32Array, shape: Shape, layout: Layout): Float32Array {
  const perm = permutation(layout, shape.length);
  if (!perm) return data;
  return permuted(
    data,
    perm.map((p) => shape[p]),
    inverse(perm),
  );
}

function permuted<A extends Float32Array | BigInt64Array>(data: A, shape: Shape, perm: readonly number[]): A {
  const strides = shape.map((_, i) => sizeOf(shape.slice(i + 1)));
  const to = perm.map((p) => shape[p]);
  const steps = perm.map((p) => strides[p]);
  const out = data.slice() as A;
  const at = to.map(() => 0);
  let from = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[from];
    for (let d = to.length - 1; d >= 0; d--) {
      from += steps[d];
      if (++at[d] < to[d]) break;
      from -= steps[d] * to[d];
      at[d] = 0;
    }
  }
  return out;
}

export interface Layouts<T> {
  plain(v: Value<T>): T;
  /** In the order of the engine's convolutions. */
  image(v: Value<T>): Value<T>;
  kernel(v: Value<T>): Value<T>;
  /** All in one order, ready to be combined elementwise or concatenated. */
  aligned(vs: readonly Value<T>[]): { xs: T[]; layout: Layout };
  axis(layout: Layout, axis: number, rank: number): number;
  reshape(v: Value<T>, shape: Shape): Value<T>;
  transpose(v: Value<T>, perm: readonly number[]): Value<T>;
}

export function layouts<T>(o: Operators<T>): Layouts<T> {
  const plain = (v: Value<T>): T => {
    const perm = permutation(v.layout, v.shape.length);
    return perm ? o.transpose(v.x, inverse(perm)) : v.x;
  };
  const last = (v: Value<T>): Value<T> => {
    if (v.layout === "last") return v;
    const [n, c, ...space] = v.shape;
    const x = plain(v);
    // One pixel or one channel: the order in memory is the same.
    const same = c === 1 || sizeOf(space) === 1;
    const stored = same ? o.reshape(x, [n, ...space, c]) : o.transpose(x, permutation("last", v.shape.length)!);
    return { x: stored, layout: "last", shape: v.shape };
  };
  return {
    plain,
    image: (v) => (o.channelsLast ? last(v) : { x: plain(v), layout: "plain", shape: v.shape }),
    kernel: (v) => ({ x: o.transpose(plain(v), [2, 3, 1, 0]), layout: "kernel", shape: v.shape }),
    aligned(vs) {
      const rank = Math.max(...vs.map((v) => v.shape.length));
      const images = vs.every((v) => v.shape.length === rank || v.shape.length === 0);
      if (images && vs.some((v) => v.layout === "last"))
        return { xs: vs.map((v) => (v.shape.length === 0 ? v.x : last(v).x)), layout: "last" };
      return { xs: vs.map(plain), layout: "plain" };
    },
    axis: (layout, axis, rank) => (layout !== "last" || axis === 0 ? axis : axis === 1 ? rank - 1 : axis - 1),
    reshape(v, shape) {
      const [n, c, ...space] = v.shape;
      if (v.layout === "last") {
        const [images, groups, channels, pixels] = shape;
        if (shape.length === 4 && images === n && groups * channels === c && pixels === sizeOf(space))
          return { x: o.reshape(v.x, [n, pixels, groups, channels]), layout: "groups", shape };
        if (shape.length > 2 && images === n && groups === c)
          return { x: o.reshape(v.x, [n, ...shape.slice(2), c]), layout: "last", shape };
      }
      if (v.layout === "groups" && shape.length > 2 && shape[0] === n && shape[1] === c * v.shape[2])
        return { x: o.reshape(v.x, [n, ...shape.slice(2), shape[1]]), layout: "last", shape };
      return { x: o.reshape(plain(v), shape), layout: "plain", shape };
    },
    transpose(v, perm) {
      const shape = perm.map((p) => v.shape[p]);
      const rank = perm.length;
      // Pixels to tokens and back: what is stored is what is asked for.
      const toLast = permutation("last", rank) ?? [];
      if (v.layout === "last" && sameShape(perm, toLast)) return { x: v.x, layout: "plain", shape };
      if (o.channelsLast && rank === 3 && v.layout === "plain" && sameShape(perm, [0, 2, 1]))
        return { x: v.x, layout: "last", shape };
      return { x: o.transpose(plain(v), perm), layout: "plain", shape };
    },
  };
}
