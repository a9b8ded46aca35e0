// Teacher pairs on disk: pairs.json and shards of safetensors. A run that stopped goes on at the first shard that is
// missing; a damaged shard is made again.
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { listed, show } from "../core/show.ts";
import type { TensorData } from "../graph/index.ts";
import { sha256 } from "../hash.ts";
import type { NetModel } from "../recipes/recipe.ts";
import { type Pairs, type PairsOptions, shardCount, teacherPairs } from "../run/pairs.ts";
import type { Sampler } from "../run/sample.ts";
import { makeFolder } from "./atomic.ts";
import { type Context, checkInterrupt } from "./context.ts";
import { sentence } from "./failure.ts";
import { readJson, readSafetensors, writeJson, writeSafetensors } from "./files.ts";

/** What pairs depend on: pairs made otherwise are not mixed with these. */
export type PairsIdentity = Readonly<Record<string, string | number>>;

const shardFile = (folder: string, shard: number) =>
  join(folder, `pairs-${String(shard).padStart(5, "0")}.safetensors`);

export interface PairsRequest extends PairsOptions {
  readonly folder: string;
  readonly identity: PairsIdentity;
}

/**
 * All n pairs, of which those on disk are read and the others made and written.
 * Throws an Error where the folder has pairs of another identity, or files named like pairs that fewstep did not write.
 */
export async function storedPairs(
  makeSampler: () => Promise<Sampler>,
  model: NetModel,
  { folder, identity, ...request }: PairsRequest,
  context: Context,
): Promise<Pairs> {
  await makeFolder(folder);
  await checkIdentity(join(folder, "pairs.json"), { ...identity, perShard: request.perShard });
  const { n, perShard } = request;
  const columns = columnsOf(model);
  const all = emptyColumns(columns, n);
  const put = (shard: number, { x, noise, cond }: Pairs) => {
    const given: Readonly<Record<string, TensorData>> = { x, noise, ...cond };
    for (const [name, { size }] of Object.entries(columns))
      (all[name] as { set(from: TensorData, at: number): void }).set(given[name], shard * perShard * size);
  };
  const missing: number[] = [];
  for (let shard = 0; shard < shardCount(request); shard++) {
    const count = Math.min(perShard, n - shard * perShard);
    const read = await readShard(shardFile(folder, shard), count, columns, context);
    if (read) put(shard, read);
    else missing.push(shard);
  }
  if (missing.length === 0) return asPairs(all);
  const made = Math.min(n, (shardCount(request) - missing.length) * perShard);
  const line = context.report.progress("pairs");
  const kept = `Finished shards are kept in ${folder} and used when the run goes on.`;
  const sampler = await makeSampler();
  try {
    const steps = request.times.length - 1;
    let before = made;
    const onStep: PairsOptions["onStep"] = ({ done }) => {
      checkInterrupt(context, kept);
      line.update({ done: before + done / steps, total: n, unit: "pairs" });
    };
    for await (const event of teacherPairs(sampler, { ...request, shards: missing, onStep })) {
      await writeShard(shardFile(folder, event.shard), event, columns);
      put(event.shard, event);
      before += event.x.length / columns.x.size;
      context.report.event({ kind: "pairs", shard: event.shard, done: before, total: n });
    }
  } finally {
    line.end();
    await sampler.dispose();
  }
  return asPairs(all);
}

interface PairColumn {
  readonly shape: readonly number[];
  readonly size: number;
  readonly dtype: "float32" | "int64";
}

/** What a pair consists of. */
export function columnsOf({ sampleShape, conditions }: NetModel): Readonly<Record<string, PairColumn>> {
  const column = (shape: readonly number[], dtype: "float32" | "int64"): PairColumn => ({
    shape,
    dtype,
    size: shape.reduce((a, b) => a * b, 1),
  });
  return {
    x: column(sampleShape, "float32"),
    noise: column(sampleShape, "float32"),
    ...Object.fromEntries(
      Object.entries(conditions).flatMap(([name, c]) => (c.given === "data" ? [[name, column(c.shape, c.dtype)]] : [])),
    ),
  };
}

/** Bytes of one pair. */
export const bytesPerPair = (model: NetModel): number =>
  Object.values(columnsOf(model)).reduce((sum, { size, dtype }) => sum + size * (dtype === "int64" ? 8 : 4), 0);

