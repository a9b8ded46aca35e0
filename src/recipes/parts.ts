// What recipes share: options with their texts, the student, samplers.

import * as z from "zod";
import { type Form, tickWindows, type Windows } from "../core/index.ts";
import type { Coupling } from "../couplings/coupling.ts";
import type { CondKind } from "../draws.ts";
import { add, type Tensor } from "../graph/index.ts";
import { type Distance, distance } from "../objectives/distances.ts";
import { type RegressOptions, regress } from "../objectives/regress.ts";
import type { SamplerSpec } from "../run/card.ts";
import {
  type Idle,
  type Need,
  type NetModel,
  type Player,
  type Source,
  STUDENT,
  type Stage,
  type Start,
} from "./recipe.ts";

const count = z.int().positive();

/** Where the presets for small data begin: training of an MLP on points, of a small U-Net on images. */
export const smallTraining = {
  points: { batch: 256, lr: 0.001, ema: 0.99, warmup: 50 },
  images: { batch: 32, lr: 4e-4, ema: 0.99, warmup: 20 },
} as const;

/** Options that several methods have, with the same meaning; each method gives its default. */
export const option = {
  windows: (d: number) => count.default(d).describe("Windows that [0, 1] is cut into."),
  teacherSteps: (d: number) => count.default(d).describe("The teacher's steps: per window, or per pair."),
  teacherSolver: () => z.enum(["ddim", "dpm++2m"]).default("ddim").describe("The teacher's solver."),
  guidance: (d = 1) =>
    z.number().default(d).describe("The teacher's guidance; other than 1 it is baked into the student."),
  share: (name: string, d: number) => z.number().min(0).max(1).default(d).describe(`Share of times at ${name}.`),
  distance: (d: "mse" | "pseudo-huber" | "huber") =>
    z.enum(["mse", "pseudo-huber", "huber"]).default(d).describe("How errors are measured."),
  distanceScale: () => z.number().positive().default(1e-3).describe("The error at which a Huber distance bends."),
  pairs: (d: number) => count.default(d).describe("Pairs that the teacher makes beforehand."),
};

/** The distance that a method's options ask for. */
export function distanceOf(o: { distance: "mse" | "pseudo-huber" | "huber"; distanceScale: number }): Distance {
  if (o.distance === "mse") return distance({ kind: "mse" });
  return distance(
    o.distance === "huber" ? { kind: "huber", delta: o.distanceScale } : { kind: "pseudo-huber", c: o.distanceScale },
  );
}

/** What a method needs, of what it may need. */
export const needing = (...asked: readonly (Need | false)[]): readonly Need[] =>
  asked.filter((need): need is Need => need !== false);

/** Options that do nothing, where that is `so`. */
export const idle = (so: boolean, why: string, ...options: readonly string[]): Idle =>
  so ? Object.fromEntries(options.map((name) => [name, why])) : {};

export const idleScale = ({ distance }: { readonly distance: string }): Idle =>
  idle(distance === "mse", "with --distance mse", "distanceScale");

/** The sum of those terms of a loss that there are. */
export const sumOf = (...terms: readonly (Tensor | undefined)[]): Tensor =>
  terms.filter((term) => term !== undefined).reduce((sum, term) => add(sum, term));

/** Network passes of one evaluation. */
export const passes = (guidance: number): number => (guidance === 1 ? 1 : 2);

/** The student of a stage: the network of `start`, moved by a loss. */
export const student = (start: Start, loss: Player["loss"], more: Partial<Player> = {}): Player => ({
  name: STUDENT,
  spec: start.spec,
  start: start.theta,
  loss,
  ...more,
});

export interface Regressing extends RegressOptions {
  readonly model: NetModel;
  readonly coupling: Coupling;
  readonly times: (q: number) => number;
  /** Default "dropped". */
  readonly cond?: CondKind;
}

/** The student of the regression family: a point of a pair's path, and one row to compare at. */
export function regressing(start: Start, { model, coupling, times, cond = "dropped", ...how }: Regressing): Player {
  const loss = regress(model, how);
  return student(start, (params, draws) =>
    loss(params(STUDENT), coupling(draws, draws.clock("t", times)), draws.cond(cond), draws),
  );
}

/** A stage that keeps the network of its start; `model` may read it in another way. */
export const stageOf = (
  start: Start,
  stage: Omit<Stage, "network" | "timeInput" | "share"> & { readonly share?: number },
): Stage => ({ network: start.network, timeInput: start.timeInput, share: 1, ...stage });

/** The pairs that these options ask of a teacher; `prefix` begins the names of their columns. */
export const pairsOf = (
  teacher: Start,
  o: Readonly<Record<"guidance" | "teacherSteps" | "pairs", number>> & { readonly teacherSolver: string },
  prefix = "",
): NonNullable<Source["pairs"]> => {
  const { guidance, teacherSolver: solver, teacherSteps: steps, pairs } = o;
  return { prefix, teacher, guidance, solver, steps, pairs };
};

/** Evenly spaced steps over [0, 1]. */
export const evenly = (steps: readonly number[], solver: SamplerSpec["solver"] = "ddim"): SamplerSpec => ({
  solver,
  grid: { kind: "uniform" },
  steps: [...steps],
});

/** The same number of steps in every window. */
export const perWindow = (windows: Windows): SamplerSpec => ({
  solver: "ddim",
  grid: { kind: "windows", windows: windows.spec },
  steps: [windows.count, 2 * windows.count],
});

/** Several steps at these times, which fall from 1; noise is added between them. */
export const atTimes = (times: readonly number[]): SamplerSpec => ({
  solver: times.length === 1 ? "ddim" : "lcm",
  grid: { kind: "windows", windows: tickWindows(TICKS, [...times.map((t) => Math.round(t * TICKS)), 0]).spec },
  steps: [times.length],
});
const TICKS = 1_000_000;

/** At pure noise eps says nothing of the data, so a student that is read there has to predict something else. */
export const blindAtNoise = (form: Form): boolean => form.at(form.tMax)[0] === 0;

/** What methods that solve the teacher online in windows have in common: training, preset, needs and cost. */
export const windowed = {
  training: { lr: 1e-4, ema: 0.99, images: 32_000 },
  small: {
    points: {
      ...smallTraining.points,
      teacherSteps: 4,
      teacherSolver: "dpm++2m",
      atStarts: 0.5,
      images: 307200,
    },
    images: { ...smallTraining.images, teacherSteps: 4, atStarts: 0.6, images: 11_200 },
  },
  needs: (o: { readonly guidance: number }) => needing("data", o.guidance !== 1 && "guidance"),
  idle: idleScale,
  teacherNfe: (o: { readonly guidance: number; readonly teacherSteps: number }) => ({
    perImage: o.teacherSteps * passes(o.guidance),
    perPair: 0,
  }),
};
