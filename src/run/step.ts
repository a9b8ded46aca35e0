// One training step: the losses of the players that are due, their gradients, clipping, AdamW, averages. As one program,
// or as two for several processes: gradients, to be averaged over the processes, and the update.

import { type DataColumns, drawsOf, type HostDraws } from "../draws.ts";
import { asFloat32, constant, input, mean, mul, type Outputs, type Tensor, vjp } from "../graph/index.ts";
import { fromParts, inputVector, type Params } from "../nn/params.ts";
import { rematerialized } from "../nn/remat.ts";
import { type AdamWOptions, adamw } from "../optim/adamw.ts";
import { clipByNorm } from "../optim/clip.ts";
import { ema } from "../optim/ema.ts";
import { KEPT, type Player, type Source, STUDENT, type Stage, type Table } from "../recipes/recipe.ts";

export interface StepOptions {
  readonly batch: number;
  readonly adamw: AdamWOptions;
  /** Largest norm of a player's gradient. */
  readonly clip: number;
  /** Multiplies the losses by an input lossScale [] before they are differentiated, and the gradients by its inverse after. */
  readonly scaleLoss?: boolean;
  /** Computes the networks' blocks again in the backward pass: less memory, more time. Default false. */
  readonly gradientCheckpointing?: boolean;
  /** Where the program has a piece of the batch: its share, a factor of the gradients, which are then added up. Default 1. */
  readonly share?: number;
}

export interface StepProgram {
  /**
   * By player: "student.theta", ".m", ".v", ".average.kept" [P], ".loss" [], ".losses" [B], ".norm" []; "note.<name>" [] for
   * what the stage watches.
   */
  readonly outputs: Outputs<string>;
  readonly draws: HostDraws;
}

/** The averages of a player: those its method declares, and the student's that is kept. */
export const averagesOf = (player: Player): readonly string[] => [
  ...(player.name === STUDENT ? [KEPT] : []),
  ...Object.keys(player.averages ?? {}),
];

/** The vectors of a player's state [P], by the names that programs know them under. */
export const stateNames = (player: Player): readonly string[] =>
  ["theta", "m", "v", ...averagesOf(player).map((name) => `average.${name}`)].map((part) => `${player.name}.${part}`);

/** What a batch of a stage has, by where it comes from. */
export function columnsOf({ model, source }: Pick<Stage, "model" | "source">): DataColumns {
  const x = { shape: model.sampleShape, dtype: "float32" } as const;
  const given = Object.entries(model.conditions).filter(([, c]) => c.given === "data");
  const conditions = (prefix: string): DataColumns =>
    Object.fromEntries(given.map(([name, { shape, dtype }]) => [`${prefix}${name}`, { shape, dtype }]));
  const { data, pairs, conditions: alone }: Source = source;
  return {
    ...(alone === undefined ? {} : conditions(alone)),
    ...(data === undefined ? {} : { [`${data}x`]: x, ...conditions(data) }),
    ...(pairs ? { [`${pairs.prefix}x`]: x, [`${pairs.prefix}noise`]: x, ...conditions(pairs.prefix) } : {}),
  };
}

/**
 * Inputs: the players' vectors; "<player>.rate", ".decay", ".floor" and ".average.<name>.decay" []; what the losses asked
 * of `draws`; lossScale. All gradients are taken at the parameters that the step begins with. `own`: other draws than the
 * random ones of `drawsOf`.
 */
export function stepProgram(stage: Stage, due: readonly Player[], o: StepOptions, own?: HostDraws): StepProgram {
  const { draws, table, parts, factor } = begin(stage, o, own);
  const outputs: Record<string, Tensor | readonly Tensor[]> = {};
  for (const player of due) {
    const { gradient, losses, loss } = gradientOf(player, table, parts, draws, factor);
    Object.assign(outputs, { [`${player.name}.loss`]: loss, [`${player.name}.losses`]: losses });
    Object.assign(outputs, update(player, gradient, parts, o, factor));
  }
  return { outputs: { ...outputs, ...watched(stage, draws) }, draws };
}

/**
 * What the losses of all players draw, and what is wrong with what they ask for: players, averages or data that the stage
 * does not have. Nothing is differentiated.
 */
export function askedBy(stage: Stage, batch: number): { readonly draws: HostDraws; readonly wrong: readonly string[] } {
  const { draws, table } = begin(stage, { batch });
  const wrong = stage.players.flatMap((player) => {
    try {
      player.loss(table, draws);
      return [];
    } catch (error) {
      if (error instanceof RangeError) return [error.message.replace(/\.$/, "")];
      throw error;
    }
  });
  return { draws, wrong };
}

