// Whether a training run fits into memory: asked before anything is compiled, and answered in one sentence.
import { freemem, totalmem } from "node:os";
import { estimateMemory, type MemoryEstimate, valueBytes } from "../graph/memory.ts";
import type { Stage } from "../recipes/recipe.ts";
import { type StepOptions, stepProgram } from "../run/step.ts";
import type { Context } from "./context.ts";

/** Bytes. */
export interface Available {
  /** What a process could still take now. */
  readonly free: number;
  /** What it could never exceed: the machine's memory, or the container's. */
  readonly total: number;
}

export function availableMemory(): Available {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return { free: Math.min(total, process.availableMemory?.() ?? freemem()), total };
}

/** What one of several processes on a machine may take. */
export const shared = ({ free, total }: Available, processes: number): Available => ({
  free: free / processes,
  total: total / processes,
});

// Measured: see docs/rematerialization.md.
const MiB = 2 ** 20;
/** Node and ONNX Runtime. */
const PROCESS = 150 * MiB;
/** A node of the graph. */
const NODE = 12 * 2 ** 10;
/** What the runtime's allocator takes over what is in use. */
const ALLOCATOR = 1.15;
/** A constant is held as an array, in the model while it is compiled, and in the order that the kernels want. */
const COPIES = 3;

/** Peak of the process that runs a program again and again: its buffers, and what is needed around it. */
export const processBytes = ({ inputs, outputs, constants, working, nodes }: MemoryEstimate): number =>
  PROCESS + NODE * nodes + inputs + outputs + COPIES * constants + ALLOCATOR * working;

/** Of a program whose constants are mapped from files, as they lie there. */
export const mappedBytes = ({ inputs, outputs, constants, working, nodes }: MemoryEstimate): number =>
  PROCESS + NODE * nodes + inputs + outputs + constants + ALLOCATOR * working;

/** Of a training run: it also holds the state that it began with, the last one saved, and one being written. */
const trainingBytes = (e: MemoryEstimate): number => processBytes(e) + 3 * e.outputs;

/** Bytes that training this stage takes at its peak. */
export const memoryOf = (stage: Stage, question: StepOptions): number =>
  trainingBytes(estimateMemory(stepProgram(stage, stage.players, question).outputs));

export interface MemoryQuestion extends StepOptions {
  readonly ignoreMemory: boolean;
  /** Whether `batch` is of a piece of the whole batch. */
  readonly pieces?: boolean;
}

/**
 * Notes what would help where the run needs more memory than is free. Throws an Error with that where it needs more
 * than there is at all, unless this is to be ignored. Only the CPU's memory is known.
 */
export function checkMemory(
  stage: Stage,
  question: MemoryQuestion,
  { report, runtime }: Context,
  { free, total } = availableMemory(),
): void {
  if (runtime.device !== "cpu") return;
  const bytes = (batch: number, gradientCheckpointing: boolean): number =>
    memoryOf(stage, { ...question, batch, gradientCheckpointing });
  const { batch, gradientCheckpointing = false, ignoreMemory } = question;
  const { outputs } = stepProgram(stage, stage.players, question);
  // The plain case is not worth a second: all values together, with copies in other layouts.
  if (PROCESS + 4 * valueBytes(outputs) <= free) return;
  const needed = trainingBytes(estimateMemory(outputs));
  if (needed <= free) return;
  const flag = question.pieces ? "--micro-batch" : "--batch";
  const advice = [`Training with ${flag} ${batch} needs about ${inGigabytes(needed)} of memory`];
  const again = gradientCheckpointing ? needed : bytes(batch, true);
  if (again < 0.95 * needed) advice.push(`about ${inGigabytes(again)} with --gradient-checkpointing`);
  const impossible = needed > total;
  const there = impossible ? `there are ${inGigabytes(total)}` : `${inGigabytes(free)} are free`;
  const fits = fitting((b) => bytes(b, gradientCheckpointing), batch, needed, free);
  const smaller = fits === null ? "no smaller batch would fit" : `${flag} ${fits} would fit`;
  const sentence = `${advice.join(" (")}${advice.length > 1 ? ")" : ""}, but ${there}; ${smaller}.`;
  if (impossible && !ignoreMemory) throw new Error(`${sentence} To try it all the same: --ignore-memory.`);
  report.note(sentence);
}

/** The largest batch that fits, of those that fill blocks of channels if there is one: memory grows evenly with it. */
function fitting(bytes: (batch: number) => number, batch: number, needed: number, free: number): number | null {
  if (batch === 1) return null;
  const fixed = bytes(1);
  const most = 1 + Math.floor((free - fixed) / ((needed - fixed) / (batch - 1)));
  if (most < 1) return null;
  return most >= 16 ? most - (most % 16) : most;
}

/** "3.8 GB" */
export const inGigabytes = (n: number): string => `${(n / 1e9).toFixed(n < 1e10 ? 1 : 0)} GB`;
