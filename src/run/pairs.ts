// Pairs of a teacher: the state its sampler starts from and the sample it makes of it, in shards that can be made in any
// order. Rectified Diffusion and reflow learn from them.

import { type CondValues, type SampleOptions, type Sampler, sampleAll } from "./sample.ts";

export interface PairsOptions extends Pick<SampleOptions, "seed" | "solver" | "times" | "label" | "cond" | "onStep"> {
  /** Pairs in all, and per shard; the last shard may be smaller. */
  readonly n: number;
  readonly perShard: number;
  /** Which shards to make. Default: all. */
  readonly shards?: Iterable<number>;
}

export interface Pairs {
  /** [n, ...sampleShape]: the sampler's end, and the state it started from (t = 1). */
  readonly x: Float32Array;
  readonly noise: Float32Array;
  /** What they were conditioned on, [n, ...] each. */
  readonly cond: CondValues;
}

export interface PairsEvent extends Pairs {
  readonly kind: "pairs";
  readonly shard: number;
  /** Network evaluations per pair. */
  readonly nfe: number;
}

/** Shards that n pairs fill. */
export const shardCount = ({ n, perShard }: Pick<PairsOptions, "n" | "perShard">): number => Math.ceil(n / perShard);

/** Yields the shards asked for. Pair i is the same whatever the shards: it depends on the seed and i. */
export async function* teacherPairs(sampler: Sampler, o: PairsOptions): AsyncGenerator<PairsEvent> {
  const { n, perShard, shards = Array(shardCount(o)).keys(), ...options } = o;
  if (!Number.isInteger(perShard) || perShard < 1)
    throw new RangeError(`A shard has ${perShard} pairs, expected at least 1.`);
  for (const shard of shards) {
    const from = shard * perShard;
    const count = Math.min(perShard, n - from);
    if (count < 1) throw new RangeError(`There is no shard ${shard} among ${shardCount(o)} of ${n} pairs.`);
    const { x, start, cond, nfe } = await sampleAll(sampler, { ...options, n: count, from, stream: "pairs" });
    yield { kind: "pairs", shard, x, noise: start, cond, nfe };
  }
}
