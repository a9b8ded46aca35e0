// The store of a training in memory, and the pairs that it is given.

import { writeSafetensors } from "../data/safetensors.ts";
import { sizeOf, type TensorData } from "../graph/index.ts";
import { unflatten } from "../nn/params.ts";
import type { PairSource, Stage, Start } from "../recipes/recipe.ts";
import { startOf } from "../recipes/start.ts";
import type { Card } from "../run/card.ts";
import type { Done, Progress, Store } from "../run/job.ts";
import { progressOf } from "../run/modelFile.ts";
import { type Pairs, teacherPairs } from "../run/pairs.ts";
import { sampler, samplingGrid } from "../run/sample.ts";
import type { Runtime } from "../runtime/index.ts";
import { solverByName } from "../solvers/index.ts";

/** A model as it stands. */
export interface KeptModel {
  /** To sample, or as the teacher of another run. */
  readonly start: Start;
  readonly card: Card;
}

interface Kept {
  readonly model: KeptModel;
  /** model.safetensors */
  weights(): Uint8Array;
}

export function memoryStore(cardOf: (stage: Stage, done: Done) => Card, make: (source: PairSource) => Promise<Pairs>) {
  let progress: Progress | undefined;
  let kept: Kept | undefined;
  const lines: object[] = [];
  const results = new Map<number, Float32Array>();
  const pairs = new Map<number, Promise<Pairs>>();
  const store: Store = {
    load: async () => progress,
    async save(now) {
      progress = now;
    },
    async loadResult(stage) {
      const found = results.get(stage);
      if (!found) throw new Error(`There is no result of stage ${stage}.`);
      return found;
    },
    async saveResult(stage, _, theta) {
      results.set(stage, theta);
    },
    async saveModel(stage, theta, done) {
      const card = cardOf(stage, done);
      const { spec } = stage.players[0];
      const { model, network, timeInput, sampler } = stage;
      kept = {
        model: { start: startOf({ model, network, timeInput, sampler, spec, theta }), card },
        weights: () => writeSafetensors(unflatten(spec, theta), progressOf(card)),
      };
    },
    async pairs(source, stage) {
      const made = pairs.get(stage) ?? make(source);
      pairs.set(stage, made);
      // What was not made to its end is made again.
      made.catch(() => pairs.delete(stage));
      return made;
    },
    async log(event) {
      lines.push(event);
    },
    async rewind({ stage, state }) {
      const stays = (event: object) => {
        const { step = 0, stage: of = 0 } = event as { step?: number; stage?: number };
        return of < stage || (of === stage && step <= state.step);
      };
      lines.splice(0, lines.length, ...lines.filter(stays));
    },
  };
  return { ...store, lines, kept: () => kept };
}

export interface PairMaking {
  readonly runtime: Runtime;
  readonly seed: number;
  readonly onPairs?: (progress: { readonly done: number; readonly total: number }) => void;
  readonly signal?: AbortSignal;
}

/** Pairs that go through the network together. */
const AT_ONCE = 256;

export async function makePairs(
  { teacher, solver, steps, guidance, pairs: n }: PairSource,
  { runtime, seed, onPairs, signal }: PairMaking,
): Promise<Pairs> {
  const { model, params } = teacher;
  const ready = await sampler(model, params, runtime, Math.min(AT_ONCE, n), { guidance });
  const times = samplingGrid(model.form, teacher.sampler.grid, steps, model.prediction);
  const size = sizeOf(model.sampleShape);
  const [x, noise] = [new Float32Array(n * size), new Float32Array(n * size)];
  const cond: Record<string, TensorData> = {};
  try {
    let done = 0;
    for await (const part of teacherPairs(ready, {
      n,
      perShard: ready.batch,
      seed,
      solver: solverByName(solver),
      times,
    })) {
      signal?.throwIfAborted();
      x.set(part.x, done * size);
      noise.set(part.noise, done * size);
      const count = part.x.length / size;
      for (const [name, values] of Object.entries(part.cond)) {
        const each = values.length / count;
        cond[name] ??= values instanceof BigInt64Array ? new BigInt64Array(n * each) : new Float32Array(n * each);
        (cond[name] as Float32Array).set(values as Float32Array, done * each);
      }
      done += count;
      onPairs?.({ done, total: n });
    }
  } finally {
    await ready.dispose();
  }
  return { x, noise, cond };
}
