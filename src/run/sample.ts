// Sampling: a model compiled once, and a solver run over batches of noise. The noise of sample i depends on the seed and i
// alone, so the batch size and the number of samples change nothing.

import {
  conditioning,
  type Form,
  type Grid,
  type Prediction,
  uniformGrid,
  windowGrid,
  windowsFromSpec,
} from "../core/index.ts";
import { input } from "../graph/index.ts";
import { guided } from "../model.ts";
import type { Params } from "../nn/params.ts";
import { times } from "../pair.ts";
import { fold, key, normal } from "../random.ts";
import type { NetModel } from "../recipes/plan.ts";
import type { Feed, Runtime } from "../runtime/index.ts";
import { integrate, type Solver } from "../solvers/index.ts";
import type { SamplerSpec } from "./card.ts";

/** One program for a batch of one size: the parameters are constants of it. */
export interface Sampler {
  readonly model: NetModel;
  readonly batch: number;
  /** Network evaluations per call: 2 with guidance. */
  readonly cost: number;
  /** The (guided) prediction at x [batch, ...sampleShape], all at time t. `labels` [batch] are ignored without classes. */
  denoise(x: Float32Array, t: number, labels: BigInt64Array): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** `guidance` is null + g·(conditional − null); 1 is none. Throws a RangeError for guidance without classes. */
export async function sampler(
  model: NetModel,
  params: Params,
  runtime: Runtime,
  batch: number,
  { guidance = 1 }: { guidance?: number } = {},
): Promise<Sampler> {
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`The batch is ${batch}, expected at least 1.`);
  const clock = times(batch);
  const x = input("x", [batch, ...model.sampleShape]);
  const conditional = model.labelCount !== null;
  const labels = conditional ? input("labels", [batch], "int64") : undefined;
  const program = await runtime.compile({ y: guided(model, guidance).apply(params, x, clock, labels) });
  return {
    model,
    batch,
    cost: guidance === 1 ? 1 : 2,
    async denoise(x, t, labels) {
      const feeds: Record<string, Feed> = { x, ...clock.feeds(new Float64Array(batch).fill(t)) };
      if (conditional) feeds.labels = labels;
      return (await program.run(feeds)).y.data as Float32Array;
    },
    dispose: () => program.dispose(),
  };
}

export interface SampleOptions {
  readonly n: number;
  readonly seed: number;
  readonly solver: Solver;
  readonly times: Grid;
  /** The label of every sample; default: sample i has label i modulo the number of classes. */
  readonly label?: number;
  /** Index of the first sample. Default 0. */
  readonly from?: number;
  /** Which noise of the seed. Default "sample". */
  readonly stream?: string;
  /** Whether to keep the states at all times. */
  readonly keepStates?: boolean;
  /** Told after every step of every batch, in sample-steps: samples times steps. */
  readonly onStep?: (progress: { readonly done: number; readonly total: number }) => void;
}

export interface SampleEvent {
  readonly kind: "samples";
  /** Index of the first of them, and how many. */
  readonly from: number;
  readonly count: number;
  /** [count, ...sampleShape] at t = times.at(-1), and the states at times[0] that they come from. */
  readonly x: Float32Array;
  readonly start: Float32Array;
  readonly labels: BigInt64Array;
  /** Network evaluations per sample, both parts of a guided one counted. */
  readonly nfe: number;
  /** With `keepStates`: the states at all times. */
  readonly states?: readonly Float32Array[];
}

/**
 * What standard normal noise is multiplied with to start at time t: sigma(t). Tables start from the noise itself, as
 * diffusers does (init_noise_sigma 1), even where their last sigma is less than 1.
 */
export function startScale(form: Form, t: number): number {
  const base = form.spec.kind === "chord" ? form.spec.base : form.spec;
  return base.kind === "table" ? 1 : form.at(t)[1];
}

/**
 * Falling times of a card's sampler. A prediction that says nothing about the data at pure noise (eps where alpha = 0)
 * starts at t = 0.99, where an error of eps moves x0 a hundredfold, as it does at the end of vp.
 * Throws a RangeError with both numbers for fewer steps than windows.
 */
