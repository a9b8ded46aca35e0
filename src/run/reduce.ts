// Gradients of the whole batch from those of its pieces: added up here, and then over the ranks. Losses and what a stage
// watches travel behind them, so that a step has one message.

import type { Comm } from "../comm.ts";
import { countParams } from "../nn/params.ts";
import type { Player } from "../recipes/recipe.ts";
import type { Feed } from "../runtime/index.ts";

export interface Reduction {
  /** Where the gradients of a piece are written: "<player>.gradient" [P]. */
  into(piece: number): Readonly<Record<string, Float32Array>>;
  /** Counts a piece: its gradients are where `into` said, its numbers are means over the piece. */
  add(piece: number, number: (output: string) => number): void;
  /** Sums over the ranks. The gradients are good until the next step. */
  reduce(): Promise<{
    readonly gradients: Readonly<Record<string, Feed>>;
    readonly numbers: Readonly<Record<string, number>>;
  }>;
}

/** `numbers`: outputs [] that are averaged; `share`: of a piece in the batch, which its gradients have as a factor already. */
export function reduction(due: readonly Player[], numbers: readonly string[], share: number, comm: Comm): Reduction {
  const sizes = due.map(({ spec }) => countParams(spec));
  const total = sizes.reduce((a, b) => a + b, 0);
  const sum = new Float32Array(total + numbers.length);
  let spare: Float32Array | undefined;
  const windows = (all: Float32Array) => {
    let at = 0;
    return Object.fromEntries(
      due.map(({ name }, i) => {
        const window = all.subarray(at, at + sizes[i]);
        at += sizes[i];
        return [`${name}.gradient`, window];
      }),
    );
  };
  const tail = sum.subarray(total);
  return {
    into(piece) {
      if (piece === 0) return windows(sum);
      spare ??= new Float32Array(total);
      return windows(spare);
    },
    add(piece, number) {
      if (piece === 0) tail.fill(0);
      else if (spare) for (let i = 0; i < total; i++) sum[i] += spare[i];
      numbers.forEach((name, i) => {
        tail[i] += share * number(name);
      });
    },
    async reduce() {
      await comm.allreduce(sum);
      return { gradients: windows(sum), numbers: Object.fromEntries(numbers.map((name, i) => [name, tail[i]])) };
    },
  };
}
