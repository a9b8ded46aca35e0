// The state of a run as one file, written atomically: a kill at any moment leaves the old state or the new one.
import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { safetensorsChunks } from "../data/safetensors.ts";
import { sha256 } from "../hash.ts";
import { countParams, type ParamSpec } from "../nn/params.ts";
import type { LossScale } from "../optim/lossScale.ts";
import { KEPT, STUDENT } from "../recipes/recipe.ts";
import type { Progress } from "../run/job.ts";
import type { PlayerState, TrainState } from "../run/train.ts";
import { type Disk, writeAtomic } from "./atomic.ts";
import { readSafetensors, writeSafetensors } from "./files.ts";
import type { RunDir } from "./runDir.ts";

/** What a state belongs to; a resume with something else is refused. */
export type StateIdentity = Readonly<Record<string, string>>;

const FORMAT = "fewstep-state-3";
/** Its checksum is of the values alone. */
const BEFORE = "fewstep-state-2";

export const stateFile = (run: Pick<RunDir, "state">): string => join(run.state, "state.safetensors");
const resultFile = (run: Pick<RunDir, "state">, stage: number) => join(run.state, `stage-${stage}.safetensors`);

/** `disk` is for tests. Throws an Error for a state that holds what is no number: it is not written. */
export async function saveState(
  run: Pick<RunDir, "state">,
  { stage, state, seen }: Progress,
  identity: StateIdentity,
  disk: Disk = { open, rename },
): Promise<void> {
  const vectors = vectorsOf(state);
  for (const [name, values] of Object.entries(vectors)) checkFinite(values, name, state.step);
  const tensors = Object.fromEntries(
    Object.entries(vectors).map(([name, data]) => [name, { shape: [data.length], data }]),
  );
  const updates = Object.fromEntries(Object.entries(state.players).map(([name, player]) => [name, player.updates]));
  const metadata = {
    ...identity,
    ...(state.scale ? { lossScale: JSON.stringify(state.scale) } : {}),
    format: FORMAT,
    stage: String(stage),
    step: String(state.step),
    ...(seen.length > 0 ? { seen: JSON.stringify(seen) } : {}),
    updates: JSON.stringify(updates),
  };
  const sha256 = await checksum(vectors, metadata);
  await writeAtomic(stateFile(run), safetensorsChunks(tensors, { ...metadata, sha256 }), disk);
}

/** Undefined where there is none. Throws an Error where the file is damaged or belongs to something else. */
export async function loadState(run: Pick<RunDir, "state">, identity: StateIdentity): Promise<Progress | undefined> {
  const file = stateFile(run);
  const read = await readSafetensors(file).catch((error: unknown) => {
    if (error instanceof Error && error.message.endsWith("does not exist.")) return undefined;
    throw error;
  });
  if (!read) return undefined;
  const { tensors, metadata } = read;
  const floats = new Map<string, Float32Array>();
  for (const [name, { data }] of tensors) if (data instanceof Float32Array) floats.set(name, data);
  if (metadata.format === "fewstep-state-1") return { stage: 0, state: firstFormat(file, floats, metadata), seen: [] };
  if (metadata.format !== FORMAT && metadata.format !== BEFORE)
    throw new Error(`${file} is no state of a run, or of a newer version.`);
  for (const [key, value] of Object.entries(identity))
    if (metadata[key] !== value)
      throw new Error(
        `${file} belongs to another ${key} than the one given now: its contents differ. Resume with what the run was started with.`,
      );
  const { sha256, ...said } = metadata;
  if ((await checksum(Object.fromEntries(floats), metadata.format === BEFORE ? {} : said)) !== sha256)
    throw new Error(
      `${file} is damaged: its checksum is another. Start the run again, or put back a copy of the file.`,
    );
  const players: Record<string, PlayerState> = {};
  const updates = parsed(file, "updates", updatesSchema, metadata.updates);
  for (const [player, count] of Object.entries(updates)) {
    const vector = (part: string): Float32Array => {
      const data = floats.get(`${player}.${part}`);
      if (!data) throw new Error(`${file} has no "${player}.${part}".`);
      return data;
    };
    const prefix = `${player}.average.`;
    const averages = [...floats].filter(([name]) => name.startsWith(prefix));
    players[player] = {
      updates: count,
      theta: vector("theta"),
      m: vector("m"),
      v: vector("v"),
      averages: Object.fromEntries(averages.map(([name, data]) => [name.slice(prefix.length), data])),
    };
  }
  const state: TrainState = { step: whole(file, "step", metadata.step), players, ...scaleIn(file, metadata.lossScale) };
  const seen = metadata.seen === undefined ? [] : parsed(file, "seen", z.array(count), metadata.seen);
  return { stage: whole(file, "stage", metadata.stage), state, seen };
}

