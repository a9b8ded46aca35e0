// What one process computes of a step: its rows of the batch, in pieces that fit its memory.

import type { Comm } from "../comm.ts";
import type { HostDraws } from "../draws.ts";
import type { TensorData } from "../graph/index.ts";
import type { Key } from "../random.ts";
import type { Batches, Rows } from "./source.ts";

/** The rows of this rank, in consecutive pieces of one size, whose mean gradients are averaged. */
export interface Shares {
  readonly rows: readonly Rows[];
  /** Of one piece in the whole batch: 1 / (ranks · pieces). */
  readonly share: number;
}

/** Throws a RangeError where the ranks do not divide the batch, or `micro` what a rank has of it. */
export function sharesOf(batch: number, { rank, size }: Pick<Comm, "rank" | "size">, micro?: number): Shares {
  const own = batch / size;
  if (!Number.isInteger(own)) {
    const near = [Math.floor(own) * size, Math.ceil(own) * size].filter((n) => n > 0);
    throw new RangeError(
      `--batch ${batch} is the batch of all ${size} ranks, and they do not divide it. Take ${near.join(" or ")}, or another number of ranks.`,
    );
  }
  const count = micro ?? own;
  if (!Number.isInteger(count) || count < 1 || own % count !== 0)
    throw new RangeError(
      `--micro-batch ${count} does not divide the ${own} images that ${size === 1 ? "a step" : "every rank"} has. Take one of ${divisors(own).join(", ")}.`,
    );
  const pieces = own / count;
  const rows = Array.from({ length: pieces }, (_, i) => ({ from: rank * own + i * count, count }));
  return { rows, share: 1 / (size * pieces) };
}

export /** What the program is fed for every piece of a step's batch, made when it is due. */
function* drawnOf(
  draws: HostDraws,
  pieces: readonly Rows[],
  { root, step, of, drop }: { readonly root: Key; readonly step: number; readonly of: number; readonly drop: number },
  data: Batches,
): Generator<Record<string, TensorData>> {
  for (const rows of pieces)
    yield draws.feeds({ root, step, part: { from: rows.from, of } }, data(step - 1, rows), drop);
}

const divisors = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1).filter((d) => n % d === 0);
