// The arithmetic of a program: multiplications and additions of its matrix products and convolutions.

import type { Outputs } from "./emitter.ts";
import { type Node, sizeOf } from "./tensor.ts";
import { computedNodes } from "./walk.ts";

/** Floating point operations of one run; pointwise work and normalizations are not counted. */
export const flops = (outputs: Outputs): number => {
  const { convolutions, matrices } = operations(outputs);
  return convolutions + matrices;
};

/** The same, of convolutions and of matrix products. */
export function operations(outputs: Outputs): { readonly convolutions: number; readonly matrices: number } {
  const sum = { convolutions: 0, matrices: 0 };
  for (const node of computedNodes(Object.values(outputs).flat()))
    sum[node.op.startsWith("conv2d") ? "convolutions" : "matrices"] += 2 * products(node);
  return sum;
}

/** Multiply-adds of a node. */
function products({ op, attrs, inputs, outputs }: Node): number {
  const [a, b] = inputs.map((x) => x.shape);
  const out = outputs[0].shape;
  switch (op) {
    case "matmul":
      return sizeOf(out) * a[a.length - (attrs.transA ? 2 : 1)];
    case "linear":
      return sizeOf(out) * a[1];
    case "conv2d":
      return sizeOf(out) * sizeOf(b.slice(1));
    case "conv2d_input_gradient":
      return sizeOf(a) * sizeOf(b.slice(1));
    case "conv2d_weight_gradient":
      return sizeOf(b) * sizeOf(out.slice(1));
    default:
      return 0;
  }
}
