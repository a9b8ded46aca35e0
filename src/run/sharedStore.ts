// A run that several processes train is kept by the first: it reads what there is for all of them, and writes for all of them.

import { type Comm, fromRoot } from "../comm.ts";
import { countParams } from "../nn/params.ts";
import type { Progress, Store } from "./job.ts";
import type { PlayerState } from "./train.ts";

/** `store`: of this rank. That of rank 0 is asked, except for pairs, which all make together. */
export function sharedStore(store: Store, comm: Comm): Store {
  if (comm.size === 1) return store;
  const root = comm.rank === 0;
  const first = <A extends unknown[]>(write: (...args: A) => Promise<void>) => (root ? write : async () => {});
  return {
    load: () => loadForAll(store, comm),
    async loadResult(stage, spec) {
      let found: Float32Array | undefined;
      await fromRoot(comm, async () => {
        found = await store.loadResult(stage, spec);
        return null;
      });
      return fromFirst(comm, found ?? new Float32Array(countParams(spec)));
    },
    save: first(store.save),
    saveResult: first(store.saveResult),
    saveModel: first(store.saveModel),
    log: first(store.log),
    rewind: first(store.rewind),
    pairs: store.pairs,
  };
}

async function fromFirst(comm: Comm, vector: Float32Array): Promise<Float32Array> {
  await comm.broadcast(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), 0);
  return vector;
}

interface Outline extends Omit<Progress, "state"> {
  readonly step: number;
  readonly scale?: Progress["state"]["scale"];
  readonly players: readonly (readonly [name: string, updates: number, size: number, averages: readonly string[]])[];
}

/** The vectors are bytes, the rest is JSON. */
async function loadForAll(store: Store, comm: Comm): Promise<Progress | undefined> {
  let found: Progress | undefined;
  const outline = await fromRoot(comm, async (): Promise<Outline | null> => {
    found = await store.load();
    if (!found) return null;
    const { stage, seen, state } = found;
    const players = Object.entries(state.players).map(
      ([name, { updates, theta, averages }]) => [name, updates, theta.length, Object.keys(averages)] as const,
    );
    return { stage, seen, step: state.step, players, ...(state.scale ? { scale: state.scale } : {}) };
  });
  if (!outline) return undefined;
  const { stage, seen, step, scale } = outline;
  const players: Record<string, PlayerState> = {};
  for (const [name, updates, size, names] of outline.players) {
    const known = found?.state.players[name];
    const vector = (of: Float32Array | undefined) => fromFirst(comm, of ?? new Float32Array(size));
    const [theta, m, v] = [await vector(known?.theta), await vector(known?.m), await vector(known?.v)];
    const averages: Record<string, Float32Array> = {};
    for (const average of names) averages[average] = await vector(known?.averages[average]);
    players[name] = { updates, theta, m, v, averages };
  }
  return { stage, seen, state: { step, players, ...(scale ? { scale } : {}) } };
}
