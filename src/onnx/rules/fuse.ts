// Products that exporters write out and we have in one piece: x·sigmoid(αx), and x·Φ(x).

import type { Operand, Tensor } from "../../graph/index.ts";
import * as g from "../../graph/index.ts";

/** a·b, recognized where it is SiLU, QuickGELU or GELU. */
export function product(a: Operand, b: Operand): Tensor {
  if (typeof a !== "number" && typeof b !== "number") {
    const gated = gateOf(a, b) ?? gateOf(b, a);
    if (gated) return gated;
  }
  return geluOf(a, b) ?? g.mul(a, b);
}

function gateOf(x: Tensor, s: Tensor): Tensor | null {
  const inner = argument(s, "sigmoid");
  if (!inner) return null;
  if (inner === x) return g.silu(x);
  const { tensors, scale } = factors(inner);
  return tensors.length === 1 && tensors[0] === x && scale > 0 ? g.gate(x, scale) : null;
}

/** ½·x·(1 + erf(x/√2)) with its factors in any order. */
function geluOf(a: Operand, b: Operand): Tensor | null {
  const [left, right] = [a, b].map((t) => (typeof t === "number" ? { scale: t, tensors: [] } : factors(t)));
  const scale = left.scale * right.scale;
  const tensors = [...left.tensors, ...right.tensors];
  if (tensors.length !== 2) return null;
  for (const [x, sum] of [tensors, [tensors[1], tensors[0]]]) {
    const phi = cumulative(sum);
    if (phi && phi.x === x && close(scale * phi.scale, 0.5)) return g.gelu(x);
  }
  return null;
}

/** x and s of s·(1 + erf(x/√2)). */
function cumulative(sum: Tensor): { x: Tensor; scale: number } | null {
  const terms = inputsOf(sum, "add");
  if (!terms) return null;
  for (const [wave, one] of [terms, [terms[1], terms[0]]]) {
    const offset = scalar(one);
    if (offset === null) continue;
    const scaled = factors(wave);
    const inner = scaled.tensors.length === 1 ? argument(scaled.tensors[0], "erf") : null;
    if (!inner || !close(scaled.scale, offset)) continue;
    const { tensors, scale } = factors(inner);
    if (tensors.length === 1 && close(scale, Math.SQRT1_2)) return { x: tensors[0], scale: offset };
  }
  return null;
}

/** A tensor as constant times others, through products and quotients by constants, at most three deep. */
function factors(x: Tensor, depth = 3): { scale: number; tensors: Tensor[] } {
  const constant = scalar(x);
  if (constant !== null) return { scale: constant, tensors: [] };
  const quotient = inputsOf(x, "div");
  const divisor = quotient && scalar(quotient[1]);
  if (quotient && divisor && depth > 0) {
    const { scale, tensors } = factors(quotient[0], depth - 1);
    return { scale: scale / divisor, tensors };
  }
  const parts = inputsOf(x, "mul");
  if (!parts || depth === 0 || parts.every((p) => scalar(p) === null && !isScaled(p)))
    return { scale: 1, tensors: [x] };
  const [a, b] = parts.map((p) => factors(p, depth - 1));
  return { scale: a.scale * b.scale, tensors: [...a.tensors, ...b.tensors] };
}
const isScaled = (x: Tensor): boolean => x.source.kind === "output" && ["mul", "div", "add"].includes(x.source.node.op);

/** The inputs of the operator that made x, if it is this one. */
export const inputsOf = (x: Tensor | undefined, op: string): readonly Tensor[] | null =>
  x?.source.kind === "output" && x.source.node.op === op ? x.source.node.inputs : null;
const argument = (x: Tensor, op: string): Tensor | null => inputsOf(x, op)?.[0] ?? null;
/** The value of a constant that has only one. */
export const scalar = ({ source }: Tensor): number | null =>
  source.kind === "constant" && source.data.length === 1 && source.data instanceof Float32Array ? source.data[0] : null;
const close = (a: number, b: number): boolean => Math.abs(a - b) < 1e-6 * Math.abs(b);
