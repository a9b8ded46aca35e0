// Pairs of a teacher: a shard, and the file that says whose they are.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { quietContext } from "../../src/node/context.ts";
import { asPairs, readShard, writeShard } from "../../src/node/pairShards.ts";
import { openPairs, type PairsPlan } from "../../src/node/pairsFolder.ts";
import { silent } from "../../src/node/reporter.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import type { Json } from "../mutate.ts";
import { inFolder } from "../scratch.ts";
import { difference, type Target } from "../target.ts";
import { jsonInput } from "./configs.ts";
import { changedSafetensors } from "./runs.ts";

const columns = {
  x: { shape: [2], size: 2, dtype: "float32" },
  noise: { shape: [2], size: 2, dtype: "float32" },
  labels: { shape: [], size: 1, dtype: "int64" },
} as const;
const pairs = [1, 2].map((k) =>
  asPairs({
    x: Float32Array.of(k, 2, 3, 4, 5, 6),
    noise: Float32Array.of(0, -k, 0.5, 1, 2, 3),
    labels: BigInt64Array.of(0n, 1n, BigInt(k)),
  }),
);
const plain = ({ x, noise, cond }: (typeof pairs)[number]) => ({
  x: [...x],
  noise: [...noise],
  labels: Array.from(cond.labels ?? [], Number),
});

const pairShard = async (): Promise<Target> => {
  const seeds: Uint8Array[] = [];
  for (const one of pairs)
    await inFolder({}, async (folder) => {
      await writeShard(join(folder, "a"), one, columns);
      seeds.push(new Uint8Array(readFileSync(join(folder, "a"))));
    });
  return {
    make: (rng) => ({ "pairs-00000.safetensors": changedSafetensors(rng, rng.pick(seeds), rng.pick(seeds)) }),
    read: (files) =>
      inFolder(files, async (folder) => {
        let said: string | undefined;
        // No network runs here.
        const context = quietContext({ runtime: {} as Runtime, report: { ...silent, note: (text) => (said = text) } });
        const found = await readShard(join(folder, "pairs-00000.safetensors"), 3, columns, context);
        if (said !== undefined) throw new Error(said);
        if (found === undefined) return "a shard is made again without a word";
        const apart = pairs.map((one) => difference(plain(found), plain(one), "the shard"));
        return apart.includes(undefined) ? undefined : apart[0];
      }),
  };
};

const identity = { teacher: "ab".repeat(32), solver: "ddim", steps: 20, guidance: 1.5, seed: 3 };
const pairsFolder = async (): Promise<Target> => ({
  make(rng) {
    const stored: Json = { ...identity, perShard: 8 };
    return { "pairs.json": jsonInput(rng, [stored]).file };
  },
  read: (files) =>
    inFolder(files, async (folder) => {
      const { perShard } = await openPairs(folder, { identity, perShard: 8 } as unknown as PairsPlan);
      const said = JSON.parse(new TextDecoder().decode(files["pairs.json"])) as Record<string, unknown>;
      const found = Object.fromEntries(Object.keys(identity).map((key) => [key, said[key]]));
      return difference({ ...found, perShard: said.perShard }, { ...identity, perShard }, "pairs");
    }),
});

export const pairFiles = { pairShard, pairsFolder };
