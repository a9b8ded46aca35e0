// Several processes that train one model: who they are to each other, and what they say to each other. MPI is one way of
// talking (cli/parallel/mpi.ts); a single one needs none.

export interface Comm {
  /** From 0; rank 0 reads, writes and reports. */
  readonly rank: number;
  readonly size: number;
  /** Sums over all ranks, in place; the same bytes everywhere. All ranks call it with the same length. */
  allreduce(x: Float32Array): Promise<void>;
  /** What `root` has is written over what the others have, in place. */
  broadcast(x: Uint8Array, root: number): Promise<void>;
  /**
   * All ranks call this at their end, those that failed with a sentence for rank 0. `all`: every rank came within `ms`
   * milliseconds; where not, the others wait for something that this one will not say. `said`: on rank 0, what another
   * one failed with.
   */
  leave(ms: number, failure?: string): Promise<{ readonly all: boolean; readonly said?: string }>;
  /** Ends all ranks at once, this one included. */
  abort(code: number): void;
  /** After all have left. */
  close(): void;
}

/** No others. */
export const alone: Comm = {
  rank: 0,
  size: 1,
  allreduce: async () => {},
  broadcast: async () => {},
  leave: async () => ({ all: true }),
  abort: () => {},
  close: () => {},
};

/** A process or host is gone, or slower than is waited for. */
export class RankLost extends Error {
  override readonly name = "RankLost";
}

/** Which of these is true on any rank. */
export async function anyOf<K extends string>(
  comm: Comm,
  here: Readonly<Record<K, boolean>>,
): Promise<Record<K, boolean>> {
  const names = Object.keys(here) as K[];
  const counts = Float32Array.from(names, (name) => Number(here[name]));
  await comm.allreduce(counts);
  return Object.fromEntries(names.map((name, i) => [name, counts[i] > 0])) as Record<K, boolean>;
}

/** The bytes that `root` has, on every rank; the others need not know how many. */
export async function bytesFrom(comm: Comm, root: number, bytes?: Uint8Array): Promise<Uint8Array> {
  if (comm.size === 1) return bytes ?? new Uint8Array(0);
  const length = new Uint8Array(8);
  const view = new DataView(length.buffer);
  if (comm.rank === root) view.setBigUint64(0, BigInt(bytes?.length ?? 0));
  await comm.broadcast(length, root);
  const out = comm.rank === root && bytes ? bytes : new Uint8Array(Number(view.getBigUint64(0)));
  if (out.length > 0) await comm.broadcast(out, root);
  return out;
}

/** What every rank says, by rank. */
export async function gather(comm: Comm, text: string): Promise<string[]> {
  const said: string[] = [];
  for (let root = 0; root < comm.size; root++)
    said.push(
      new TextDecoder().decode(
        await bytesFrom(comm, root, root === comm.rank ? new TextEncoder().encode(text) : undefined),
      ),
    );
  return said;
}

/** What rank 0 makes, as JSON, on every rank. Where it throws, all do: the others an Error with the same message. */
export async function fromRoot<T>(comm: Comm, make: () => Promise<T> | T): Promise<T> {
  if (comm.size === 1) return make();
  let [made, failure]: [T | undefined, unknown] = [undefined, undefined];
  if (comm.rank === 0) {
    try {
      made = await make();
    } catch (error) {
      failure = error ?? new Error("Rank 0 failed.");
    }
  }
  const message = failure instanceof Error ? failure.message : String(failure);
  const said = comm.rank === 0 ? JSON.stringify(failure === undefined ? { made } : { message }) : "";
  const heard = new TextDecoder().decode(await bytesFrom(comm, 0, new TextEncoder().encode(said)));
  if (comm.rank === 0) {
    if (failure !== undefined) throw failure;
    return made as T;
  }
  const answer = JSON.parse(heard) as { readonly made?: T; readonly message?: string };
  if (answer.message !== undefined) throw new Error(answer.message);
  return answer.made as T;
}

const SAME = "Start all with the same command, on machines with the same version and files.";

/** Throws an Error, on every rank, that names the ranks on which any of these differs from rank 0's, and what to do. */
export async function agree(comm: Comm, here: Readonly<Record<string, string>>, advice = SAME): Promise<void> {
  if (comm.size === 1) return;
  const all = (await gather(comm, JSON.stringify(here))).map((text) => JSON.parse(text) as Record<string, string>);
  for (const name of new Set(all.flatMap(Object.keys))) {
    const other = all.flatMap((said, rank) => (said[name] === all[0][name] ? [] : [rank]));
    if (other.length === 0) continue;
    const [ours, theirs] = [brief(all[0][name]), brief(all[other[0]][name])];
    throw new Error(
      `The ranks differ in ${name}: rank 0 has ${ours}, rank ${other[0]} has ${theirs}${other.length > 1 ? ` (${other.length} ranks differ)` : ""}. ${advice}`,
    );
  }
}

const brief = (text: string | undefined): string =>
  text === undefined ? "none" : text.length > 60 ? `${text.slice(0, 57)}…` : text;
