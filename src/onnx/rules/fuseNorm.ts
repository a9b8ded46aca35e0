// Normalizations that exporters write out in several nodes and we have in one operator, with a shorter derivative.

import type { Operand, Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";
import { sizeOf } from "../../graph/tensor.ts";
import { inputsOf, scalar } from "./fuse.ts";

/** a + b, recognized where it ends a group or layer normalization: rows normalized, times w, plus b. */
export function sum(a: Operand, b: Operand): Tensor {
  if (typeof a !== "number" && typeof b !== "number") {
    const normalized = affineOf(a, b) ?? affineOf(b, a);
    if (normalized) return normalized;
  }
  return g.add(a, b);
}

function affineOf(scaled: Tensor, shift: Tensor): Tensor | null {
  const factors = inputsOf(scaled, "mul");
  if (!factors) return null;
  for (const [t, w] of [factors, [factors[1], factors[0]]]) {
    const found = normalizedRows(t);
    if (!found) continue;
    const { rows, eps, from } = found;
    const [batch, channels] = t.shape;
    const groups = rows / batch;
    if (perChannel(w, t) && perChannel(shift, t) && Number.isInteger(groups) && channels % groups === 0)
      return g.groupNorm(g.reshape(from, t.shape), groups, g.flatten(w), g.flatten(shift), eps);
    if (perChannelOfGroup(w, t, rows) && perChannelOfGroup(shift, t, rows)) {
      const [n, count, each, length] = t.shape;
      const x = g.reshape(from, [n, count * each, length]);
      return g.reshape(g.groupNorm(x, count, g.flatten(w), g.flatten(shift), eps), t.shape);
    }
    const dims = w.shape.length;
    const last = dims > 0 && rows === sizeOf(t.shape.slice(0, -dims));
    if (last && ends(w, t) && ends(shift, t)) return g.layerNorm(g.reshape(from, t.shape), dims, w, shift, eps);
  }
  return null;
}

/** Whether w has one value for each channel of t: [C, 1, 1] or [1, C, 1, 1] for [N, C, H, W]. */
const perChannel = (w: Tensor, t: Tensor): boolean => {
  const lead = t.shape.length - w.shape.length;
  return (
    t.shape.length > 2 && lead >= 0 && t.shape.every((d, i) => (i < lead ? 1 : w.shape[i - lead]) === (i === 1 ? d : 1))
  );
};
/** The same for [G, C / G, 1] and [N, G, C / G, L], as our own group normalization is written. */
const perChannelOfGroup = (w: Tensor, { shape: [n, groups, each, ...rest] }: Tensor, rows: number): boolean =>
  rest.length === 1 && w.shape.join() === [groups, each, 1].join() && rows === n * groups;
const ends = (w: Tensor, t: Tensor): boolean => w.shape.join() === t.shape.slice(-w.shape.length).join();

/** The number of rows that are normalized, and of what, where t is nothing but normalized rows in some shape. */
function normalizedRows(t: Tensor): { rows: number; eps: number; from: Tensor } | null {
  const flat = unshaped(t);
  if (flat.source.kind !== "output" || flat.source.node.op !== "normalize" || flat.source.index !== 0) return null;
  const { inputs, attrs } = flat.source.node;
  return { rows: flat.shape[0], eps: Number(attrs.eps), from: unshaped(inputs[0]) };
}
function unshaped(x: Tensor): Tensor {
  let inner = x;
  for (let from = inputsOf(inner, "reshape"); from; from = inputsOf(inner, "reshape")) inner = from[0];
  return inner;
}

/** a / b, recognized where it is (x − mean) / √(variance + eps) over the last axes. */
export function quotient(a: Operand, b: Operand): Tensor {
  return typeof a !== "number" && typeof b !== "number" ? (standardized(a, b) ?? g.div(a, b)) : g.div(a, b);
}

function standardized(centered: Tensor, deviation: Tensor): Tensor | null {
  const [x, center] = inputsOf(centered, "sub") ?? [];
  const terms = inputsOf(inputsOf(deviation, "sqrt")?.[0], "add");
  if (!x || !terms) return null;
  for (const [variance, eps] of [terms, [terms[1], terms[0]]]) {
    const axes = meanAxes(variance);
    const squares = inputsOf(inputsOf(variance, "mean")?.[0], "mul");
    const own = meanAxes(center);
    if (scalar(eps) === null || !axes || !own || axes.join() !== own.join()) continue;
    const lasts = axes.every((axis, i) => axis === x.shape.length - axes.length + i);
    const same = squares?.every((s) => s === centered) && inputsOf(center, "mean")?.[0] === x;
    if (lasts && same) return g.layerNorm(x, axes.length, undefined, undefined, scalar(eps) ?? 0);
  }
  return null;
}

/** The axes of a mean that keeps them. */
function meanAxes({ source }: Tensor): readonly number[] | null {
  if (source.kind !== "output" || source.node.op !== "mean") return null;
  const { axes } = source.node.attrs;
  return Array.isArray(axes) ? axes : null;
}
