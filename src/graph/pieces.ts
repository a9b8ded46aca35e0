// What a program returns, one tensor at a time.

import type { EmittedOutput } from "./emitter.ts";
import { sizeOf, type Tensor } from "./tensor.ts";

interface Piece {
  readonly key: string;
  readonly label: string;
  readonly x: Tensor;
  readonly part?: EmittedOutput["part"];
}
/** A list's tensors with their places in its vector; a tensor alone is itself. */
export function pieces(key: string, output: Tensor | readonly Tensor[]): Piece[] {
  if (!isList(output)) return [{ key, label: key, x: output }];
  const total = output.reduce((n, x) => n + sizeOf(x.shape), 0);
  let end = 0;
  return output.map((x, i) => {
    end += sizeOf(x.shape);
    return { key, label: `${key}.${i}`, x, part: { offset: end - sizeOf(x.shape), total } };
  });
}
const isList = (x: Tensor | readonly Tensor[]): x is readonly Tensor[] => Array.isArray(x);
