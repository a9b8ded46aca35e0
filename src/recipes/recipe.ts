// What a recipe is: one object from which flags, help, configuration files, cards, docs and the training itself follow.

import type * as z from "zod";
import type { Draws } from "../draws.ts";
import type { Tensor } from "../graph/index.ts";
import type { Model, TimeInput } from "../model.ts";
import type { Network } from "../nn/network.ts";
import type { ParamSpec, Params } from "../nn/params.ts";
import type { AdamWOptions } from "../optim/adamw.ts";
import type { Key } from "../random.ts";
import type { SamplerSpec } from "../run/card.ts";

export type NetModel = Model<Params>;

/** A pretrained model: its network's parameters are constants from here on. */
export interface Teacher {
  readonly model: NetModel;
  readonly params: Params;
}

/** A network with weights: what a stage begins with, and what it ends with. */
export interface Start extends Teacher {
  readonly network: Network;
  readonly timeInput: TimeInput;
  readonly spec: readonly ParamSpec[];
  readonly theta: Float32Array;
  readonly sampler: SamplerSpec;
  /** Where another teacher is asked than the network that is trained (`startFrom`): what tells it from others. */
  readonly asked?: string;
}

/** Parameters of a player, or of one of its averages: inputs of the program, not constants. */
export type Table = (player: string, average?: string) => Params;

/** One network being trained, with its own loss, optimizer, averages and rhythm. */
export interface Player {
  readonly name: string;
  readonly spec: readonly ParamSpec[];
  readonly start: Float32Array;
  /** The loss of every sample [B]. Its gradient goes to this player's parameters only. */
  loss(params: Table, draws: Draws): Tensor;
  /** Decays of the averages it has besides the one that is kept of the student: { target: 0.95 }. */
  readonly averages?: Readonly<Record<string, number>>;
  /** It moves in every so-manieth step: two time scales. Default 1. */
  readonly every?: number;
  /** Where it differs from the student's: the rate as a factor of its rate. */
  readonly optimizer?: Partial<AdamWOptions> & { readonly rate?: number };
}

/** The average of the student that is kept: its decay is an option of training, not of the method. */
export const KEPT = "kept";
export const STUDENT = "student";

/** Pairs made beforehand: the state a sampler starts from and the sample it makes of it. */
export interface PairSource {
  readonly teacher: Start;
  readonly guidance: number;
  readonly solver: string;
  readonly steps: number;
  readonly pairs: number;
}

/** Where a stage's columns come from, each with the prefix of its columns' names: x, labels; x, noise, labels. */
export interface Source {
  readonly data?: string;
  readonly pairs?: { readonly prefix: string } & PairSource;
  /** Labels alone, for methods that need no samples. */
  readonly conditions?: string;
}

export interface Stage {
  /** "reflow 2" */
  readonly name: string;
  /** The student, as it is sampled when the stage is done. */
  readonly model: NetModel;
  readonly network: Network;
  readonly timeInput: TimeInput;
  readonly players: readonly [student: Player, ...others: Player[]];
  readonly source: Source;
  /** How to sample the result; stored in its card. */
  readonly sampler: SamplerSpec;
  /** Part of the budget, relative to the other stages'. */
  readonly share: number;
  /** Values named by `Draws.note` that are logged, as means. */
  readonly watch?: readonly string[];
  /** Of some of them: what they are while nothing is learned. Staying there is reported. */
  readonly nothing?: Readonly<Record<string, number>>;
  /** Two of them: a critic whose error stays above the teacher's lags. */
  readonly lag?: { readonly critic: string; readonly teacher: string };
}

/** "weights": what is inside the teacher, so that the student has to begin as it. */
export type Need = "data" | "pairs" | "classes" | "guidance" | "features" | "network" | "weights";

/** What small data are made of: points have an MLP and big batches, images a convolutional network and few. */
export type SampleKind = "points" | "images";

export type Idle = Readonly<Record<string, string>>;

export interface Recipe<S extends z.ZodObject = z.ZodObject, N extends string = string> {
  readonly name: N;
  /** One sentence. */
  readonly summary: string;
  readonly paper: {
    readonly cite: string;
    readonly url: string;
    /** What differs from the published method or code, and why. */
    readonly differs: readonly string[];
  };
  /** Texts, units, ranges and defaults; flags follow from it. */
  readonly options: S;
  /** Learning rate, decay of the kept average, budget in images, where these are not given. */
  readonly training: { readonly lr: number; readonly ema: number; readonly images: number };
  /** Options, its own and those of training, for small data and minutes: the defaults are the paper's. */
  readonly small?: Readonly<Record<SampleKind, Readonly<Record<string, string | number | boolean>>>>;
  needs(o: z.output<S>): readonly Need[];
  /** The teacher's network evaluations: per image of training, and per stored pair. */
  teacherNfe(o: z.output<S>): { readonly perImage: number; readonly perPair: number };
  /**
   * Options that do nothing with these, and why: { distanceScale: "with --distance mse" }. To give one is an error. What
   * depends on the teacher is told when it is known.
   */
  idle?(o: z.output<S>, teacher?: Start): Idle;
  /** Options that follow from the teacher where they are not given. */
  resolve?(teacher: Teacher, o: z.output<S>): z.output<S>;
  /** What is done in turn; a stage is answered with its kept weights. `seed` is for parameters that begin at random. */
  stages(teacher: Start, o: z.output<S>, seed: Key): Generator<Stage, void, Start>;
}

/** Lets the types of a recipe's options follow from its schema, and its name be one that callers can be told of. */
export const recipe = <S extends z.ZodObject, N extends string>(r: Recipe<S, N>): Recipe<S, N> => r;
