// Reverse and forward mode. Both write more of the same graph, so they compose: grad(jvp(f)) works.

import { add } from "./pointwise.ts";
import { constant, type Node, operator, type Tensor, zerosLike } from "./tensor.ts";
import { topological } from "./walk.ts";

const identityOp = operator<Record<string, never>>({
  name: "stop_gradient",
  infer: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
  emit: (_, [x]) => [x],
  vjp: () => [null],
  jvp: "none",
});
/** The same value, through which no derivative flows. */
export const stopGradient = (x: Tensor): Tensor => identityOp([x], {})[0];

/**
 * The nodes between `from` and `to`: those that depend on a tensor of `from`. In topological order. What lies behind a
 * tensor of `ends` does not count.
 */
function between(
  from: readonly Tensor[],
  to: readonly Tensor[],
  ends: readonly Tensor[],
): { nodes: Node[]; active: Set<number> } {
  const active = new Set(from.map((x) => x.id));
  const behind = new Set(ends);
  const nodes = topological(to, (x) => (behind.has(x) ? null : x)).filter((node) => {
    if (node.op === "stop_gradient" || !node.inputs.some((x) => active.has(x.id))) return false;
    for (const y of node.outputs) if (y.dtype === "float32") active.add(y.id);
    return true;
  });
  return { nodes, active };
}

/**
 * Vector-Jacobian product: cotangents of `outputs` to cotangents of `wrt` (zeros where nothing depends on it). Tensors
 * of `ends` are independent of everything but themselves.
 */
export function vjp(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  wrt: readonly Tensor[],
  ends: readonly Tensor[] = [],
): Tensor[] {
  const { nodes, active } = between(wrt, outputs, ends);
  const ct = new Map<number, Tensor>();
  const accumulate = (x: Tensor, value: Tensor) => {
    const known = ct.get(x.id);
    ct.set(x.id, known ? add(known, value) : value);
  };
  outputs.forEach((y, i) => {
    if (active.has(y.id)) accumulate(y, cotangents[i]);
  });
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i];
    const given = node.outputs.map((y) => ct.get(y.id) ?? null);
    if (!given.some((g) => g !== null)) continue;
    const need = node.inputs.map((x) => active.has(x.id));
    node.vjp(given, need).forEach((value, k) => {
      if (value && need[k]) accumulate(node.inputs[k], value);
    });
  }
  return wrt.map((x) => ct.get(x.id) ?? zerosLike(x));
}

/** The gradient of a scalar. */
export function grad(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.shape.length !== 0)
    throw new RangeError(`grad: the loss must be a scalar, got shape [${loss.shape}]. Take its mean or sum first.`);
  return vjp([loss], [constant(1)], wrt);
}

/** Jacobian-vector product: tangents of `wrt` to tangents of `outputs`. `ends` as in `vjp`. */
export function jvp(
  outputs: readonly Tensor[],
  wrt: readonly Tensor[],
  tangents: readonly Tensor[],
  ends: readonly Tensor[] = [],
): Tensor[] {
  const { nodes } = between(wrt, outputs, ends);
  const dot = new Map<number, Tensor>(wrt.map((x, i) => [x.id, tangents[i]]));
  for (const node of nodes) {
    const given = node.inputs.map((x) => dot.get(x.id) ?? null);
    if (!given.some((g) => g !== null)) continue;
    node.jvp(given).forEach((value, i) => {
      if (value) dot.set(node.outputs[i].id, value);
    });
  }
  return outputs.map((y) => dot.get(y.id) ?? zerosLike(y));
}
