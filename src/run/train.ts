// The training loop: an async generator of events. It holds the state, and reads and writes no files.

import { stratified } from "../core/index.ts";
import { initialize } from "../nn/initialize.ts";
import type { ParamSpec } from "../nn/params.ts";
import { type AdamWOptions, adamwDefaults, adamwScalars } from "../optim/adamw.ts";
import { emaDecay } from "../optim/ema.ts";
import { type RateSchedule, rateAt } from "../optim/schedule.ts";
import { fold, key, normal, uniform } from "../random.ts";
import type { Plan } from "../recipes/plan.ts";
import type { Feed, Runtime } from "../runtime/index.ts";
import { type StepOutput, stepProgram } from "./step.ts";

/** Everything a run needs to go on exactly as if it had not stopped; random numbers follow from seed and step. */
export interface TrainState {
  /** Steps done. */
  readonly step: number;
  readonly theta: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
  readonly ema: Float32Array;
}

/** What a step learns from: x [B, …] in [-1, 1]; `noise` only from stored pairs. */
export interface TrainBatch {
  readonly x: Float32Array;
  readonly labels: BigInt64Array;
  readonly noise?: Float32Array;
}

export interface TrainOptions {
  readonly batch: number;
  /** Steps in all, those already done included. */
  readonly steps: number;
  readonly rate: RateSchedule;
  /** Limit of the EMA's decay. */
  readonly ema: number;
  readonly clip: number;
  /** Share of labels dropped, for classifier-free guidance; 0 for a model without labels. */
  readonly dropLabels: number;
  /** Less memory, more time; see `StepOptions`. */
  readonly gradientCheckpointing?: boolean;
  readonly seed: number;
  readonly saveEvery: number;
  readonly adamw?: AdamWOptions;
}

export interface TrainEvent {
  readonly kind: "step" | "save";
  readonly step: number;
  readonly images: number;
  readonly loss: number;
  /** Norm of the gradient before clipping. */
  readonly norm: number;
  readonly rate: number;
  /** A copy of the state, with "save". */
  readonly state?: TrainState;
}

/** Training went wrong at a step; the last saved state is good. */
export class NotFinite extends Error {
  readonly step: number;
  constructor(step: number, what: string) {
    super(
      `${what} is not a finite number at step ${step}. The last saved state is unharmed; resume from it with a lower ` +
        "learning rate (--lr), a longer warm-up, or check the data for values outside [-1, 1].",
    );
    this.name = "NotFinite";
    this.step = step;
  }
}

export function freshState(theta: Float32Array): TrainState {
  const zeros = () => new Float32Array(theta.length);
  return { step: 0, theta: theta.slice(), m: zeros(), v: zeros(), ema: theta.slice() };
}
export const randomState = (spec: readonly ParamSpec[], seed: number): TrainState =>
  freshState(initialize(spec, fold(key(seed), "init")));

/**
 * Runs steps state.step + 1 … steps, yielding an event per step, and one with a copy of the state every `saveEvery`
 * steps and at the end. The same seed and state give the same bytes.
 * @throws NotFinite when a loss or gradient is not finite: before the broken weights could be saved.
 */
export async function* train(
  plan: Plan,
  spec: readonly ParamSpec[],
  data: (step: number) => TrainBatch,
  runtime: Runtime,
  start: TrainState,
  o: TrainOptions,
): AsyncGenerator<TrainEvent> {
  const adam = o.adamw ?? adamwDefaults;
  const { outputs, times, conditional } = stepProgram(plan, spec, { ...o, adamw: adam });
  const program = await runtime.compile<StepOutput>(outputs);
  const root = key(o.seed);
  const nullLabel = BigInt((plan.model.labelCount ?? 1) - 1);
  // Two sets of buffers, read and written in turn.
  let now: Omit<TrainState, "step"> = {
    theta: start.theta.slice(),
    m: start.m.slice(),
    v: start.v.slice(),
    ema: start.ema.slice(),
  };
  let next: Omit<TrainState, "step"> = freshState(now.theta);
  const one = (x: number) => Float32Array.of(x);
  const taken = new Set(
    program.inputs.map((x) => (x.source.kind === "input" ? (x.source.part?.of ?? x.source.name) : "")),
  );
  try {
    for (let step = start.step + 1; step <= o.steps; step++) {
      const drawn = data(step - 1);
      const offset = uniform(fold(root, "time", step), 1)[0];
      const ts = stratified(o.batch, offset).map(plan.times);
      const rate = rateAt(o.rate, step, o.steps);
      const scalars = adamwScalars(step, rate, adam);
      const feeds: Record<string, Feed> = {
        ...now,
        rate: one(scalars.rate),
        decay: one(scalars.decay),
        floor: one(scalars.floor),
        emaDecay: one(emaDecay(step, o.ema)),
        x: drawn.x,
        noise: drawn.noise ?? normal(fold(root, "noise", step), drawn.x.length),
        ...times.feeds(ts),
      };
      if (conditional) {
        const dropped = drawn.labels.slice();
        uniform(fold(root, "drop", step), o.batch).forEach((q, i) => {
          if (q < o.dropLabels) dropped[i] = nullLabel;
        });
        feeds.labels = drawn.labels;
        feeds.dropped = dropped;
      }
      // A method need not use every input: stored pairs have no undropped labels, say.
      for (const name of Object.keys(feeds)) if (!taken.has(name)) delete feeds[name];
      const { theta, m, v, ema } = next;
      const fetched = await program.run(feeds, { theta, m, v, ema });
      const loss = (fetched.loss.data as Float32Array)[0];
      const norm = (fetched.norm.data as Float32Array)[0];
      if (!Number.isFinite(loss)) throw new NotFinite(step, `The loss (${loss})`);
      if (!Number.isFinite(norm)) throw new NotFinite(step, `The gradient's norm (${norm})`);
      [now, next] = [{ theta, m, v, ema }, now];
      const event = { step, images: step * o.batch, loss, norm, rate };
      yield { kind: "step", ...event };
      if (step % o.saveEvery === 0 || step === o.steps) {
        const state = { step, theta: theta.slice(), m: m.slice(), v: v.slice(), ema: ema.slice() };
        yield { kind: "save", ...event, state };
      }
    }
  } finally {
    await program.dispose();
  }
}
