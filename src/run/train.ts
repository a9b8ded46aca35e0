// The training loop: an async generator of events. It holds the state, and reads and writes no files.

import { alone, type Comm } from "../comm.ts";
import type { Precision, TensorData } from "../graph/index.ts";
import { initialize } from "../nn/initialize.ts";
import type { ParamSpec } from "../nn/params.ts";
import { type AdamWOptions, adamwDefaults, adamwScalars } from "../optim/adamw.ts";
import { emaDecay } from "../optim/ema.ts";
import { firstLossScale, type LossScale, nextLossScale } from "../optim/lossScale.ts";
import { type RateSchedule, rateAt } from "../optim/schedule.ts";
import { fold, key } from "../random.ts";
import { KEPT, type Player, STUDENT, type Stage } from "../recipes/recipe.ts";
import type { Held, Runtime } from "../runtime/index.ts";
import { drawnOf, sharesOf } from "./shares.ts";
import type { Batches } from "./source.ts";
import { averagesOf, stateNames } from "./step.ts";
import { type Stepper, stepper } from "./stepper.ts";

/** What a player needs to go on; vectors [P]. */
export interface PlayerState {
  /** Times it moved: steps in which half precision overflowed are not counted. */
  readonly updates: number;
  readonly theta: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
  readonly averages: Readonly<Record<string, Float32Array>>;
}

/** Everything a stage needs to go on exactly as if it had not stopped; random numbers follow from seed and step. */
export interface TrainState {
  /** Steps done. */
  readonly step: number;
  readonly players: Readonly<Record<string, PlayerState>>;
  /** Only in half precision. */
  readonly scale?: LossScale;
}

export interface TrainOptions {
  readonly batch: number;
  /** Steps in all, those already done included. */
  readonly steps: number;
  readonly rate: RateSchedule;
  /** Limit of the decay of the student's kept average. */
  readonly ema: number;
  readonly clip: number;
  /** Share of conditions dropped, for classifier-free guidance; nothing is dropped where there are none. */
  readonly dropLabels: number;
  /** Less memory, more time; see `StepOptions`. */
  readonly gradientCheckpointing?: boolean;
  readonly seed: number;
  /** Which stage of the run this is: each has random numbers of its own. Default 0. */
  readonly stage?: number;
  /** Steps between events with the state; default: only at the end. */
  readonly saveEvery?: number;
  readonly adamw?: AdamWOptions;
  /** float16: products and convolutions in half precision, the state in float32, the loss scaled. Default float32. */
  readonly precision?: Precision;
  /** Gradients and update as two programs, as several processes need them. Default false. */
  readonly split?: boolean;
  /** The processes that share the batch: each computes its rows, and all hold the same state. Default: this one alone. */
  readonly comm?: Comm;
  /** Samples that a process computes at a time, which divide its share of the batch; default: all of that. */
  readonly microBatch?: number;
}

