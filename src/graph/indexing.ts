// Rows by index, and their adjoint.

import { matmul } from "./matmul.ts";
import { equal } from "./pointwise.ts";
import { cast, reshape, unsqueeze } from "./shape.ts";
import { constant, operator, type Shape, sizeOf, type Tensor } from "./tensor.ts";

const gatherOp = operator<Record<string, never>>({
  name: "embedding",
  infer: ([w, index]) => {
    if (index.dtype !== "int64") throw new TypeError(`embedding: the index must be int64, got ${index.dtype}.`);
    return [{ shape: [...index.shape, ...w.shape.slice(1)], dtype: "float32" }];
  },
  emit: (to, [w, index]) => [to.op("Gather", [w, index], { axis: 0 })],
  vjp: ([ct], { inputs: [w, index] }) => [ct && scatterRows(ct, index, w.shape), null],
  jvp: ([dw], { inputs: [, index] }) => [dw && embedding(dw, index)],
});
/** Rows of w [vocabulary, …] by an int64 index of any shape. */
export const embedding = (w: Tensor, index: Tensor): Tensor => gatherOp([w, index], {})[0];

/** The adjoint of `embedding`, as a product with one-hot rows: runs everywhere, and adds repeated indices. */
function scatterRows(ct: Tensor, index: Tensor, shape: Shape): Tensor {
  const n = sizeOf(index.shape);
  const classes = constant(
    BigInt64Array.from({ length: shape[0] }, (_, i) => BigInt(i)),
    [1, shape[0]],
  );
  const onehot = cast(equal(reshape(index, [n, 1]), classes), "float32");
  return reshape(matmul(onehot, reshape(ct, [n, -1]), { transA: true }), shape);
}
/** One-hot rows [n, classes] of int64 labels [n]. */
export function oneHot(label: Tensor, classes: number): Tensor {
  const ids = constant(
    BigInt64Array.from({ length: classes }, (_, i) => BigInt(i)),
    [1, classes],
  );
  return cast(equal(unsqueeze(label, 1), ids), "float32");
}
