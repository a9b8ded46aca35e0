// What a training run makes, in its folder: state, model, pairs, log.
import { join } from "node:path";
import type { Stage } from "../recipes/recipe.ts";
import type { Card } from "../run/card.ts";
import type { Done, Progress, Store } from "../run/job.ts";
import type { SampleOptions } from "../run/sample.ts";
import type { BaseWeights } from "./baseWeights.ts";
import { loadResult, loadState, type StateIdentity, saveResult, saveState } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { saveLowRank } from "./lowRankModel.ts";
import { saveModel } from "./models.ts";
import { storedPairs } from "./pairsFolder.ts";
import { type RunDir, rewindLog } from "./runDir.ts";
import type { Watcher } from "./watching.ts";

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
  /** Told what log.jsonl holds. */
  readonly watcher: Watcher;
}

export function diskStore(options: DiskStoreOptions, context: Context): Store {
  const { run, identity, card, pairsDir, base, watcher } = options;
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
      storedPairs(
        source,
        stage === 0 && pairsDir ? pairsDir : join(run.path, stage === 0 ? "pairs" : `pairs-${stage}`),
        context,
        { cond: options.cond, data: identity.data ?? undefined, base: identity.teacher ?? undefined },
      ),
    async log(event) {
      await run.log(event);
      await watcher.logged(event);
    },
    async rewind(progress) {
      await rewindLog(run, (event) => cameBefore(event, progress));
      await watcher.rewound();
    },
  };
}

/** Whether a line of the log stays when a run goes on from there. */
function cameBefore(event: unknown, { stage, state }: Progress): boolean {
  const { step = 0, stage: of = 0 } = Object(event) as { step?: unknown; stage?: unknown };
  if (typeof step !== "number" || typeof of !== "number") return true;
  return of < stage || (of === stage && step <= state.step);
}
