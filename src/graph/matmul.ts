// Matrix products.

import type { Emitter } from "./emitter.ts";
import { add } from "./pointwise.ts";
import { sum, sumTo } from "./reduce.ts";
import { broadcastTo, reshape } from "./shape.ts";
import { broadcastShapes, expectFloat, operator, type Shape, type Tensor } from "./tensor.ts";

type MatmulAttrs = { transA: boolean; transB: boolean };

const rows = (s: Shape): number => s[s.length - 2];
const cols = (s: Shape): number => s[s.length - 1];

const matmulOp = operator<MatmulAttrs>({
  name: "matmul",
  infer: ([a, b], { transA, transB }) => {
    expectFloat("matmul", a, b);
    if (a.shape.length < 2 || b.shape.length < 2)
      throw new RangeError(`matmul: [${a.shape}] times [${b.shape}]: expected two axes or more of each.`);
    const [m, k] = transA ? [cols(a.shape), rows(a.shape)] : [rows(a.shape), cols(a.shape)];
    const [k2, n] = transB ? [cols(b.shape), rows(b.shape)] : [rows(b.shape), cols(b.shape)];
    if (k !== k2)
      throw new RangeError(
        `matmul: [${a.shape}]${transA ? "ᵀ" : ""} times [${b.shape}]${transB ? "ᵀ" : ""}: inner sizes ${k} and ${k2} differ.`,
      );
    return [
      { shape: [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), "matmul"), m, n], dtype: "float32" },
    ];
  },
  emit: (to, [a, b], attrs, node) => [emitMatmul(to, a, b, attrs, node.inputs[0].shape, node.inputs[1].shape)],
  vjp: ([ct], { inputs: [a, b] }, { transA, transB }, need) => {
    if (!ct) return [null, null];
    const da = need[0]
      ? transA
        ? matmul(b, ct, { transA: transB, transB: true })
        : matmul(ct, b, { transB: !transB })
      : null;
    const db = need[1]
      ? transB
        ? matmul(ct, a, { transA: true, transB: transA })
        : matmul(a, ct, { transA: !transA })
      : null;
    return [da && sumTo(da, a.shape), db && sumTo(db, b.shape)];
  },
  jvp: "multilinear",
});

function emitMatmul(to: Emitter, a: string, b: string, { transA, transB }: MatmulAttrs, sa: Shape, sb: Shape): string {
  if (!transA && !transB) return to.op("MatMul", [a, b]);
  if (sa.length === 2 && sb.length === 2)
    return to.op("Gemm", [a, b], { transA: transA ? 1 : 0, transB: transB ? 1 : 0 });
  if (to.device === "cpu" || to.device === "cuda" || to.device === "wasm")
    return to.op("ms.FusedMatMul", [a, b], { transA: transA ? 1 : 0, transB: transB ? 1 : 0 });
  const swap = (x: string, s: Shape): string => {
    const perm = s.map((_, i) => i);
    perm.push(perm.pop()!, perm.pop()!);
    [perm[perm.length - 2], perm[perm.length - 1]] = [s.length - 1, s.length - 2];
    return to.op("Transpose", [x], { perm });
  };
  return to.op("MatMul", [transA ? swap(a, sa) : a, transB ? swap(b, sb) : b]);
}

/** a times b over the last two dimensions, broadcasting the leading ones; a vector is a single row or column. */
export function matmul(a: Tensor, b: Tensor, { transA = false, transB = false }: Partial<MatmulAttrs> = {}): Tensor {
  if (b.shape.length === 1) {
    const y = matmul(a, reshape(b, transB ? [1, -1] : [-1, 1]), { transA, transB });
    return reshape(y, y.shape.slice(0, -1));
  }
  if (a.shape.length === 1) {
    const y = matmul(reshape(a, transA ? [-1, 1] : [1, -1]), b, { transA, transB });
    return reshape(y, [...y.shape.slice(0, -2), cols(y.shape)]);
  }
  // A shared right matrix: one large product instead of a batch of small ones.
  if (a.shape.length > 2 && b.shape.length === 2 && !transA) {
    const y = matmulOp([reshape(a, [-1, cols(a.shape)]), b], { transA, transB })[0];
    return reshape(y, [...a.shape.slice(0, -1), cols(y.shape)]);
  }
  return matmulOp([a, b], { transA, transB })[0];
}
/** [B, n, k] times [B, k, m]: `matmul` under its name elsewhere. */
export const bmm = (a: Tensor, b: Tensor): Tensor => matmul(a, b);

const linearOp = operator<Record<string, never>>({
  name: "linear",
  infer: ([x, w, b]) => {
    expectFloat("linear", x, w, b);
    if (x.shape[1] !== w.shape[1] || b.shape[0] !== w.shape[0])
      throw new RangeError(`linear: input [${x.shape}], weight [${w.shape}] and bias [${b.shape}] do not fit.`);
    return [{ shape: [x.shape[0], w.shape[0]], dtype: "float32" }];
  },
  emit: (to, [x, w, b]) => [to.op("Gemm", [x, w, b], { transB: 1 })],
  vjp: ([ct], { inputs: [x, w] }, _, need) =>
    ct
      ? [
          need[0] ? matmul(ct, w) : null,
          need[1] ? matmul(ct, x, { transA: true }) : null,
          need[2] ? sum(ct, [0]) : null,
        ]
      : [null, null, null],
  jvp: ([dx, dw, db], { inputs: [x, w] }) => {
    const parts = [dx && matmul(dx, w, { transB: true }), dw && matmul(x, dw, { transB: true })].filter(
      (p) => p !== null,
    );
    const total = parts.length === 2 ? add(parts[0], parts[1]) : (parts[0] ?? null);
    if (!db) return [total];
    return [total ? add(total, db) : broadcastTo(db, [x.shape[0], w.shape[0]])];
  },
});

/** x [..., in] times w [out, in] transposed, plus b [out]. */
export function linear(x: Tensor, w: Tensor, b?: Tensor): Tensor {
  const flat = reshape(x, [-1, cols(x.shape)]);
  const y = b ? linearOp([flat, w, b], {})[0] : matmulOp([flat, w], { transA: false, transB: true })[0];
  return reshape(y, [...x.shape.slice(0, -1), w.shape[0]]);
}