/** The first half: "<player>.gradient" [P] (times lossScale, if there is one), ".loss" and ".losses". */
export function gradientProgram(stage: Stage, due: readonly Player[], o: StepOptions, own?: HostDraws): StepProgram {
  const { draws, table, parts, factor } = begin(stage, o, own);
  const outputs: Record<string, Tensor | readonly Tensor[]> = {};
  for (const player of due) {
    const { gradient, losses, loss } = gradientOf(player, table, parts, draws, factor, o.share);
    Object.assign(outputs, { [`${player.name}.gradient`]: gradient });
    Object.assign(outputs, { [`${player.name}.loss`]: loss, [`${player.name}.losses`]: losses });
  }
  return { outputs: { ...outputs, ...watched(stage, draws) }, draws };
}

/** The second half, from "<player>.gradient" [P], the vectors and the scalars. */
export function updateProgram(due: readonly Player[], o: StepOptions): Outputs<string> {
  const vectors = new Map<string, readonly Tensor[]>();
  const factor = o.scaleLoss ? input("lossScale", []) : undefined;
  const outputs: Record<string, Tensor | readonly Tensor[]> = {};
  for (const player of due) {
    const parts = (name: string) => once(vectors, name, () => inputVector(name, player.spec));
    Object.assign(outputs, update(player, parts(`${player.name}.gradient`), parts, o, factor));
  }
  return outputs;
}

type Parts = (name: string) => readonly Tensor[];

type Begin = Pick<StepOptions, "batch" | "scaleLoss" | "gradientCheckpointing">;
function begin(stage: Stage, { batch, scaleLoss, gradientCheckpointing }: Begin, own?: HostDraws) {
  const draws = own ?? drawsOf(batch, stage.model.sampleShape, stage.model.conditions, columnsOf(stage));
  const vectors = new Map<string, readonly Tensor[]>();
  const player = (name: string): Player => {
    const found = stage.players.find((p) => p.name === name);
    if (found) return found;
    throw new RangeError(`There is no player "${name}" in ${stage.name}; there are: ${names(stage.players)}.`);
  };
  const parts: Parts = (name) =>
    once(vectors, name, () => inputVector(name, player(name.slice(0, name.indexOf("."))).spec));
  const tables = new Map<string, Params>();
  const table: Table = (name, average) => {
    const of = player(name);
    if (average !== undefined && !averagesOf(of).includes(average))
      throw new RangeError(
        `${name} has no average "${average}" in ${stage.name}; it has: ${averagesOf(of).join(", ") || "none"}.`,
      );
    const vector = average === undefined ? `${name}.theta` : `${name}.average.${average}`;
    return once(tables, vector, () => {
      const params = fromParts(of.spec, parts(vector));
      return gradientCheckpointing ? rematerialized(params) : params;
    });
  };
  return { draws, parts, table, factor: scaleLoss ? input("lossScale", []) : undefined };
}

function gradientOf(
  player: Player,
  table: Table,
  parts: Parts,
  draws: HostDraws,
  factor: Tensor | undefined,
  share = 1,
) {
  const losses = player.loss(table, draws);
  const loss = mean(losses);
  const seed = factor && share !== 1 ? mul(factor, constant(share)) : (factor ?? constant(share));
  const gradient = vjp([loss], [seed], parts(`${player.name}.theta`)).map(asFloat32);
  return { gradient, losses, loss };
}

function update(
  player: Player,
  gradient: readonly Tensor[],
  parts: Parts,
  o: StepOptions,
  factor: Tensor | undefined,
): Record<string, Tensor | readonly Tensor[]> {
  const { name } = player;
  const scalar = (what: string) => input(`${name}.${what}`, []);
  const { scale, norm } = clipByNorm(gradient, o.clip, factor);
  const scalars = { rate: scalar("rate"), decay: scalar("decay"), floor: scalar("floor"), scale };
  const [theta, m, v] = ["theta", "m", "v"].map((part) => parts(`${name}.${part}`));
  const options = { ...o.adamw, ...player.optimizer };
  const next = gradient.map((g, i) => adamw({ theta: theta[i], m: m[i], v: v[i] }, g, scalars, options));
  const averages = averagesOf(player).map((average) => {
    const keep = scalar(`average.${average}.decay`);
    const before = parts(`${name}.average.${average}`);
    return [`${name}.average.${average}`, next.map((part, i) => ema(before[i], part.theta, keep))] as const;
  });
  return {
    [`${name}.theta`]: next.map((part) => part.theta),
    [`${name}.m`]: next.map((part) => part.m),
    [`${name}.v`]: next.map((part) => part.v),
    ...Object.fromEntries(averages),
    [`${name}.norm`]: norm,
  };
}

const watched = ({ watch = [] }: Stage, { notes }: HostDraws): Record<string, Tensor> =>
  Object.fromEntries(
    watch.flatMap((name) => {
      const note = notes.get(name);
      return note ? [[`note.${name}`, mean(note)]] : [];
    }),
  );

function once<T>(known: Map<string, T>, name: string, make: () => T): T {
  const found = known.get(name) ?? make();
  known.set(name, found);
  return found;
}

const names = (players: readonly Player[]) => players.map(({ name }) => name).join(", ");
