// The state of a run as one file, written atomically: a kill at any moment leaves the old state or the new one.
import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import { safetensorsChunks } from "../data/safetensors.ts";
import type { LossScale } from "../optim/lossScale.ts";
import type { TrainState } from "../run/train.ts";
import { type Disk, writeAtomic } from "./atomic.ts";
import { readSafetensors } from "./files.ts";
import type { RunDir } from "./runDir.ts";

const parts = ["theta", "m", "v", "ema"] as const;

/** What a state belongs to; a resume with something else is refused. */
export type StateIdentity = Readonly<Record<string, string>>;

export const stateFile = (run: Pick<RunDir, "state">): string => join(run.state, "state.safetensors");

/** `disk` is for tests. */
export async function saveState(
  run: Pick<RunDir, "state">,
  state: TrainState,
  identity: StateIdentity,
  disk: Disk = { open, rename },
): Promise<void> {
  for (const part of parts) checkFinite(state[part], part, state.step);
  const tensors = Object.fromEntries(parts.map((p) => [p, { shape: [state[p].length], data: state[p] }]));
  const scale = state.scale && { lossScale: JSON.stringify(state.scale) };
  const metadata = { ...identity, ...scale, format: "fewstep-state-1", step: String(state.step) };
  await writeAtomic(stateFile(run), safetensorsChunks(tensors, metadata), disk);
}

/** Throws an Error where the file is missing, damaged, or belongs to something else. */
export async function loadState(
  run: Pick<RunDir, "state">,
  identity: StateIdentity,
  size: number,
): Promise<TrainState> {
  const file = stateFile(run);
  const { tensors, metadata } = await readSafetensors(file);
  if (metadata.format !== "fewstep-state-1") throw new Error(`${file} is no state of a run, or of a newer version.`);
  for (const [key, value] of Object.entries(identity))
    if (metadata[key] !== value)
      throw new Error(
        `${file} belongs to another ${key} (${metadata[key]}) than the one given now (${value}). Resume with what the run was started with.`,
      );
  const step = Number(metadata.step);
  const array = (name: string): Float32Array => {
    const data = tensors.get(name)?.data;
    if (!(data instanceof Float32Array) || data.length !== size)
      throw new Error(`${file} has ${data?.length ?? "no"} values of "${name}", expected ${size} for this network.`);
    return data;
  };
  const scale = metadata.lossScale === undefined ? {} : { scale: JSON.parse(metadata.lossScale) as LossScale };
  return { step, theta: array("theta"), m: array("m"), v: array("v"), ema: array("ema"), ...scale };
}

/** Broken weights must not replace good ones. */
function checkFinite(values: Float32Array, part: string, step: number): void {
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new Error(`"${part}" holds ${values[i]} at step ${step}, so that state was not saved. Lower --lr.`);
}
