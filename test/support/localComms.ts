// Ranks within one process: each is a promise, and they talk over shared arrays. What MPI does, without MPI.

import type { Comm } from "../../src/comm.ts";

type Values = Float32Array | Uint8Array;
interface Waiting {
  readonly call: string;
  readonly go: () => void;
  readonly fail: (error: Error) => void;
}

/** All ranks must make the same calls: where one does not, all fail here (over MPI they would wait for ever). */
export function localComms(size: number): Comm[] {
  const arrays: Values[] = [];
  let waiting: Waiting[] = [];
  const meet = (rank: number, call: string, array: Values, combine: () => void): Promise<void> =>
    new Promise((go, fail) => {
      arrays[rank] = array;
      waiting.push({ call, go, fail });
      const wrong = waiting.find((other) => other.call !== call);
      if (waiting.length < size && !wrong) return;
      const all = waiting;
      waiting = [];
      if (wrong) for (const one of all) one.fail(new Error(`One rank calls "${wrong.call}", another "${call}".`));
      else combine();
      for (const one of all) one.go();
    });
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    allreduce: (x) =>
      meet(rank, `allreduce ${x.length}`, x, () => {
        const sum = arrays[0].slice();
        for (const other of arrays.slice(1)) for (let i = 0; i < sum.length; i++) sum[i] += other[i];
        for (const array of arrays) array.set(sum);
      }),
    broadcast: (x, root) =>
      meet(rank, `broadcast ${x.length} of ${root}`, x, () => {
        for (const array of arrays) if (array !== arrays[root]) array.set(arrays[root]);
      }),
    leave: async () => ({ all: true }),
    abort: () => {},
    close: () => {},
  }));
}

/** The same, by every rank. */
export const onAll = <T>(size: number, act: (comm: Comm) => Promise<T>): Promise<T[]> =>
  Promise.all(localComms(size).map(act));
