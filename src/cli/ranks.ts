// Several processes as one command: who talks, and how they end together.

import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, hostname } from "node:os";
import { type Comm, gather, RankLost } from "../comm.ts";
import { exitCode } from "./exitCode.ts";

/** What a command ended with: its exit code, and what is to be said on stderr. */
export interface Ending {
  readonly code: number;
  readonly message?: string;
  /** Default: an error. */
  readonly kind?: "interrupted" | "help";
  /** Others hang: `comm.abort` is called once the message is out. */
  readonly abort?: boolean;
}

/** Seconds that a rank waits for one that is gone, where nothing else is said. */
export const RANK_TIMEOUT = 600;

/** Milliseconds that are waited for the others after a failure: rank 0 speaks first, and may be in the middle of a step. */
const GRACE = [3_000, 30_000] as const;

/** Ends all ranks in order, or says that they must be ended. Rank 0 speaks for all where they came to the same end. */
export async function endTogether(comm: Comm, own: Ending, error: unknown, timeout: number): Promise<Ending> {
  const mine =
    own.message === undefined ? undefined : `Rank ${comm.rank} of ${comm.size} on ${hostname()}: ${own.message}`;
  if (error instanceof RankLost) return { ...own, abort: true };
  const { all, said } = await comm.leave(mine === undefined ? 1000 * timeout : GRACE[comm.rank === 0 ? 0 : 1], mine);
  const others = said === undefined ? {} : { code: exitCode.failed, message: said };
  if (!all) {
    const lost = `Rank ${comm.rank} has ended and the others have not: one is gone, or failed where nobody heard it.`;
    return {
      message: comm.rank === 0 ? lost : (mine ?? lost),
      ...own,
      ...(own.message === undefined ? others : {}),
      abort: true,
    };
  }
  comm.close();
  if (comm.rank !== 0) return { code: own.code };
  return own.message === undefined ? { ...own, ...others } : own;
}

/** Threads of this rank: the processors that it may use, shared out to the ranks that may use the same ones. */
export async function threadsOf(comm: Comm, note: (text: string) => void): Promise<number> {
  const allowed = /Cpus_allowed_list:\s*(\S+)/.exec(await readFile("/proc/self/status", "utf8").catch(() => ""))?.[1];
  const [cores, all] = [availableParallelism(), cpus().length];
  const here = JSON.stringify([hostname(), allowed ?? ""]);
  const places = await gather(comm, here);
  const sharing = places.filter((place) => place === here).length;
  const onHost = places.filter((place) => JSON.parse(place)[0] === hostname()).length;
  const threads = Math.max(1, Math.floor(cores / sharing));
  if (comm.rank === 0 && sharing === 1 && cores * onHost < all)
    note(
      `Each of the ${onHost} ranks here is bound to ${cores} of ${all} processors. With mpirun --bind-to none they share all of them.`,
    );
  return threads;
}