export interface TrainEvent {
  readonly kind: "step" | "save";
  readonly step: number;
  readonly images: number;
  /** The student's; in steps in which it does not move, its last one, and NaN before it moved. */
  readonly loss: number;
  /** Norm of the student's gradient before clipping. */
  readonly norm: number;
  readonly rate: number;
  /** Of the players that moved in this step. */
  readonly players: Readonly<Record<string, { readonly loss: number; readonly norm: number }>>;
  /** Means of the values that the stage watches. */
  readonly notes: Readonly<Record<string, number>>;
  /** In half precision: a gradient overflowed, so the state stayed as it was. */
  readonly skipped?: boolean;
  /** A copy of the state after this step. Only until the next event is asked for. */
  snapshot(): Promise<TrainState>;
  /** The same, with "save". */
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

export const freshPlayer = (theta: Float32Array, averages: readonly string[] = [KEPT]): PlayerState => ({
  updates: 0,
  theta: theta.slice(),
  m: new Float32Array(theta.length),
  v: new Float32Array(theta.length),
  averages: Object.fromEntries(averages.map((name) => [name, theta.slice()])),
});

/** The state that a stage begins with: averages start as copies. */
export const freshState = ({ players }: Pick<Stage, "players">): TrainState => ({
  step: 0,
  players: Object.fromEntries(players.map((p) => [p.name, freshPlayer(p.start, averagesOf(p))])),
});

/** Weights of a network that has not learned anything [P]. */
export const randomWeights = (spec: readonly ParamSpec[], seed: number): Float32Array =>
  initialize(spec, fold(key(seed), "init"));

/** The student's kept average [P]: what a stage is for. */
export const keptOf = (state: TrainState): Float32Array => state.players[STUDENT].averages[KEPT];

/**
 * Runs steps state.step + 1 … steps of a stage, yielding an event per step, and one with a copy of the state every
 * `saveEvery` steps and at the end. The same seed and state give the same bytes.
 * @throws NotFinite when a loss or gradient is not finite: before the broken weights could be saved.
 */
export async function* train(
  stage: Stage,
  data: Batches,
  runtime: Runtime,
  start: TrainState,
  o: TrainOptions,
): AsyncGenerator<TrainEvent> {
  checkPlayers(stage, start);
  const { precision = "float32", saveEvery = o.steps } = o;
  let lossScale = precision === "float16" ? (start.scale ?? firstLossScale) : undefined;
  const adam = o.adamw ?? adamwDefaults;
  const { comm = alone } = o;
  const { rows, share } = sharesOf(o.batch, comm, o.microBatch);
  const options = { ...o, batch: rows[0].count, share, adamw: adam, scaleLoss: lossScale !== undefined };
  const pieces = share === 1 ? (o.split ? "split" : "fused") : comm;
  const steps: Stepper = stepper(stage, runtime, options, precision, pieces);
  const root = o.stage ? fold(key(o.seed), "stage", o.stage) : key(o.seed);
  // Two sets of buffers, read and written in turn; on the device, where that has a memory of its own.
  const vectors = stage.players.flatMap(stateNames);
  let now: Record<string, Held> = Object.fromEntries(vectors.map((name) => [name, vectorOf(start, name).slice()]));
  let next: Record<string, Held> = Object.fromEntries(
    vectors.map((name) => [name, new Float32Array(vectorOf(start, name).length)]),
  );
  const updates = new Map(stage.players.map((p) => [p.name, start.players[p.name].updates]));
  const last = { loss: Number.NaN, norm: Number.NaN };
  const one = (x: number) => Float32Array.of(x);
  try {
    // What a loss asks for and nobody has is said now, and not when its player first moves.
    steps.draws(stage.players);
    for (let step = start.step + 1; step <= o.steps; step++) {
      const due = stage.players.filter(({ every = 1 }) => step % every === 0);
      const rate = rateAt(o.rate, step, o.steps);
      const scalars: Record<string, TensorData> = lossScale ? { lossScale: one(lossScale.value) } : {};
      for (const player of due) {
        const own = { ...adam, ...player.optimizer };
        const k = (updates.get(player.name) ?? 0) + 1;
        const { rate: scaled, decay, floor } = adamwScalars(k, rate * (player.optimizer?.rate ?? 1), own);
        Object.assign(scalars, {
          [`${player.name}.rate`]: one(scaled),
          [`${player.name}.decay`]: one(decay),
          [`${player.name}.floor`]: one(floor),
        });
        for (const average of averagesOf(player)) {
          const limit = average === KEPT ? o.ema : (player.averages?.[average] ?? 0);
          const moves = Math.floor(step / (player.every ?? 1));
          scalars[`${player.name}.average.${average}.decay`] = one(emaDecay(moves, limit));
        }
      }
      const written = due.flatMap(stateNames);
      const drawn = drawnOf(steps.draws(due), rows, { root, step, of: o.batch, drop: o.dropLabels }, data);
      const made = await steps.run(due, { ...now, ...scalars }, drawn, pick(next, written));
      const players = Object.fromEntries(
        due.map(({ name }) => [name, { loss: made.number(`${name}.loss`), norm: made.number(`${name}.norm`) }]),
      );
      const finite = Object.values(players).every((p) => Number.isFinite(p.loss) && Number.isFinite(p.norm));
      const before = now;
      if (lossScale) lossScale = nextLossScale(lossScale, finite);
      const swapped = { ...now, ...made.held };
      [now, next] = finite ? [swapped, { ...next, ...pick(now, written) }] : [now, { ...next, ...made.held }];
      for (const { name } of due) {
        const { loss, norm } = players[name];
        const whose = name === STUDENT ? "" : ` of the ${name}`;
        if (!Number.isFinite(loss)) throw new NotFinite(step, `The loss${whose} (${loss})`);
        if (!finite && !Number.isFinite(norm) && !(lossScale && lossScale.value >= SMALLEST_SCALE))
          throw new NotFinite(step, `The norm of the gradient${whose} (${norm})`);
        if (loss === 0 && finite) await checkMoved(name, step, before, now, runtime);
        if (finite) updates.set(name, (updates.get(name) ?? 0) + 1);
      }
      if (players[STUDENT]) Object.assign(last, players[STUDENT]);
      const held = now;
      const snapshot = async (): Promise<TrainState> => ({
        step,
        players: await copy(stage.players, held, updates, runtime),
        ...(lossScale ? { scale: lossScale } : {}),
      });
      const event = {
        step,
        images: step * o.batch,
        ...last,
        rate,
        players,
        notes: made.notes,
        snapshot,
        ...(finite ? {} : { skipped: true }),
      };
      yield { kind: "step", ...event };
      if (step % saveEvery === 0 || step === o.steps) yield { kind: "save", ...event, state: await snapshot() };
    }
  } finally {
    for (const name of vectors) for (const held of [now[name], next[name]]) runtime.release(held);
    await steps.dispose();
  }
}

/** Where halving the scale has not helped: something else is wrong. */
const SMALLEST_SCALE = 2 ** -10;

/** Throws a RangeError, one sentence for all that is wrong, before anything is computed. */
export function checkPlayers(stage: Stage, state: TrainState): void {
  const wrong = wrongPlayers(stage, state);
  if (wrong.length > 0) throw new RangeError(`${stage.name} cannot be trained: ${wrong.join("; ")}.`);
}

/** What is wrong with the players of a stage, and with a state for them. */
export function wrongPlayers({ players }: Stage, { players: states }: TrainState): readonly string[] {
  const wrong: string[] = [];
  const seen = new Set<string>();
  for (const player of players) {
    if (seen.has(player.name)) wrong.push(`two players are called "${player.name}"`);
    seen.add(player.name);
    if (player.every !== undefined && !(Number.isInteger(player.every) && player.every >= 1))
      wrong.push(`"${player.name}" moves every ${player.every} steps, expected a whole number from 1`);
    if (player.name.includes(".")) wrong.push(`"${player.name}" has a dot in its name`);
    if (player.name === STUDENT && player.averages?.[KEPT] !== undefined)
      wrong.push(`"${STUDENT}" has the average "${KEPT}" anyway, with a decay of the training's`);
    for (const [average, decay] of Object.entries(player.averages ?? {}))
      if (!(decay >= 0 && decay < 1))
        wrong.push(`the average "${average}" of "${player.name}" has the decay ${decay}, expected 0 to below 1`);
    const state = states[player.name];
    if (!state) wrong.push(`the state has no player "${player.name}"`);
    else if (state.theta.length !== player.start.length)
      wrong.push(`the state of "${player.name}" has ${state.theta.length} weights, expected ${player.start.length}`);
    else {
      const averages = averagesOf(player);
      for (const average of averages)
        if (!state.averages[average]) wrong.push(`the state of "${player.name}" has no average "${average}"`);
      for (const average of Object.keys(state.averages))
        if (!averages.includes(average))
          wrong.push(`the state of "${player.name}" has an average "${average}" that this stage has not`);
      for (const [part, { length }] of Object.entries({ m: state.m, v: state.v, ...state.averages }))
        if (length !== player.start.length)
          wrong.push(
            `"${part}" in the state of "${player.name}" has ${length} numbers, expected ${player.start.length}`,
          );
    }
  }
  for (const player of Object.keys(states))
    if (!seen.has(player)) wrong.push(`the state has a player "${player}" that this stage has not`);
  if (players[0]?.name !== STUDENT) wrong.push(`the first player is "${players[0]?.name}", expected "${STUDENT}"`);
  return wrong;
}

/** Throws where a device returned nothing: a loss of exactly 0 with weights that stay, or are all gone. */
async function checkMoved(
  name: string,
  step: number,
  before: Readonly<Record<string, Held>>,
  after: Readonly<Record<string, Held>>,
  runtime: Runtime,
): Promise<void> {
  const [was, is] = await Promise.all([before, after].map((s) => runtime.read(s[`${name}.theta`])));
  const still = is.every((value, i) => value === was[i]) || is.every((value) => value === 0);
  if (still)
    throw new Error(
      `The loss of the ${name} is exactly 0 at step ${step} and its weights did not move: the device ${runtime.device} returned nothing. Use another device.`,
    );
}

function vectorOf({ players }: TrainState, name: string): Float32Array {
  const [player, part, average] = name.split(".");
  const state = players[player];
  if (part === "average") return state.averages[average];
  return part === "theta" ? state.theta : part === "m" ? state.m : state.v;
}

const pick = <T>(from: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> =>
  Object.fromEntries(names.map((name) => [name, from[name]]));

async function copy(
  players: readonly Player[],
  held: Readonly<Record<string, Held>>,
  updates: ReadonlyMap<string, number>,
  runtime: Runtime,
): Promise<Record<string, PlayerState>> {
  const read = async (name: string) => (await runtime.read(held[name])) as Float32Array;
  const states: [string, PlayerState][] = [];
  for (const player of players) {
    const { name } = player;
    const averages: Record<string, Float32Array> = {};
    for (const average of averagesOf(player)) averages[average] = await read(`${name}.average.${average}`);
    const [theta, m, v] = [await read(`${name}.theta`), await read(`${name}.m`), await read(`${name}.v`)];
    states.push([name, { updates: updates.get(name) ?? 0, theta, m, v, averages }]);
  }
  return Object.fromEntries(states);
}
