// A diffusers scheduler as a pure object: one network call per step, all state handed in and out.
import type { Row } from "../../core/row.ts";
import type { Options, SchedulerName } from "./config.ts";

/** What `set_timesteps` and `step` take beside the number of steps. Names are diffusers', in camel case. */
export interface SamplingOptions {
  /** Resolution-dependent shift of flow-matching schedulers with use_dynamic_shifting. */
  mu?: number;
  /** Custom falling timesteps instead of a number of steps. */
  timesteps?: readonly number[];
  /** Custom falling sigmas, for schedulers that take them. */
  sigmas?: readonly number[];
  /** LCM and TCD: how many steps the distillation used. */
  originalInferenceSteps?: number;
  /** LCM and TCD: the part of the schedule that is run. */
  strength?: number;
  /** DDIM: noise level, default 0. TCD: default 0.3. */
  eta?: number;
  /** EDM-style churn of the Euler schedulers. */
  churn?: { s_churn: number; s_tmin?: number; s_tmax?: number; s_noise?: number };
  /** Number of samples in a flat state; dynamic thresholding works per sample. Default 1. */
  batch?: number;
}

export interface Context {
  readonly name: SchedulerName;
  readonly options: Options;
  readonly steps: number;
  readonly sampling: SamplingOptions;
}

/** One past network call, as the solver remembers it. */
export interface Call {
  readonly row: Row;
  readonly m: Float32Array;
  readonly x: Float32Array;
}

/** Newest first; `x` and `held` are what two-call and Runge-Kutta steps keep between calls. */
export interface Memory {
  readonly past: readonly Call[];
  readonly held?: Float32Array;
  readonly x?: Float32Array;
}

export const nothing: Memory = { past: [] };

export interface StepInput {
  /** Index of the network call. */
  readonly k: number;
  readonly x: Float32Array;
  /** The network's output for scaleInput(k, x) at timesteps[k]. */
  readonly output: Float32Array;
  /** Standard normal noise of call k; only asked for by stochastic samplers. */
  readonly noise: () => Float32Array;
  readonly memory: Memory;
}

export interface DiffusersScheduler {
  readonly name: SchedulerName;
  /** What the network is told, one per call. */
  readonly timesteps: readonly number[];
  /** Standard deviation of the starting noise. */
  readonly initNoiseSigma: number;
  /** Factor on the state before the network sees it in call k. */
  inputScale(k: number): number;
  /** The row (alpha, sigma) of the state before call k, to noise data for image to image. */
  row(k: number): Row;
  step(input: StepInput): { x: Float32Array; memory: Memory };
}

/** What every class's file provides: everything but the name. */
export type SchedulerBody = Omit<DiffusersScheduler, "name">;

export const unscaled = () => 1;
