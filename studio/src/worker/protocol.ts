// What the page asks of a worker, and what comes back. Two workers speak it: one samples, so that the page answers at once,
// and one trains, which may be ended at any moment.
import type { Card } from "fewstep/browser";

/** A model as it travels: the two files of its folder. */
export interface ModelParts {
  readonly card: Card;
  /** model.safetensors */
  readonly weights: Uint8Array;
}

/** A model's folder, of fewstep or diffusers: the files that it takes, by their names. */
export interface ModelFiles {
  readonly name: string;
  readonly files: Readonly<Record<string, Uint8Array>>;
}

export interface ModelFacts {
  readonly parameters: number;
  readonly sampleShape: readonly number[];
  readonly classes: number;
  /** Steps that it was made for. */
  readonly steps: readonly number[];
  readonly fewest: number;
  readonly notes: readonly string[];
}

/** An option of a method. */
export interface Field {
  readonly key: string;
  /** As on the command line: "teacher-steps". */
  readonly flag: string;
  readonly text: string;
  readonly kind: "number" | "choice" | "switch" | "text";
  readonly choices?: readonly string[];
  /** What holds where nothing is given; "": it follows from the teacher. */
  readonly usual: string;
  /** Shown first. */
  readonly main: boolean;
}

export interface MethodInfo {
  readonly name: string;
  readonly summary: string;
  readonly paper: { readonly cite: string; readonly url: string };
  readonly fields: readonly Field[];
}

/** Where the worker computes, for people to read. */
export interface DeviceInfo {
  readonly device: string;
  readonly threads: number;
  /** What is otherwise than it could be: sentences. */
  readonly notes: readonly string[];
}

export interface SampleAsk {
  /** Which canvas: a newer question of the same one makes older ones pointless. */
  readonly slot: string;
  readonly steps: number;
  readonly seed: number;
  readonly n: number;
  readonly label?: number;
}

export interface Sampled {
  readonly times: readonly number[];
  /** [n, ...sampleShape] at every time. */
  readonly states: readonly Float32Array[];
  /** Network evaluations per sample. */
  readonly nfe: number;
  /** Of all of it. */
  readonly seconds: number;
}

export interface MeasureAsk extends Omit<SampleAsk, "label"> {
  /** [m, 2] */
  readonly data: Float32Array;
}

export interface Measures {
  readonly steps: number;
  readonly nfe: number;
  /** Sliced Wasserstein distance to the data. */
  readonly distance: number;
  /** Relative straightness: 0 is straight. */
  readonly straightness: number;
  /** FO_N: 0 is first-order. Null with one evaluation, of which there is nothing to compare. */
  readonly firstOrder: number | null;
}

export interface OnnxAsk {
  /** Undefined: the file of before. */
  readonly file?: Uint8Array;
  readonly seed: number;
  readonly label?: number;
}

export interface OnnxSampled {
  /** [n, ...shape] */
  readonly x: Float32Array;
  readonly shape: readonly number[];
  readonly classes: boolean;
  readonly seconds: number;
}

export interface TrainAsk {
  readonly method: string;
  /** Undefined: a teacher from scratch. */
  readonly teacher?: ModelParts;
  /** Points of one's own, or the name of a toy set. */
  readonly data: { readonly name: string; readonly values?: Float32Array };
  /** The method's own and those of training, where they are not the preset's. */
  readonly options: Readonly<Record<string, string>>;
  readonly seed: number;
}

export type TrainEvent =
  | { readonly kind: "pairs"; readonly done: number; readonly total: number }
  | { readonly kind: "stage"; readonly name: string; readonly index: number; readonly count: number }
  | {
      readonly kind: "step";
      readonly stage: string;
      readonly step: number;
      readonly images: number;
      readonly total: number;
      readonly loss: number | null;
      readonly perSecond: number;
    }
  | { readonly kind: "model"; readonly images: number; readonly card: Card; readonly files: RunFiles }
  | { readonly kind: "warning"; readonly message: string }
  | { readonly kind: "ended"; readonly why: "done" | "stopped"; readonly images: number };

/** The files of a run folder, by their names. */
export type RunFiles = Readonly<Record<string, Uint8Array>>;

/** Each call with what it takes, what it gives, and what it tells on the way. */
export interface Calls {
  open: { ask: Record<never, never>; give: DeviceInfo; tell: never };
  methods: { ask: Record<never, never>; give: readonly MethodInfo[]; tell: never };
  model: { ask: { readonly slot: string } & ModelFiles; give: ModelFacts; tell: never };
  /** A sampler that `fewstep export --to onnx` wrote: noise in, samples out. */
  onnx: { ask: OnnxAsk; give: OnnxSampled; tell: never };
  /** Undefined: a newer question came. */
  sample: { ask: SampleAsk; give: Sampled | undefined; tell: Sampled };
  measure: { ask: MeasureAsk; give: Measures | undefined; tell: never };
  train: { ask: TrainAsk; give: RunFiles; tell: TrainEvent };
  /** Of the training that runs. */
  pause: { ask: { readonly paused: boolean }; give: undefined; tell: never };
  stop: { ask: Record<never, never>; give: undefined; tell: never };
}
export type CallName = keyof Calls;

export interface Question<K extends CallName = CallName> {
  readonly id: number;
  readonly name: K;
  readonly ask: Calls[K]["ask"];
}
export type Answer =
  | { readonly id: number; readonly kind: "tell"; readonly value: unknown }
  | { readonly id: number; readonly kind: "give"; readonly value: unknown }
  | { readonly id: number; readonly kind: "fail"; readonly message: string };
