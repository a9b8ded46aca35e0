// Walks through a graph: which nodes its outputs depend on, and what is computed for them.

import type { Node, Tensor } from "./tensor.ts";

/**
 * The nodes that the outputs depend on, inputs before users. `to` says where the walk goes on from a tensor that a node
 * reads; null: it ends there. Iterative: graphs are thousands of nodes deep.
 */
export function topological(outputs: readonly Tensor[], to: (x: Tensor) => Tensor | null = (x) => x): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, 1 | 2>();
  const stack: Node[] = [];
  const push = (read: Tensor) => {
    const x = to(read);
    if (x?.source.kind === "output" && !state.has(x.source.node)) stack.push(x.source.node);
  };
  for (let i = outputs.length - 1; i >= 0; i--) push(outputs[i]);
  while (stack.length > 0) {
    const node = stack[stack.length - 1];
    const seen = state.get(node);
    if (seen === undefined) {
      state.set(node, 1);
      for (let i = node.inputs.length - 1; i >= 0; i--) push(node.inputs[i]);
    } else {
      stack.pop();
      if (seen === 1) {
        state.set(node, 2);
        order.push(node);
      }
    }
  }
  return order;
}

/** The tensor that is computed where this one is asked for: what is inside a boundary, unless it stands apart. */
export function standsFor(x: Tensor): Tensor {
  let inner = x;
  while (inner.source.kind === "output" && inner.source.node.inside && !inner.source.node.apart)
    inner = inner.source.node.inside[inner.source.index];
  return inner;
}

const NONE: ReadonlySet<Tensor> = new Set();

/** What is emitted into one graph, in order: operators, and boundaries of what stands apart. `ends` are there already. */
export const emittedNodes = (outputs: readonly Tensor[], ends = NONE): Node[] =>
  topological(outputs, (x) => (ends.has(x) ? null : standsFor(x)));

/** Every operator as often as one run computes it, in order. */
export const computedNodes = (outputs: readonly Tensor[], ends = NONE): Node[] =>
  emittedNodes(outputs, ends).flatMap((node) =>
    node.inside ? computedNodes(node.inside, new Set(node.inputs)) : [node],
  );