/** The kept weights of a stage that has ended. */
export async function saveResult(run: Pick<RunDir, "state">, stage: number, theta: Float32Array): Promise<void> {
  const metadata = { sha256: await checksum({ theta }) };
  await writeSafetensors(resultFile(run, stage), { theta: { shape: [theta.length], data: theta } }, metadata);
}

export async function loadResult(
  run: Pick<RunDir, "state">,
  stage: number,
  spec: readonly ParamSpec[],
): Promise<Float32Array> {
  const file = resultFile(run, stage);
  const { tensors, metadata } = await readSafetensors(file);
  const theta = tensors.get("theta")?.data;
  const size = countParams(spec);
  if (!(theta instanceof Float32Array) || theta.length !== size)
    throw new Error(`${file} has ${theta?.length ?? "no"} weights, expected ${size} for this network.`);
  if ((await checksum({ theta })) !== metadata.sha256) throw new Error(`${file} is damaged: its checksum is another.`);
  return theta;
}

/** Runs of version 1 had one network and no checksum; what they learned from is not compared. */
function firstFormat(
  file: string,
  floats: ReadonlyMap<string, Float32Array>,
  metadata: Readonly<Record<string, string>>,
): TrainState {
  const vector = (name: string): Float32Array => {
    const data = floats.get(name);
    if (!data) throw new Error(`${file} has no values of "${name}".`);
    return data;
  };
  const step = whole(file, "step", metadata.step);
  const scale = scaleIn(file, metadata.lossScale);
  const student: PlayerState = {
    updates: step - (scale.scale?.skipped ?? 0),
    theta: vector("theta"),
    m: vector("m"),
    v: vector("v"),
    averages: { [KEPT]: vector("ema") },
  };
  return { step, players: { [STUDENT]: student }, ...scale };
}

function vectorsOf({ players }: TrainState): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(players).flatMap(([name, { theta, m, v, averages }]) => [
      [`${name}.theta`, theta],
      [`${name}.m`, m],
      [`${name}.v`, v],
      ...Object.entries(averages).map(([average, data]) => [`${name}.average.${average}`, data] as const),
    ]),
  );
}

/** Of names and values, in the order of names, and of what is said besides. */
async function checksum(
  vectors: Readonly<Record<string, Float32Array>>,
  said: Readonly<Record<string, string>> = {},
): Promise<string> {
  const sums = Object.keys(said)
    .sort()
    .map((key) => JSON.stringify([key, said[key]]));
  for (const name of Object.keys(vectors).sort()) {
    const { buffer, byteOffset, byteLength } = vectors[name];
    sums.push(`${name} ${await sha256(new Uint8Array(buffer, byteOffset, byteLength))}`);
  }
  return sha256(new TextEncoder().encode(sums.join("\n")));
}

const count = z.int().nonnegative();
const updatesSchema = z.record(z.string(), count);
const scaleSchema = z.strictObject({ value: z.number().positive(), good: count, skipped: count });

const scaleIn = (file: string, text: string | undefined): { scale?: LossScale } =>
  text === undefined ? {} : { scale: parsed(file, "lossScale", scaleSchema, text) };

function parsed<T>(file: string, what: string, schema: z.ZodType<T>, text: string | undefined): T {
  const result = schema.safeParse(jsonOf(text));
  if (result.success) return result.data;
  throw new Error(`${file} is damaged: its "${what}" is ${JSON.stringify(text?.slice(0, 60) ?? "missing")}.`);
}

function jsonOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}

function whole(file: string, what: string, text: string | undefined): number {
  return parsed(file, what, count, text);
}

/** Broken weights must not replace good ones. */
function checkFinite(values: Float32Array, part: string, step: number): void {
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new Error(`"${part}" holds ${values[i]} at step ${step}, so that state was not saved. Lower --lr.`);
}
