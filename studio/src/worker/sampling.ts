// Samples and measures the models that the page shows. What a reader waits for goes before what fills the table.
import {
  classCount,
  fold,
  key,
  measurePaths,
  type Runtime,
  type Sampler,
  type SamplerSpec,
  type Samples,
  type Start,
  sample,
  sampler,
  samplingGrid,
  solverByName,
} from "fewstep/browser";
import { windowsFromSpec } from "fewstep/core";
import { rows, slicedWasserstein } from "fewstep/metrics";
import { turn } from "../lib/message.ts";
import { openFiles } from "./model.ts";
import type { Calls, MeasureAsk, Measures, ModelFacts, SampleAsk, Sampled } from "./protocol.ts";

/** Points that go through the network together. */
const BATCH = 1024;
/** Samples behind a distance, and behind straightness. */
const MEASURED = 2048;

interface Held {
  readonly start: Start;
  readonly spec: SamplerSpec;
  readonly ready: Map<number, Promise<Sampler>>;
}

export function samplers(runtime: Runtime) {
  const slots = new Map<string, Held>();
  const asked = new Map<string, number>();
  let urgent = 0;

  /** A sampler of so many at a time, compiled once. A patient one lets others go first. */
  async function ready(held: Held, batch: number, patient: boolean): Promise<Sampler> {
    const { model, params } = held.start;
    const made = held.ready.get(batch) ?? sampler(model, params, runtime, batch);
    held.ready.set(batch, made);
    const own = await made;
    if (!patient) return own;
    return {
      ...own,
      async predict(...args) {
        while (urgent > 0) await turn();
        return own.predict(...args);
      },
    };
  }

  const of = (slot: string): Held => {
    const held = slots.get(slot);
    if (!held) throw new Error(`There is no model in "${slot}" yet.`);
    return held;
  };

  const plan = ({ start, spec }: Held, steps: number) => ({
    solver: solverByName(spec.solver),
    times: samplingGrid(start.model.form, spec.grid, steps, start.model.prediction),
  });

  return {
    async model({ slot, ...files }: Calls["model"]["ask"]): Promise<ModelFacts> {
      const { start, notes } = await openFiles(files);
      const before = slots.get(slot);
      slots.set(slot, { start, spec: start.sampler, ready: new Map() });
      for (const old of before?.ready.values() ?? []) void old.then((ended) => ended.dispose()).catch(() => {});
      const { model, sampler, theta } = start;
      const inGrid = sampler.grid.kind === "windows" ? windowsFromSpec(sampler.grid.windows).count : 1;
      return {
        parameters: theta.length,
        sampleShape: model.sampleShape,
        classes: classCount(model.conditions),
        steps: sampler.steps,
        fewest: Math.max(inGrid, model.form.windows?.count ?? 1),
        notes,
      };
    },

    async sample(ask: SampleAsk, tell: (part: Sampled) => void): Promise<Sampled | undefined> {
      const { slot, steps, seed, n, label } = ask;
      const held = of(slot);
      const number = (asked.get(slot) ?? 0) + 1;
      asked.set(slot, number);
      const stale = () => asked.get(slot) !== number || slots.get(slot) !== held;
      urgent++;
      try {
        const begin = performance.now();
        const { solver, times } = plan(held, steps);
        const own = await ready(held, Math.min(n, BATCH), false);
        const parts: Samples[] = [];
        const options = { n, seed, solver, times, keepStates: true, ...(label === undefined ? {} : { label }) };
        for await (const part of sample(own, options)) {
          if (stale()) return undefined;
          parts.push(part);
          if (parts.length === 1 && n > part.count) tell(joined(times, parts, begin));
        }
        return joined(times, parts, begin);
      } catch (error) {
        // A model that was replaced meanwhile is gone.
        if (stale()) return undefined;
        throw error;
      } finally {
        urgent--;
      }
    },

    async measure(ask: MeasureAsk): Promise<Measures | undefined> {
      const held = of(ask.slot);
      try {
        return await measured(held, ask);
      } catch (error) {
        if (slots.get(ask.slot) !== held) return undefined;
        throw error;
      }
    },
  };

  /** Undefined: another model has taken its place. */
  async function measured(held: Held, { slot, steps, seed, n, data }: MeasureAsk): Promise<Measures | undefined> {
    const { solver, times } = plan(held, steps);
    const own = await ready(held, BATCH, true);
    const made: Float32Array[] = [];
    let nfe = 0;
    for await (const part of sample(own, { n: Math.min(n, MEASURED), seed, solver, times })) {
      if (slots.get(slot) !== held) return undefined;
      made.push(part.x);
      nfe = part.nfe;
    }
    const x = concat(made);
    const metric = slicedWasserstein({ reference: rows(data, 2), key: fold(key(seed), "directions") });
    const distance = metric.value(metric.add(metric.init(), rows(x, 2))).value;
    // Its solver has to evaluate every state that it steps from; others are followed with DDIM on the same times.
    const { whole } = await measurePaths(own, { n: BATCH, seed, solver: solverByName("ddim"), times });
    if (slots.get(slot) !== held) return undefined;
    return {
      steps,
      nfe,
      distance,
      straightness: whole.relativeStraightness,
      firstOrder: times.length > 2 ? whole.firstOrderSteps : null,
    };
  }
}

function joined(times: readonly number[], parts: readonly Samples[], begin: number): Sampled {
  const states = times.map((_, k) => concat(parts.map((part) => part.states?.[k] ?? part.x)));
  return { times, states, nfe: parts[0].nfe, seconds: (performance.now() - begin) / 1000 };
}

function concat(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => {
    out.set(part, at);
    return at + part.length;
  }, 0);
  return out;
}
