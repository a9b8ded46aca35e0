// What a training run makes, in its folder: state, model, pairs, log.
import { join } from "node:path";
import { sha256 } from "../hash.ts";
import type { PairSource, Stage } from "../recipes/recipe.ts";
import type { Card } from "../run/card.ts";
import type { Done, Progress, Store } from "../run/job.ts";
import { sampler, samplingGrid } from "../run/sample.ts";
import { solverByName } from "../solvers/index.ts";
import { loadResult, loadState, type StateIdentity, saveResult, saveState } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { saveModel } from "./models.ts";
import { bytesPerPair, storedPairs } from "./pairsFolder.ts";
import { type RunDir, rewindLog } from "./runDir.ts";

export interface DiskStoreOptions {
  readonly run: RunDir;
  readonly identity: StateIdentity;
  readonly card: (stage: Stage, done: Done) => Card;
  /** Where the pairs of the first stage are kept; default inside the run. */
  readonly pairsDir?: string;
}

export function diskStore({ run, identity, card, pairsDir }: DiskStoreOptions, context: Context): Store {
  return {
    load: () => loadState(run, identity),
    save: (progress) => saveState(run, progress, identity),
    loadResult: (stage, spec) => loadResult(run, stage, spec),
    saveResult: (stage, _, theta) => saveResult(run, stage, theta),
    saveModel: (stage, theta, done) =>
      saveModel(run.model, card(stage, done), stage.players[0].spec, theta, stage.network),
    pairs: (source, stage) =>
      pairsOf(
        source,
        stage === 0 && pairsDir ? pairsDir : join(run.path, stage === 0 ? "pairs" : `pairs-${stage}`),
        context,
      ),
    log: (event) => run.log(event),
    rewind: (progress) => rewindLog(run, (event) => cameBefore(event, progress)),
  };
}

/** Pairs of a teacher in a folder: those that are there are read, the others made. */
export async function pairsOf(source: PairSource, folder: string, context: Context) {
  const { teacher, guidance, solver: name, steps, pairs: n } = source;
  const { model, params, theta } = teacher;
  const solver = solverByName(name);
  // Small enough to lose little, and at most 16 MB.
  const perShard = Math.max(1, Math.min(256, Math.floor(16e6 / bytesPerPair(model))));
  const hash = teacher.asked ?? (await sha256(new Uint8Array(theta.buffer, theta.byteOffset, theta.byteLength)));
  const request = {
    folder,
    identity: { teacher: hash, solver: solver.name, steps, guidance, seed: context.seed },
    n,
    perShard,
    seed: context.seed,
    solver,
    times: samplingGrid(model.form, teacher.sampler.grid, steps, model.prediction),
  };
  const makeSampler = () => sampler(model, params, context.runtime, Math.min(64, perShard), { guidance });
  return storedPairs(makeSampler, model, request, context);
}

/** Whether a line of the log stays when a run goes on from there. */
function cameBefore(event: unknown, { stage, state }: Progress): boolean {
  const { step = 0, stage: of = 0 } = Object(event) as { step?: unknown; stage?: unknown };
  if (typeof step !== "number" || typeof of !== "number") return true;
  return of < stage || (of === stage && step <= state.step);
}
