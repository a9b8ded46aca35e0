// What a training run makes, in its folder: state, model, pairs, log.
import { join } from "node:path";
import { sha256 } from "../hash.ts";
import type { PairSource, Stage } from "../recipes/recipe.ts";
import type { Card } from "../run/card.ts";
import type { Done, Progress, Store } from "../run/job.ts";
import { type SampleOptions, sampler, samplingGrid } from "../run/sample.ts";
import { solverByName } from "../solvers/index.ts";
import { loadResult, loadState, type StateIdentity, saveResult, saveState } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { type BaseWeights, saveLowRank } from "./lowRankModel.ts";
import { saveModel } from "./models.ts";
import { bytesPerPair, storedPairs } from "./pairsFolder.ts";
import { type RunDir, rewindLog } from "./runDir.ts";

export interface DiskStoreOptions {
  readonly run: RunDir;
  readonly identity: StateIdentity;
  readonly card: (stage: Stage, done: Done) => Card;
  /** Where the pairs of the first stage are kept; default inside the run. */
  readonly pairsDir?: string;
  /** The teacher's own weights, where only a low-rank change is trained: the model is the two together. */
  readonly base?: BaseWeights;
  /** Conditions of pairs by their index, for models that are told more than labels; identity.data says which. */
  readonly cond?: SampleOptions["cond"];
}

export function diskStore(options: DiskStoreOptions, context: Context): Store {
  const { run, identity, card, pairsDir, base } = options;
  return {
    load: () => loadState(run, identity),
    save: (progress) => saveState(run, progress, identity),
    loadResult: (stage, spec) => loadResult(run, stage, spec),
    saveResult: (stage, _, theta) => saveResult(run, stage, theta),
    saveModel: (stage, theta, done) => {
      const { spec } = stage.players[0];
      const { lowRank } = stage.network;
      return lowRank && base
        ? saveLowRank(run.model, card(stage, done), { base, frozen: lowRank, spec, theta })
        : saveModel(run.model, card(stage, done), spec, theta, stage.network);
    },
    pairs: (source, stage) =>
      pairsOf(
        source,
        stage === 0 && pairsDir ? pairsDir : join(run.path, stage === 0 ? "pairs" : `pairs-${stage}`),
        options,
        context,
      ),
    log: (event) => run.log(event),
    rewind: (progress) => rewindLog(run, (event) => cameBefore(event, progress)),
  };
}

async function pairsOf(source: PairSource, folder: string, { cond, identity }: DiskStoreOptions, context: Context) {
  const { teacher, guidance, solver: name, steps, pairs: n } = source;
  const { model, params, theta } = teacher;
  const solver = solverByName(name);
  // Small enough to lose little, and at most 16 MB.
  const perShard = Math.max(1, Math.min(256, Math.floor(16e6 / bytesPerPair(model))));
  const own = teacher.asked ?? (await sha256(new Uint8Array(theta.buffer, theta.byteOffset, theta.byteLength)));
  // Of a low-rank change the weights that it is of count too.
  const hash = teacher.network.lowRank ? `${identity.teacher} ${own}` : own;
  const request = {
    folder,
    identity: {
      ...{ teacher: hash, solver: solver.name, steps, guidance, seed: context.seed },
      ...(cond ? { data: identity.data } : {}),
    },
    cond,
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
