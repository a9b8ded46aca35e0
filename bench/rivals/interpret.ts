// Runs a forward graph of ours with the operators of another engine.

import type { Node, Tensor } from "../../src/graph/tensor.ts";
import { topological } from "../../src/graph/walk.ts";
import { type Layouts, layouts, type Value } from "./layout.ts";
import type { Operators } from "./operators.ts";

/** Feeds are given under the names of the graph's inputs, stored as `storedAs` says. */
export function interpret<T>(operators: Operators<T>, output: Tensor, feeds: ReadonlyMap<string, Value<T>>): Value<T> {
  const values = new Map<number, Value<T>>();
  const table = rules(operators, layouts(operators));
  const lookUp = (x: Tensor): Value<T> => {
    const known = values.get(x.id);
    if (known) return known;
    const { source, shape } = x;
    if (source.kind === "output") throw new Error(`"${source.node.op}" was used before it was computed.`);
    if (source.kind === "external") throw new Error(`Values in files (${source.place.location}) are not read here.`);
    const value =
      source.kind === "input"
        ? feeds.get(source.name)
        : { x: operators.constant(source.data, shape), layout: "plain" as const, shape };
    if (!value) throw new Error(`Nothing was given for the input "${source.kind === "input" ? source.name : ""}".`);
    values.set(x.id, value);
    return value;
  };
  for (const node of topological([output])) {
    const rule = table[node.op];
    if (!rule) throw new Error(`The operator "${node.op}" is not in the table of bench/rivals/interpret.ts: add it.`);
    rule(node, node.inputs.map(lookUp)).forEach((value, i) => {
      values.set(node.outputs[i].id, value);
    });
  }
  return lookUp(output);
}

type Rule<T> = (node: Node, inputs: readonly Value<T>[]) => Value<T>[];

function rules<T>(o: Operators<T>, l: Layouts<T>): Readonly<Record<string, Rule<T>>> {
  const plainRule =
    (f: (xs: readonly T[], node: Node) => T): Rule<T> =>
    (node, vs) => [
      {
        x: f(
          vs.map((v) => l.plain(v)),
          node,
        ),
        layout: "plain",
        shape: node.outputs[0].shape,
      },
    ];
  const unary =
    (f: (x: T, node: Node) => T): Rule<T> =>
    (node, [v]) => [{ ...v, x: f(v.x, node) }];
  const binary =
    (f: (a: T, b: T) => T): Rule<T> =>
    (node, vs) => {
      const { xs, layout } = l.aligned(vs);
      return [{ x: f(xs[0], xs[1]), layout, shape: node.outputs[0].shape }];
    };
  return {
    add: binary(o.add),
    sub: binary(o.sub),
    mul: binary(o.mul),
    div: binary(o.div),
    sin: unary(o.sin),
    cos: unary(o.cos),
    sqrt: unary(o.sqrt),
    sigmoid: unary(o.sigmoid),
    sigmoid_gate: unary((x, { attrs }) =>
      o.mul(x, o.sigmoid(attrs.alpha === 1 ? x : o.mul(x, o.constant(Float32Array.of(attrs.alpha as number), [])))),
    ),
    gelu: unary((x, { attrs }) => o.gelu(x, attrs.approximate as "none" | "tanh")),
    softmax: plainRule(([x], { attrs, inputs }) => {
      if (attrs.axis !== inputs[0].shape.length - 1) throw new Error(`softmax over axis ${attrs.axis}: only the last.`);
      return o.softmax(x);
    }),
    reshape: (node, [v]) => [l.reshape(v, node.outputs[0].shape)],
    transpose: (node, [v]) => [l.transpose(v, node.attrs.perm as readonly number[])],
    concat: (node, vs) => {
      const { xs, layout } = l.aligned(vs);
      const shape = node.outputs[0].shape;
      return [{ x: o.concat(xs, l.axis(layout, node.attrs.axis as number, shape.length)), layout, shape }];
    },
    split: (node, [v]) => {
      const kept = v.layout === "last" ? v : { ...v, x: l.plain(v), layout: "plain" as const };
      const axis = l.axis(kept.layout, node.attrs.axis as number, v.shape.length);
      return o
        .split(kept.x, node.attrs.sizes as readonly number[], axis)
        .map((x, i) => ({ x, layout: kept.layout, shape: node.outputs[i].shape }));
    },
    matmul: (node, [a, b]) => {
      const turned = b.layout === "transposed";
      const transB = (node.attrs.transB as boolean) !== turned;
      const x = o.matmul(l.plain(a), turned ? b.x : l.plain(b), node.attrs.transA as boolean, transB);
      return [{ x, layout: "plain", shape: node.outputs[0].shape }];
    },
    linear: (node, [x, w, b]) => {
      const weight = w.layout === "transposed" ? w.x : o.transpose(l.plain(w), [1, 0]);
      return [{ x: o.linear(l.plain(x), weight, b.x), layout: "plain", shape: node.outputs[0].shape }];
    },
    conv2d: (node, [x, w, b]) => {
      const { stride, pads, dilation, groups } = node.attrs as Record<string, readonly number[]> & { groups: number };
      if (groups !== 1 || dilation.some((d) => d !== 1)) throw new Error("conv2d with groups or dilation: not here.");
      const { x: weight } = o.channelsLast && w.layout !== "kernel" ? l.kernel(w) : w;
      const y = o.conv(l.image(x).x, weight, b ? b.x : null, stride, pads);
      return [{ x: y, layout: o.channelsLast ? "last" : "plain", shape: node.outputs[0].shape }];
    },
    upsample_nearest: (node, [v]) => {
      const image = l.image(v);
      return [{ ...image, x: o.upsampleNearest(image.x, node.attrs.scale as number), shape: node.outputs[0].shape }];
    },
    normalize: plainRule(([x], { attrs }) => o.normalize(x, [1], attrs.eps as number)),
    layer_norm: plainRule(([x, w, b], { attrs }) => o.add(o.mul(o.normalize(x, [1], attrs.eps as number), w), b)),
    group_norm: (node, [v, w, b]) => {
      const eps = node.attrs.eps as number;
      const [, groups, channels] = v.shape;
      const stored = v.layout === "groups";
      const affine = ({ x }: Value<T>): T => (stored ? o.reshape(x, [groups, channels]) : x);
      const y = stored ? o.normalize(v.x, [1, 3], eps) : o.normalize(l.plain(v), [2, 3], eps);
      const layout = stored ? "groups" : "plain";
      return [{ x: o.add(o.mul(y, affine(w)), affine(b)), layout, shape: v.shape }];
    },
    embedding: plainRule(([w, index]) => o.embedding(w, index)),
    mean: (node, [v]) => {
      if ((node.attrs.axes as readonly number[]).length !== v.shape.length)
        throw new Error("mean: only over all axes.");
      return [{ x: o.reshape(o.mean(v.x), node.outputs[0].shape), layout: "plain", shape: node.outputs[0].shape }];
    },
  };
}
