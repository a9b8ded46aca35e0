// Sampling: a model compiled once, and a solver run over batches of noise. The noise of sample i depends on the seed and i
// alone, so the batch size and the number of samples change nothing.

import { clocks } from "../clock.ts";
import { classCount, nullLabel } from "../condition.ts";
import {
  conditioning,
  type Form,
  type Grid,
  type Prediction,
  startScale,
  uniformGrid,
  windowGrid,
  windowsFromSpec,
} from "../core/index.ts";
import { input, sizeOf, type Tensor, type TensorData } from "../graph/index.ts";
import { guided } from "../model.ts";
import type { Params } from "../nn/params.ts";
import { fold, key, normal } from "../random.ts";
import type { NetModel } from "../recipes/recipe.ts";
import type { Feed, Runtime } from "../runtime/index.ts";
import { integrate, type Solver } from "../solvers/index.ts";
import type { SamplerSpec } from "./card.ts";

/** One program for a batch of one size: the parameters are constants of it. */
export interface Sampler {
  readonly model: NetModel;
  readonly batch: number;
  /** Network evaluations per call: 2 with guidance. */
  readonly cost: number;
  /**
   * The (guided) prediction at x [batch, ...sampleShape], all at time t, under the conditions that come with data. `next`
   * is the time of the state that it is asked for: only models that are told the span between the two look at it.
   */
  predict(x: Float32Array, t: number, cond: CondValues, next?: number): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** Values [batch, ...shape] of a model's conditions. */
export type CondValues = Readonly<Record<string, TensorData>>;

/**
 * `guidance` is null + g·(conditional − null); 1 is none. A network that is told its guidance (LCM) is told g − 1, and
 * evaluated once. Throws a RangeError for guidance of a model without conditions.
 */
export async function sampler(
  model: NetModel,
  params: Params,
  runtime: Runtime,
  batch: number,
  { guidance = 1 }: { guidance?: number } = {},
): Promise<Sampler> {
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`The batch is ${batch}, expected at least 1.`);
  const all = clocks(batch);
  const [clock, after] = [all.clock("t"), all.clock("next")];
  const x = input("x", [batch, ...model.sampleShape]);
  const told = model.conditions.guidance !== undefined;
  const cond: Record<string, Tensor> = {};
  for (const [name, { shape, dtype, given }] of Object.entries(model.conditions))
    if (given === "data") cond[name] = input(name, [batch, ...shape], dtype);
  if (told) cond.guidance = clock.column(() => guidance - 1, 1);
  if (model.conditions.span) cond.span = clock.with([after], (t, next) => t - next, 1);
  const asked = told ? model : guided(model, guidance);
  const program = await runtime.compile({ y: asked.apply(params, x, clock, cond) });
  return {
    model,
    batch,
    cost: told || guidance === 1 ? 1 : 2,
    async predict(x, t, cond, next = t) {
      const feeds: Record<string, Feed> = { x };
      for (const [name, { given }] of Object.entries(model.conditions)) if (given === "data") feeds[name] = cond[name];
      const fill = (value: number) => new Float64Array(batch).fill(value);
      Object.assign(feeds, all.feeds({ t: fill(t), next: fill(next) }));
      return (await program.run(feeds)).y.data as Float32Array;
    },
    dispose: () => program.dispose(),
  };
}

/** Conditions of zeros, where it does not matter what is given. */
export const nothingGiven = ({ model, batch }: Pick<Sampler, "model" | "batch">): CondValues =>
  Object.fromEntries(
    Object.entries(model.conditions).flatMap(([name, { shape, dtype, given }]) => {
      const size = batch * sizeOf(shape);
      const zeros = dtype === "int64" ? new BigInt64Array(size) : new Float32Array(size);
      return given === "data" ? [[name, zeros]] : [];
    }),
  );

/** The time of the state after the one at t; undefined for a time within a step. */
const nextOf = (times: Grid, t: number): number | undefined => {
  const k = times.indexOf(t);
  return k < 0 ? undefined : times[k + 1];
};

export interface SampleOptions {
  readonly n: number;
  readonly seed: number;
  readonly solver: Solver;
  readonly times: Grid;
  /** The label of every sample; default: sample i has label i modulo the number of classes. */
  readonly label?: number;
  /** Other conditions of the samples from … from + count − 1, for models that have more than labels. */
  readonly cond?: (from: number, count: number) => CondValues;
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
  /** What they were conditioned on, [count, ...] each. */
  readonly cond: CondValues;
  /** Network evaluations per sample, both parts of a guided one counted. */
  readonly nfe: number;
  /** With `keepStates`: the states at all times. */
  readonly states?: readonly Float32Array[];
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
  const classes = classCount(model.conditions);
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
    const labels = BigInt64Array.from({ length: batch }, (_, i) => BigInt(label ?? (at + i) % Math.max(1, classes)));
    const cond = { ...o.cond?.(at, batch), ...(model.conditions.labels ? { labels } : {}) };
    let nfe = 0;
    const states: Float32Array[] = [start];
    const x = await integrate<Float32Array>(solver, {
      form: model.form,
      prediction: model.prediction,
      times,
      x: start,
      predict: (state, t) => sampler.predict(state, t, cond, nextOf(times, t)),
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
      cond: Object.fromEntries(
        Object.entries(cond).map(([name, values]) => [
          name,
          values.slice(0, count * sizeOf(model.conditions[name].shape)),
        ]),
      ),
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
    cond: Object.fromEntries(Object.keys(parts[0].cond).map((name) => [name, joined(parts.map((p) => p.cond[name]))])),
    nfe,
    ...(states ? { states: states.map((_, k) => join((p) => p.states?.[k] ?? p.x)) } : {}),
  };
}

const concat = (parts: readonly Float32Array[]): Float32Array => joined(parts) as Float32Array;

function joined(parts: readonly TensorData[]): TensorData {
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  let at = 0;
  const fill = <T extends TensorData>(out: T): T => {
    for (const part of parts) {
      (out as { set(from: TensorData, at: number): void }).set(part, at);
      at += part.length;
    }
    return out;
  };
  if (parts[0] instanceof BigInt64Array) return fill(new BigInt64Array(total));
  return parts[0] instanceof Uint8Array ? fill(new Uint8Array(total)) : fill(new Float32Array(total));
}

function checkLabel({ conditions }: NetModel, label: number | undefined): void {
  if (label === undefined) return;
  if (!conditions.labels) throw new RangeError(`Class ${label} was asked for, but the model has no classes.`);
  const last = (conditions.labels.rows ?? 1) - 1;
  if (!Number.isInteger(label) || label < 0 || label > last)
    throw new RangeError(
      `Class ${label} was asked for, expected 0 to ${last}${nullLabel(conditions) === last ? ' (the last means "no class")' : ""}.`,
    );
}

function checkFinite(x: Float32Array, length: number, solver: Solver, steps: number): void {
  for (let i = 0; i < length; i++)
    if (!Number.isFinite(x[i]))
      throw new Error(
        `${solver.name} with ${steps} steps ended at ${x[i]}. The guidance may be too strong, the weights broken, or the form singular at an end of the grid${solver.name === "ddim" ? "" : "; try ddim"}.`,
      );
}
