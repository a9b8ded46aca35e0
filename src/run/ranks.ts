// Whether all ranks hold the same state: each makes every update by itself.

import { agree, type Comm } from "../comm.ts";
import { sha256 } from "../hash.ts";
import type { TrainState } from "./train.ts";

/** Throws an Error, on every rank, where one has another state after this step. */
export async function checkRanks(comm: Comm, step: number, { players }: TrainState): Promise<void> {
  const sums: Record<string, string> = {};
  for (const [name, { theta, m, v, averages }] of Object.entries(players))
    for (const [part, { buffer, byteOffset, byteLength }] of Object.entries({ theta, m, v, ...averages }))
      sums[`${part} of the ${name} after step ${step}`] = await sha256(new Uint8Array(buffer, byteOffset, byteLength));
  await agree(
    comm,
    sums,
    "Processors of different kinds round differently: start the ranks on machines of one kind, and go on from the last checkpoint.",
  );
}
