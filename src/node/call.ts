// What every call from code may bring: a signal, a listener, a seed, a device.
import type { JobEvent } from "../run/job.ts";
import type { Runtime } from "../runtime/index.ts";
import { nodeRuntime } from "../runtime/node.ts";
import type { Context } from "./context.ts";
import { UsageError, usage } from "./failure.ts";
import { type Reporter, silent } from "./reporter.ts";

/** What happens while a call is at work. Later versions may add kinds: leave alone what you do not know. */
export type CallEvent =
  /** The folder of a training run, once it is known. */
  | { readonly kind: "run"; readonly path: string }
  /** Of training; the paths of checkpoints and pictures are those of their files. */
  | JobEvent
  /** How far something is that takes long: images of training, samples, steps. */
  | {
      readonly kind: "progress";
      readonly label: string;
      readonly unit: string;
      readonly done: number;
      readonly total: number;
      readonly loss?: number;
    }
  /** A sentence about what is going on. */
  | { readonly kind: "note"; readonly text: string };

export interface CallOptions {
  /**
   * Ends the work at the next safe point. Training saves its step first, so that `run` or `resume` goes on with it. The call
   * rejects with an Interrupted.
   */
  readonly signal?: AbortSignal;
  /** Called with everything that happens, in order. */
  readonly onEvent?: (event: CallEvent) => void;
  /** Of all random numbers: a whole number from 0. Default 0. */
  readonly seed?: number;
  /** Where networks run. Default "cpu". */
  readonly device?: "cpu" | "webgpu" | "cuda";
  /** Threads of one operator; default as many as cores. */
  readonly threads?: number;
  /** A runtime of one's own, instead of `device` and `threads`. Default: the loaded model's. */
  readonly runtime?: Runtime;
}

/** Those options apart from the others of a call. Throws UsageError for a runtime beside a device, or a seed that is none. */
export function contextOf<O extends CallOptions>(
  { signal, onEvent, seed = 0, device, threads, runtime, ...rest }: O,
  standard: Pick<CallOptions, "runtime" | "signal" | "onEvent"> = {},
): { readonly context: Context; readonly rest: Omit<O, keyof CallOptions> } {
  if (runtime && (device !== undefined || threads !== undefined))
    throw new UsageError("A call has a runtime and a device or threads: give one of them.");
  if (!Number.isSafeInteger(seed) || seed < 0) throw new UsageError(`seed is ${seed}: expected a whole number from 0.`);
  const own = device === undefined && threads === undefined ? (runtime ?? standard.runtime) : undefined;
  const told = onEvent ?? standard.onEvent;
  const context: Context = {
    runtime: own ?? usage(() => nodeRuntime({ device, threads })),
    signal: signal ?? standard.signal ?? new AbortController().signal,
    report: told ? listening(told) : silent,
    seed,
  };
  return { context, rest };
}

const listening = (tell: (event: CallEvent) => void): Reporter => ({
  event: (event) => tell(event as CallEvent),
  result: (text) => tell({ kind: "note", text }),
  note: (text) => tell({ kind: "note", text }),
  progress: (label) => ({
    update: ({ unit = "images", done, total, loss }) => tell({ kind: "progress", label, unit, done, total, loss }),
    note: (text) => tell({ kind: "note", text }),
    end: () => {},
  }),
});
