// Teacher pairs on disk: pairs.json and shards of safetensors. A run that stopped goes on at the first shard that is
// missing; a damaged shard is made again.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type Pairs, type PairsOptions, shardCount, teacherPairs } from "../run/pairs.ts";
import type { Sampler } from "../run/sample.ts";
import { sha256 } from "../runtime/hash.ts";
import { makeFolder } from "./atomic.ts";
import { type Context, checkInterrupt } from "./context.ts";
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
 * Throws an Error where the folder has pairs of another identity.
 */
export async function storedPairs(
  makeSampler: () => Promise<Sampler>,
  sampleShape: readonly number[],
  { folder, identity, ...request }: PairsRequest,
  context: Context,
): Promise<Pairs> {
  await makeFolder(folder);
  await checkIdentity(join(folder, "pairs.json"), { ...identity, perShard: request.perShard });
  const size = sampleShape.reduce((a, b) => a * b, 1);
  const { n, perShard } = request;
  const all: Pairs = { x: new Float32Array(n * size), noise: new Float32Array(n * size), labels: new BigInt64Array(n) };
  const put = (shard: number, pairs: Pairs) => {
    all.x.set(pairs.x, shard * perShard * size);
    all.noise.set(pairs.noise, shard * perShard * size);
    all.labels.set(pairs.labels, shard * perShard);
  };
  const missing: number[] = [];
  for (let shard = 0; shard < shardCount(request); shard++) {
    const count = Math.min(perShard, n - shard * perShard);
    const read = await readShard(shardFile(folder, shard), count, [count, ...sampleShape], context);
    if (read) put(shard, read);
    else missing.push(shard);
  }
  if (missing.length === 0) return all;
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
      await writeShard(shardFile(folder, event.shard), event, sampleShape);
      put(event.shard, event);
      before += event.labels.length;
      context.report.event({ kind: "pairs", shard: event.shard, done: before, total: n });
    }
  } finally {
    line.end();
    await sampler.dispose();
  }
  return all;
}

async function checkIdentity(file: string, identity: PairsIdentity): Promise<void> {
  if (!(await exists(file))) return writeJson(file, identity);
  const stored = Object(await readJson(file)) as Record<string, unknown>;
  for (const [key, value] of Object.entries(identity))
    if (stored[key] !== value)
      throw new Error(
        `${file} says that these pairs were made with ${key} ${JSON.stringify(stored[key])}, not ${JSON.stringify(value)}. Choose another --pairs-dir.`,
      );
}

async function writeShard(file: string, { x, noise, labels }: Pairs, shape: readonly number[]): Promise<void> {
  const n = labels.length;
  const tensors = {
    x: { shape: [n, ...shape], data: x },
    noise: { shape: [n, ...shape], data: noise },
    labels: { shape: [n], data: labels },
  };
  await writeSafetensors(file, tensors, { sha256: await digest({ x, noise, labels }) });
}

/** Undefined for a shard that is missing, damaged or of another size (its file says so, and it is made again). */
async function readShard(
  file: string,
  count: number,
  shape: readonly number[],
  { report }: Context,
): Promise<Pairs | undefined> {
  if (!(await exists(file))) return undefined;
  try {
    const { tensors, metadata } = await readSafetensors(file);
    const [x, noise, labels] = ["x", "noise", "labels"].map((name) => tensors.get(name));
    if (x?.shape.join() !== shape.join() || noise?.shape.join() !== shape.join() || labels?.shape.join() !== `${count}`)
      throw new Error(`${file} has pairs of another number or shape, expected ${shape.join(" x ")}.`);
    const pairs = {
      x: x.data as Float32Array,
      noise: noise.data as Float32Array,
      labels: labels.data as BigInt64Array,
    };
    if ((await digest(pairs)) !== metadata.sha256) throw new Error(`${file} is damaged: its checksum is another.`);
    return pairs;
  } catch (error) {
    report.note(`${error instanceof Error ? error.message : String(error)} These pairs are made again.`);
    return undefined;
  }
}

async function digest({ x, noise, labels }: Pairs): Promise<string> {
  const bytes = [x, noise, labels].map((array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  const sums = await Promise.all(bytes.map(sha256));
  return sha256(new TextEncoder().encode(sums.join()));
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );
