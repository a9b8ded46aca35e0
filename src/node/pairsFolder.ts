// Teacher pairs on disk: pairs.json and shards of safetensors. Whatever process or machine makes a shard, its bytes are the
// same. What stopped goes on at the first shard that is missing; a damaged one is made again.
import { randomBytes } from "node:crypto";
import { link, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { alone, anyOf, type Comm, fromRoot } from "../comm.ts";
import { listed, show } from "../core/show.ts";
import type { TensorData } from "../graph/index.ts";
import { sha256 } from "../hash.ts";
import type { NetModel, PairSource } from "../recipes/recipe.ts";
import { type Pairs, type PairsOptions, shardCount, teacherPairs } from "../run/pairs.ts";
import { type Sampler, sampler, samplingGrid } from "../run/sample.ts";
import { solverByName } from "../solvers/index.ts";
import { makeFolder } from "./atomic.ts";
import { type Context, checkInterrupt } from "./context.ts";
import { Interrupted } from "./failure.ts";
import { readJson, writeJson } from "./files.ts";
import {
  asPairs,
  bytesPerPair,
  columnsOf,
  emptyColumns,
  exists,
  readShard,
  shardFile,
  writeShard,
} from "./pairShards.ts";

/** What pairs depend on: pairs made otherwise are not mixed with these. */
export type PairsIdentity = Readonly<Record<string, string | number>>;

/** The pairs of a teacher, without the place where they are kept. */
export interface PairsPlan extends PairsOptions {
  readonly model: NetModel;
  readonly identity: PairsIdentity;
  readonly makeSampler: () => Promise<Sampler>;
}

/** What a source does not say of pairs whose model is told more than labels, or is a low-rank change of another. */
export interface PairsTold {
  readonly cond?: PairsOptions["cond"];
  /** Where conditions come from: a hash. */
  readonly data?: string;
  /** The weights that a low-rank change is of: a hash. */
  readonly base?: string;
}

/** `perShard`: default few enough for 16 MB. */
export async function pairsPlan(
  source: PairSource,
  context: Context,
  perShard?: number,
  { cond, data, base }: PairsTold = {},
): Promise<PairsPlan> {
  const { teacher, guidance, solver: name, steps, pairs: n } = source;
  const { model, params, theta } = teacher;
  const { seed, runtime } = context;
  const solver = solverByName(name);
  const own = teacher.asked ?? (await sha256(new Uint8Array(theta.buffer, theta.byteOffset, theta.byteLength)));
  // Of a low-rank change the weights that it is of count too.
  const hash = teacher.network.lowRank ? `${base} ${own}` : own;
  const size = perShard ?? Math.max(1, Math.min(256, Math.floor(16e6 / bytesPerPair(model))));
  return {
    model,
    identity: {
      ...{ teacher: hash, solver: solver.name, steps, guidance, seed },
      ...(cond && data !== undefined ? { data } : {}),
    },
    cond,
    n,
    perShard: size,
    seed,
    solver,
    times: samplingGrid(model.form, teacher.sampler.grid, steps, model.prediction),
    makeSampler: () => sampler(model, params, runtime, Math.min(64, size), { guidance }),
  };
}

/**
 * Makes the folder one of these pairs, or finds that it is; where shards of another size are there, that size is kept.
 * Throws an Error where it has pairs of another identity, or files named like pairs that fewstep did not write.
 */
export async function openPairs(folder: string, plan: PairsPlan): Promise<PairsPlan> {
  await makeFolder(folder);
  const perShard = await checkIdentity(folder, plan.identity, plan.perShard);
  return perShard === plan.perShard ? plan : { ...plan, perShard };
}

/** Every shard, or those of a part: one of every so many. */
export const shardsOf = (plan: PairsPlan, { index, count } = { index: 0, count: 1 }): readonly number[] =>
  Array.from({ length: shardCount(plan) }, (_, shard) => shard).filter((shard) => shard % count === index);

export const pairsIn = ({ n, perShard }: PairsPlan, shard: number): number => Math.min(perShard, n - shard * perShard);

/** Those of these shards that are missing, damaged or of another size. `found` is given the others. */
export async function missingShards(
  folder: string,
  plan: PairsPlan,
  shards: readonly number[],
  context: Context,
  found: (shard: number, pairs: Pairs) => void = () => {},
): Promise<number[]> {
  const missing: number[] = [];
  const columns = columnsOf(plan.model);
  for (const shard of shards) {
    const read = await readShard(shardFile(folder, shard), pairsIn(plan, shard), columns, context);
    if (read) found(shard, read);
    else missing.push(shard);
  }
  return missing;
}

/** Makes these shards and writes them. `made` is given each. */
export async function makeShards(
  folder: string,
  plan: PairsPlan,
  missing: readonly number[],
  context: Context,
  made: (shard: number, pairs: Pairs) => void = () => {},
): Promise<void> {
  if (missing.length === 0) return;
  const columns = columnsOf(plan.model);
  const line = context.report.progress("pairs");
  const kept = `Finished shards are kept in ${folder} and used when the run goes on.`;
  const sampler = await plan.makeSampler();
  const left = missing.reduce((sum, shard) => sum + pairsIn(plan, shard), 0);
  try {
    const steps = plan.times.length - 1;
    let before = plan.n - left;
    const onStep: PairsOptions["onStep"] = ({ done }) => {
      checkInterrupt(context, kept);
      line.update({ done: before + done / steps, total: plan.n, unit: "pairs" });
    };
    for await (const event of teacherPairs(sampler, { ...plan, shards: missing, onStep })) {
      await writeShard(shardFile(folder, event.shard), event, columns);
      made(event.shard, event);
      before += pairsIn(plan, event.shard);
      context.report.event({ kind: "pairs", shard: event.shard, done: before, total: plan.n });
    }
  } finally {
    line.end();
    await sampler.dispose();
  }
}

/** All pairs that a stage asks for, of which those on disk are read and the others made and written. */
export async function storedPairs(
  source: PairSource,
  folder: string,
  context: Context,
  told: PairsTold = {},
): Promise<Pairs> {
  const { comm = alone } = context;
  const wished = await pairsPlan(source, context, undefined, told);
  const columns = columnsOf(wished.model);
  const all = emptyColumns(columns, wished.n);
  const put = (perShard: number) => (shard: number, pairs: Pairs) => {
    const { x, noise, cond } = pairs;
    const given: Readonly<Record<string, TensorData>> = { x, noise, ...cond };
    for (const [name, { size }] of Object.entries(columns))
      (all[name] as { set(from: TensorData, at: number): void }).set(given[name], shard * perShard * size);
  };
  const { missing, perShard } = await fromRoot(comm, async () => {
    const plan = await openPairs(folder, wished);
    const missing = await missingShards(folder, plan, shardsOf(plan), context, put(plan.perShard));
    return { missing, perShard: plan.perShard };
  });
  const plan = { ...wished, perShard };
  if (comm.size === 1) await makeShards(folder, plan, missing, context, put(perShard));
  else {
    // What rank 0 has read: only that rank need see the folder.
    for (const name of Object.keys(columns)) await comm.broadcast(bytesOf(all[name]), 0);
    await makeTogether(comm, folder, plan, missing, context, put(perShard));
  }
  return asPairs(all);
}

/** Rank after rank makes a shard, and all get it; rank 0 writes. */
async function makeTogether(
  comm: Comm,
  folder: string,
  plan: PairsPlan,
  missing: readonly number[],
  context: Context,
  made: (shard: number, pairs: Pairs) => void,
): Promise<void> {
  if (missing.length === 0) return;
  const columns = columnsOf(plan.model);
  const line = context.report.progress("pairs");
  const sampler = await plan.makeSampler();
  let done = plan.n - missing.reduce((sum, shard) => sum + pairsIn(plan, shard), 0);
  try {
    for (let first = 0; first < missing.length; first += comm.size) {
      const round = missing.slice(first, first + comm.size);
      const own = round.slice(comm.rank, comm.rank + 1);
      let mine: Pairs | undefined;
      for await (const event of teacherPairs(sampler, { ...plan, shards: own })) mine = event;
      for (const [rank, shard] of round.entries()) {
        const count = pairsIn(plan, shard);
        const { x, noise, cond }: Pairs =
          (rank === comm.rank ? mine : undefined) ?? asPairs(emptyColumns(columns, count));
        const given: Readonly<Record<string, TensorData>> = { x, noise, ...cond };
        for (const name of Object.keys(columns)) await comm.broadcast(bytesOf(given[name]), rank);
        const pairs = { x, noise, cond };
        if (comm.rank === 0) await writeShard(shardFile(folder, shard), pairs, columns);
        made(shard, pairs);
        done += count;
        line.update({ done, total: plan.n, unit: "pairs" });
        context.report.event({ kind: "pairs", shard, done, total: plan.n });
      }
      const { interrupted } = await anyOf(comm, { interrupted: context.signal.aborted });
      if (interrupted)
        throw new Interrupted(`Interrupted. Finished shards are kept in ${folder} and used when the run goes on.`);
    }
  } finally {
    line.end();
    await sampler.dispose();
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: TensorData): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Returns how many pairs a shard has here. Several processes may come at once: the first says whose the folder is. */
async function checkIdentity(folder: string, identity: PairsIdentity, perShard: number): Promise<number> {
  const file = join(folder, "pairs.json");
  if (!(await exists(file))) {
    const foreign = (await readdir(folder)).filter((name) => /^pairs-\d+\.safetensors$/.test(name)).sort();
    // Without it nothing says whose they are: they would be read as damaged pairs, and written over.
    if (foreign.length > 0 && !(await exists(file)))
      throw new Error(
        `${folder} holds ${listed(foreign, 3)} without the pairs.json that says how they were made. Choose another --pairs-dir, or move them away.`,
      );
    if (await writeFirst(file, { ...identity, perShard })) return perShard;
  }
  const stored = Object(await readJson(file)) as Record<string, unknown>;
  for (const [key, value] of Object.entries(identity))
    if (stored[key] !== value)
      throw new Error(
        `${file} says that these pairs were made with ${key} ${show(stored[key])}, not ${show(value)}. Choose another --pairs-dir.`,
      );
  const size = stored.perShard;
  if (typeof size === "number" && Number.isInteger(size) && size > 0) return size;
  throw new Error(`${file} says that a shard has ${show(size)} pairs, expected a whole number from 1.`);
}

/** False where the file is there. It appears with its content, by a link where there are links. */
async function writeFirst(file: string, value: object): Promise<boolean> {
  const temporary = `${file}-${randomBytes(4).toString("hex")}`;
  await writeJson(temporary, value);
  try {
    return await link(temporary, file).then(
      () => true,
      async (error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
        await writeJson(file, value);
        return true;
      },
    );
  } finally {
    await rm(temporary, { force: true });
  }
}
