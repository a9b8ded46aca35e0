// The training loop: an async generator of events. It holds the state, and reads and writes no files.

import { stratified } from "../core/index.ts";
import type { Precision } from "../graph/index.ts";
import { initialize } from "../nn/initialize.ts";
import type { ParamSpec } from "../nn/params.ts";
import { type AdamWOptions, adamwDefaults, adamwScalars } from "../optim/adamw.ts";
import { emaDecay } from "../optim/ema.ts";
import { firstLossScale, type LossScale, nextLossScale } from "../optim/lossScale.ts";
import { type RateSchedule, rateAt } from "../optim/schedule.ts";
import { fold, key, normal, uniform } from "../random.ts";
import type { Plan } from "../recipes/plan.ts";
import type { Held, Runtime } from "../runtime/index.ts";
import { type StepOutput, stepProgram } from "./step.ts";

/** Everything a run needs to go on exactly as if it had not stopped; random numbers follow from seed and step. */
export interface TrainState {
  /** Steps done. */
  readonly step: number;
  readonly theta: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
  readonly ema: Float32Array;
  /** Only in half precision. */
  readonly scale?: LossScale;
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
  /** float16: products and convolutions in half precision, the state in float32, the loss scaled. Default float32. */
  readonly precision?: Precision;
}

export interface TrainEvent {
  readonly kind: "step" | "save";
  readonly step: number;
  readonly images: number;
  readonly loss: number;
  /** Norm of the gradient before clipping. */
  readonly norm: number;
  readonly rate: number;
  /** In half precision: the gradient overflowed, so the state stayed as it was. */
  readonly skipped?: boolean;
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
  const { precision = "float32" } = o;
  let lossScale = precision === "float16" ? (start.scale ?? firstLossScale) : undefined;
  const step = { ...o, adamw: adam, scaleLoss: lossScale !== undefined };
  const { outputs, times, conditional } = stepProgram(plan, spec, step);
  const program = await runtime.compile<StepOutput, StateName>(outputs, { keep: stateNames, precision });
  const root = key(o.seed);
  const nullLabel = BigInt((plan.model.labelCount ?? 1) - 1);
  // Two sets of buffers, read and written in turn; on the device, where that has a memory of its own.
  let now: State = each((name) => start[name].slice());
  let next: State = each((name) => new Float32Array(start[name].length));
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
      const scalars = adamwScalars(step - (lossScale?.skipped ?? 0), rate, adam);
      const feeds: Record<string, Held> = {
        ...now,
        rate: one(scalars.rate),
        decay: one(scalars.decay),
        floor: one(scalars.floor),
        emaDecay: one(emaDecay(step, o.ema)),
        x: drawn.x,
        noise: drawn.noise ?? normal(fold(root, "noise", step), drawn.x.length),
        ...(lossScale ? { lossScale: one(lossScale.value) } : {}),
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
      const fetched = await program.run(feeds, next);
      const made = each((name) => fetched[name].data);
      const [loss, norm] = [Number(fetched.loss.data[0]), Number(fetched.norm.data[0])];
      const finite = Number.isFinite(loss) && Number.isFinite(norm);
      if (lossScale) lossScale = nextLossScale(lossScale, finite);
      [now, next] = finite ? [made, now] : [now, made];
      if (!Number.isFinite(loss)) throw new NotFinite(step, `The loss (${loss})`);
      if (!finite && !(lossScale && lossScale.value >= SMALLEST_SCALE))
        throw new NotFinite(step, `The gradient's norm (${norm})`);
      const event = { step, images: step * o.batch, loss, norm, rate, ...(finite ? {} : { skipped: true }) };
      yield { kind: "step", ...event };
      if (step % o.saveEvery === 0 || step === o.steps) {
        yield { kind: "save", ...event, state: { step, ...(await copy(now, runtime)), scale: lossScale } };
      }
    }
  } finally {
    for (const name of stateNames) for (const held of [now[name], next[name]]) runtime.release(held);
    await program.dispose();
  }
}

/** Where halving the scale has not helped: something else is wrong. */
const SMALLEST_SCALE = 2 ** -10;

const stateNames = ["theta", "m", "v", "ema"] as const;
type StateName = (typeof stateNames)[number];
type State = Readonly<Record<StateName, Held>>;

const each = <T>(of: (name: StateName) => T): Record<StateName, T> => ({
  theta: of("theta"),
  m: of("m"),
  v: of("v"),
  ema: of("ema"),
});

async function copy(state: State, runtime: Runtime): Promise<Record<StateName, Float32Array>> {
  const read = async (name: StateName) => (await runtime.read(state[name])) as Float32Array;
  return { theta: await read("theta"), m: await read("m"), v: await read("v"), ema: await read("ema") };
}