const emptyColumns = (columns: Readonly<Record<string, PairColumn>>, n: number): Record<string, TensorData> =>
  Object.fromEntries(
    Object.entries(columns).map(([name, { size, dtype }]) => [
      name,
      dtype === "int64" ? new BigInt64Array(n * size) : new Float32Array(n * size),
    ]),
  );

function asPairs({ x, noise, ...cond }: Readonly<Record<string, TensorData>>): Pairs {
  return { x: x as Float32Array, noise: noise as Float32Array, cond };
}

async function checkIdentity(file: string, identity: PairsIdentity): Promise<void> {
  if (!(await exists(file))) {
    // Without it nothing says whose they are: they would be read as damaged pairs, and written over.
    const foreign = (await readdir(dirname(file))).filter((name) => /^pairs-\d+\.safetensors$/.test(name)).sort();
    if (foreign.length > 0)
      throw new Error(
        `${dirname(file)} holds ${listed(foreign, 3)} without the pairs.json that says how they were made. Choose another --pairs-dir, or move them away.`,
      );
    return writeJson(file, identity);
  }
  const stored = Object(await readJson(file)) as Record<string, unknown>;
  for (const [key, value] of Object.entries(identity))
    if (stored[key] !== value)
      throw new Error(
        `${file} says that these pairs were made with ${key} ${show(stored[key])}, not ${show(value)}. Choose another --pairs-dir.`,
      );
}

/** Writes a shard with its checksum. */
export async function writeShard(
  file: string,
  { x, noise, cond }: Pairs,
  columns: Readonly<Record<string, PairColumn>>,
): Promise<void> {
  const given: Readonly<Record<string, TensorData>> = { x, noise, ...cond };
  const n = x.length / columns.x.size;
  const tensors = Object.fromEntries(
    Object.entries(columns).map(([name, { shape }]) => [name, { shape: [n, ...shape], data: given[name] }]),
  );
  await writeSafetensors(file, tensors, { sha256: await digest(Object.keys(columns).map((name) => given[name])) });
}

/** Undefined for a shard that is missing, damaged or of another size (a note says so, and it is made again). Throws an Error for a file of others. */
async function readShard(
  file: string,
  count: number,
  columns: Readonly<Record<string, PairColumn>>,
  { report }: Context,
): Promise<Pairs | undefined> {
  if (!(await exists(file))) return undefined;
  const stored = await readSafetensors(file).catch((cause: unknown) => new Error(sentence(cause), { cause }));
  if (!(stored instanceof Error) && stored.metadata.sha256 === undefined)
    throw new Error(`${file} is a file that fewstep did not write. Choose another --pairs-dir, or move it away.`);
  try {
    if (stored instanceof Error) throw stored;
    const { tensors, metadata } = stored;
    const found = emptyColumns(columns, 0);
    for (const [name, { shape, dtype }] of Object.entries(columns)) {
      const tensor = tensors.get(name);
      const want = [count, ...shape];
      if (tensor?.shape.join() !== want.join())
        throw new Error(
          `${file} has "${name}" of the shape ${tensor?.shape.join(" x ") ?? "none"}, expected ${want.join(" x ")}.`,
        );
      if (tensor.data instanceof BigInt64Array !== (dtype === "int64"))
        throw new Error(`${file} has "${name}" of another type, expected ${dtype}.`);
      found[name] = tensor.data as TensorData;
    }
    if ((await digest(Object.keys(columns).map((name) => found[name]))) !== metadata.sha256) {
      // Version 1 wrote labels, all zero, also for models without classes.
      const labels = tensors.get("labels")?.data;
      const before = labels instanceof BigInt64Array && !("labels" in columns) ? [labels] : undefined;
      if (!before || (await digest([found.x, found.noise, ...before])) !== metadata.sha256)
        throw new Error(`${file} is damaged: its checksum is another.`);
    }
    return asPairs(found);
  } catch (error) {
    report.note(`${error instanceof Error ? error.message : String(error)} These pairs are made again.`);
    return undefined;
  }
}

async function digest(columns: readonly TensorData[]): Promise<string> {
  const bytes = columns.map((array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  const sums = await Promise.all(bytes.map(sha256));
  return sha256(new TextEncoder().encode(sums.join()));
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
