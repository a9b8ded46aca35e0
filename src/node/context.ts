// What every command gets besides its options.
import type { Comm } from "../comm.ts";
import type { Runtime } from "../runtime/index.ts";
import { nodeRuntime } from "../runtime/node.ts";
import { Interrupted } from "./failure.ts";
import { type Reporter, silent } from "./reporter.ts";

export interface Context {
  readonly report: Reporter;
  readonly runtime: Runtime;
  /** Aborted by Ctrl-C, SIGTERM or SIGHUP (signals.ts). */
  readonly signal: AbortSignal;
  readonly seed: number;
  /** The processes that train together. Default: this one alone. */
  readonly comm?: Comm;
}

/** A context for calls from code: silent, on the CPU, seed 0. */
export const quietContext = (context: Partial<Context> = {}): Context => ({
  report: silent,
  runtime: context.runtime ?? nodeRuntime(),
  signal: new AbortController().signal,
  seed: 0,
  ...context,
});

/** Throws Interrupted after Ctrl-C; `kept` says what is not lost. */
export function checkInterrupt({ signal }: Pick<Context, "signal">, kept: string): void {
  if (signal.aborted) throw new Interrupted(`Interrupted. ${kept}`);
}