export function samplingGrid(form: Form, spec: SamplerSpec["grid"], steps: number, prediction: Prediction): Grid {
  if (spec.kind === "windows") return windowGrid(windowsFromSpec(spec.windows), steps);
  if (form.windows) return windowGrid(form.windows, steps);
  const blind = !Number.isFinite(conditioning(form.at(form.tMax), prediction.row(form, form.tMax)));
  const from = blind ? 0.99 * form.tMax : form.tMax;
  // Many steps on a form that was cut off short of the data end there, and jump to the data from it.
  const short = steps > 1 && from / steps < form.tMin - 1e-9;
  return short ? [...uniformGrid(steps - 1, { from, to: form.tMin }), 0] : uniformGrid(steps, { from });
}

/** Yields the samples batch by batch. Throws a RangeError for a wrong label or plan, an Error where a sample is not finite. */
export async function* sample(sampler: Sampler, o: SampleOptions): AsyncGenerator<SampleEvent> {
  const { model, batch } = sampler;
  const { n, seed, solver, times, label, from: first = 0, stream = "sample" } = o;
  if (!Number.isInteger(n) || n < 1) throw new RangeError(`The number of samples is ${n}, expected at least 1.`);
  checkLabel(model, label);
  const root = fold(key(seed), stream);
  const size = model.sampleShape.reduce((a, b) => a * b, 1);
  const scale = startScale(model.form, times[0]);
  const classes = Math.max(1, (model.labelCount ?? 1) - 1);
  const steps = times.length - 1;
  /** Normal numbers of each sample, the ones that fill up the last batch included. */
  const draw = (at: number, ...data: (string | number)[]) => {
    const out = new Float32Array(batch * size);
    for (let i = 0; i < batch; i++) normal(fold(root, at + i, ...data), size, out.subarray(i * size, (i + 1) * size));
    return out;
  };
  for (let done = 0; done < n; done += batch) {
    const at = first + done;
    const count = Math.min(batch, n - done);
    const noise = draw(at);
    const start: Float32Array = scale === 1 ? noise : noise.map((v) => v * scale);
    const labels = BigInt64Array.from({ length: batch }, (_, i) => BigInt(label ?? (at + i) % classes));
    let nfe = 0;
    const states: Float32Array[] = [start];
    const x = await integrate<Float32Array>(solver, {
      form: model.form,
      prediction: model.prediction,
      times,
      x: start,
      denoise: (state, t) => sampler.denoise(state, t, labels),
      noise: (k) => draw(at, "step", k),
      onStep: (event) => {
        nfe = event.nfe;
        if (o.keepStates) states.push(event.x);
        o.onStep?.({ done: done * steps + count * (event.k + 1), total: n * steps });
      },
    });
    const part = (values: Float32Array) => values.slice(0, count * size);
    checkFinite(x, count * size, solver, steps);
    yield {
      kind: "samples",
      from: at,
      count,
      x: part(x),
      start: part(start),
      labels: labels.slice(0, count),
      nfe: nfe * sampler.cost,
      ...(o.keepStates ? { states: states.map(part) } : {}),
    };
  }
}

export interface Samples extends Omit<SampleEvent, "kind" | "from"> {}

/** All samples of `sample` at once. */
export async function sampleAll(sampler: Sampler, o: SampleOptions): Promise<Samples> {
  const parts: SampleEvent[] = [];
  for await (const part of sample(sampler, o)) parts.push(part);
  const { nfe, states } = parts[0];
  const join = (pick: (part: SampleEvent) => Float32Array) => concat(parts.map(pick));
  return {
    count: o.n,
    x: join((p) => p.x),
    start: join((p) => p.start),
    labels: BigInt64Array.from(parts.flatMap((p) => [...p.labels])),
    nfe,
    ...(states ? { states: states.map((_, k) => join((p) => p.states?.[k] ?? p.x)) } : {}),
  };
}

function concat(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function checkLabel({ labelCount }: NetModel, label: number | undefined): void {
  if (label === undefined) return;
  if (labelCount === null) throw new RangeError(`Class ${label} was asked for, but the model has no classes.`);
  if (!Number.isInteger(label) || label < 0 || label >= labelCount)
    throw new RangeError(`Class ${label} was asked for, expected 0 to ${labelCount - 1} (the last means "no class").`);
}

function checkFinite(x: Float32Array, length: number, solver: Solver, steps: number): void {
  for (let i = 0; i < length; i++)
    if (!Number.isFinite(x[i]))
      throw new Error(
        `${solver.name} with ${steps} steps ended at ${x[i]}. The guidance may be too strong, the weights broken, or the form singular at an end of the grid${solver.name === "ddim" ? "" : "; try ddim"}.`,
      );
}
