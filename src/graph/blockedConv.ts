// Convolution in ONNX Runtime's blocked layout [N, C/block, H, W, block], which needs no columns in memory. The runtime
// goes over to it by itself where weights are constants; where they are not (training), these nodes do it.

import type { Emitter, OnnxAttr } from "./emitter.ts";
import type { Shape, Tensor } from "./tensor.ts";

/** Whether it pays: a kernel larger than 1 x 1 of variable weights, whose channels fill blocks (or, going in, less than one). */
export function blockable(to: Emitter, groups: number, w: Tensor, shape: Shape = w.shape): boolean {
  const [o, c, kh, kw] = shape;
  if (to.block === 1 || groups !== 1 || w.source.kind === "constant" || kh * kw === 1) return false;
  return o % to.block === 0 && (c % to.block === 0 || c < to.block);
}

/** `names`: x [N, C, H, W], w [O, C, kh, kw] and perhaps a bias [O]; the attributes are those of ONNX's Conv. */
export function emitBlocked(
  to: Emitter,
  [x, w, ...bias]: readonly string[],
  attrs: Readonly<Record<string, OnnxAttr>>,
  [, c]: Shape,
  ws: Shape,
): string {
  const [o, , kh, kw] = ws;
  const b = to.block;
  // Fewer input channels than a block stay as they are; only the output's are blocked.
  const few = c < b;
  const parts = to.op("Reshape", [w, to.ints(few ? [o / b, b, c, kh, kw] : [o / b, b, c / b, b, kh, kw])]);
  const ordered = to.op("Transpose", [parts], { perm: few ? [0, 2, 3, 4, 1] : [0, 2, 4, 5, 3, 1] });
  const weight = to.op("Reshape", [ordered, to.ints(ws)]);
  const input = few ? x : to.op("nchwc.ReorderInput", [x]);
  const y = to.op("nchwc.Conv", [input, weight, ...bias], attrs);
  return to.op("nchwc.ReorderOutput", [y], { channels: o });
}
