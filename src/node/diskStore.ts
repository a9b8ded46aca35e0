// What a training run makes, in its folder: state, model, pairs, log.
import { join } from "node:path";
import type { Stage } from "../recipes/recipe.ts";
import type { Card } from "../run/card.ts";
import type { Done, Progress, Store } from "../run/job.ts";
import { loadResult, loadState, type StateIdentity, saveResult, saveState } from "./checkpoint.ts";
import type { Context } from "./context.ts";
import { saveModel } from "./models.ts";
import { storedPairs } from "./pairsFolder.ts";
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
      storedPairs(
        source,
        stage === 0 && pairsDir ? pairsDir : join(run.path, stage === 0 ? "pairs" : `pairs-${stage}`),
        context,
      ),
    log: (event) => run.log(event),
    rewind: (progress) => rewindLog(run, (event) => cameBefore(event, progress)),
  };
}

/** Whether a line of the log stays when a run goes on from there. */
function cameBefore(event: unknown, { stage, state }: Progress): boolean {
  const { step = 0, stage: of = 0 } = Object(event) as { step?: unknown; stage?: unknown };
  if (typeof step !== "number" || typeof of !== "number") return true;
  return of < stage || (of === stage && step <= state.step);
}
