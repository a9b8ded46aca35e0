// A pinned training as data, and where its files are. Nothing here knows how training is called: runCase.ts does.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { FormSpec, PredictionSpec } from "../../src/core/index.ts";
import { floatsOf, readSafetensors } from "../../src/data/safetensors.ts";

export const pinnedFolder = resolve(import.meta.dirname, "../golden/pinned");

/** A method with its options, by the names that the recipes give them. */
export interface PinnedMethod {
  readonly name: "diffusion" | "flow-matching" | "perflow" | "rectified-diffusion" | "rectified-diffusion-phased";
  readonly options: Readonly<Record<string, unknown>>;
}

export interface PinnedTraining {
  readonly batch: number;
  readonly steps: number;
  readonly rate: {
    readonly kind: "constant" | "cosine";
    readonly peak: number;
    readonly warmup: number;
    readonly final: number;
  };
  /** Limit of the EMA's decay. */
  readonly ema: number;
  /** Largest norm of the gradient. */
  readonly clip: number;
  readonly dropLabels: number;
  readonly adamw: {
    readonly beta1: number;
    readonly beta2: number;
    readonly eps: number;
    readonly weightDecay: number;
  };
  readonly gradientCheckpointing: boolean;
  readonly precision: "float32" | "float16";
  /** Half precision: what the loss is multiplied by in the first step. */
  readonly lossScale?: number;
  readonly seed: number;
}

export interface PinnedCase {
  readonly name: string;
  readonly method: PinnedMethod;
  readonly network: { readonly family: string; readonly config: Readonly<Record<string, unknown>> };
  readonly form: FormSpec;
  readonly prediction: PredictionSpec;
  /** What the network is told for a time t: scale·t + offset; `normalize`: it sees the state over its norm. */
  readonly time: { readonly scale: number; readonly offset: number; readonly normalize: boolean };
  /** Which tensors of inputs.safetensors. */
  readonly inputs: string;
  readonly training: PinnedTraining;
}

/** What a case starts from. */
export interface PinnedInputs {
  /** The student's weights, and the teacher's. */
  readonly start: Float32Array;
  readonly teacher: Float32Array;
  /** One entry per step: data or a teacher's samples [B, …], the noise that those were made from, labels [B]. */
  readonly x: readonly Float32Array[];
  readonly noise: readonly Float32Array[];
  readonly labels: readonly BigInt64Array[];
}

/** One number per step; the state after the last. A norm that overflowed in half precision is not finite. */
export interface PinnedResult {
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  readonly rates: readonly number[];
  readonly theta: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
  readonly ema: Float32Array;
}

export const stateNames = ["theta", "m", "v", "ema"] as const;

/** A case with what it must give; JSON has no infinity, so a norm that overflowed is null. */
export interface RecordedCase extends PinnedCase {
  readonly losses: readonly number[];
  readonly norms: readonly (number | null)[];
  readonly rates: readonly number[];
}

export const recordedCases = (): RecordedCase[] =>
  JSON.parse(readFileSync(join(pinnedFolder, "cases.json"), "utf8")) as RecordedCase[];

export const stateFile = (name: string): string => join(pinnedFolder, `${name}.safetensors`);

const tensorsOf = (path: string) => readSafetensors(readFileSync(path), path).tensors;

export function recordedState(name: string): Pick<PinnedResult, (typeof stateNames)[number]> {
  const tensors = tensorsOf(stateFile(name));
  const of = (key: string) => floatsOf(tensors, key);
  return { theta: of("theta"), m: of("m"), v: of("v"), ema: of("ema") };
}

export function pinnedInputs({ inputs, training: { batch, steps } }: PinnedCase): PinnedInputs {
  const tensors = tensorsOf(join(pinnedFolder, "inputs.safetensors"));
  const each = <T>(of: (step: number) => T): T[] => Array.from({ length: steps }, (_, step) => of(step));
  const part = <T extends Float32Array | BigInt64Array>(all: T, step: number, size: number): T => {
    const piece = all.slice(step * size, (step + 1) * size) as T;
    if (piece.length !== size) throw new Error(`The inputs ${inputs} end before step ${step + 1}.`);
    return piece;
  };
  const [x, noise] = ["x", "noise"].map((key) => floatsOf(tensors, `${inputs}.${key}`));
  const sample = tensors
    .get(`${inputs}.x`)!
    .shape.slice(2)
    .reduce((a, b) => a * b, 1);
  const labels = tensors.get(`${inputs}.labels`)!.data as BigInt64Array;
  return {
    start: floatsOf(tensors, `${inputs}.start`),
    teacher: floatsOf(tensors, `${inputs}.teacher`),
    x: each((step) => part(x, step, batch * sample)),
    noise: each((step) => part(noise, step, batch * sample)),
    labels: each((step) => part(labels, step, batch)),
  };
}
