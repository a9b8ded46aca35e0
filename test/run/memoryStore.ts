// A store in memory that can break down at any of its writes, before or after it; and small starts for jobs.

import { eps, linear, velocity, vp } from "../../src/core/index.ts";
import type { Dataset } from "../../src/data/dataset.ts";
import { fold, key, normal } from "../../src/random.ts";
import type { Start } from "../../src/recipes/recipe.ts";
import { startOf } from "../../src/recipes/start.ts";
import type { Done, Progress, Schedule, Store } from "../../src/run/job.ts";
import { type Pairs, teacherPairs } from "../../src/run/pairs.ts";
import { sampler, samplingGrid } from "../../src/run/sample.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { solverByName } from "../../src/solvers/index.ts";
import { tinyModel } from "./helpers.ts";

export interface Kept {
  progress?: Progress;
  readonly results: Map<number, Float32Array>;
  readonly pairs: Map<number, Pairs>;
  model?: { readonly theta: Float32Array; readonly done: Done };
  log: object[];
  /** Names of the calls that wrote, in order. */
  readonly writes: string[];
}

export const empty = (): Kept => ({ results: new Map(), pairs: new Map(), log: [], writes: [] });

export class BrokeDown extends Error {}

/** `breaks` is told the number of each write, from 1, and whether it has happened; true: the process ends there. */
export function memoryStore(
  kept: Kept,
  runtime: Runtime,
  breaks: (write: number, done: boolean) => boolean = () => false,
): Store {
  let count = 0;
  const write = async (name: string, act: () => void) => {
    count++;
    if (breaks(count, false)) throw new BrokeDown(`before ${name}`);
    act();
    kept.writes.push(name);
    if (breaks(count, true)) throw new BrokeDown(`after ${name}`);
  };
  return {
    load: async () => structuredClone(kept.progress),
    save: (progress) =>
      write("save", () => {
        kept.progress = structuredClone(progress);
      }),
    async loadResult(stage) {
      const found = kept.results.get(stage);
      if (!found) throw new Error(`There is no result of stage ${stage}.`);
      return found.slice();
    },
    saveResult: (stage, _, theta) => write(`result ${stage}`, () => kept.results.set(stage, theta.slice())),
    saveModel: (_, theta, done) =>
      write("model", () => {
        kept.model = { theta: theta.slice(), done: structuredClone(done) };
      }),
    async pairs({ teacher, solver, steps, guidance, pairs: n }, stage) {
      const known = kept.pairs.get(stage);
      if (known) return known;
      const ready = await sampler(teacher.model, teacher.params, runtime, n, { guidance });
      const times = samplingGrid(teacher.model.form, teacher.sampler.grid, steps, teacher.model.prediction);
      try {
        for await (const made of teacherPairs(ready, { n, perShard: n, seed: 1, solver: solverByName(solver), times }))
          await write(`pairs ${stage}`, () => kept.pairs.set(stage, { x: made.x, noise: made.noise, cond: made.cond }));
      } finally {
        await ready.dispose();
      }
      const made = kept.pairs.get(stage);
      if (!made) throw new Error("No pairs were made.");
      return made;
    },
    log: (event) =>
      write("log", () => {
        kept.log.push(structuredClone(event));
      }),
    async rewind({ stage, state }) {
      kept.log = kept.log.filter((event) => {
        const { step, stage: of = 0 } = event as { step: number; stage?: number };
        return of < stage || (of === stage && step <= state.step);
      });
    },
  };
}

/** An untrained teacher in the plane. */
export function tinyStart(straight = false): Start {
  const [form, prediction] = straight ? [linear(), velocity] : [vp(), eps];
  const { network, spec, theta, model } = tinyModel(form, prediction);
  return startOf({ model, network, timeInput, spec, theta });
}
const timeInput = { scale: 1000, offset: 0 };

/** Two clusters. */
export function clusters(size: number): Dataset {
  const noise = normal(fold(key(9), "clusters"), 2 * size);
  const points = noise.map((v, i) => 0.15 * v + (Math.floor(i / 2) % 2 === 0 ? 0.6 : -0.6));
  return {
    name: "clusters",
    size,
    shape: [2, 1, 1],
    classes: 0,
    batch: (indices) => ({
      x: Float32Array.from({ length: 2 * indices.length }, (_, k) => points[2 * indices[k >> 1] + (k & 1)]),
      labels: new BigInt64Array(indices.length),
    }),
  };
}

export const schedule = (o: Partial<Schedule> & Pick<Schedule, "images">): Schedule => ({
  batch: 4,
  rate: { kind: "constant", peak: 1e-3, warmup: 0, final: 1 },
  ema: 0.9,
  clip: 1,
  dropLabels: 0,
  precision: "float32",
  gradientCheckpointing: false,
  saveEvery: 8,
  previewEvery: 0,
  ...o,
});
