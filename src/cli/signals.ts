// Ctrl-C, SIGTERM and SIGHUP, and SIGUSR2, which mpirun hands on (after SIGTERM it kills soon): the first asks a command to end at the next safe point and says so at once, the second ends
// the process.
import { exitCode } from "./exitCode.ts";

/** What is needed of `process`; the tests put their own here. */
export interface Signaled {
  on(signal: StopSignal, listener: () => void): unknown;
  off(signal: StopSignal, listener: () => void): unknown;
  exit(code: number): void;
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
}

export const stopSignals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const;
export type StopSignal = (typeof stopSignals)[number];

export const stopping = "Stopping after this step; press Ctrl-C again to stop now.";

export interface Stop {
  /** Aborted by the first signal; `abort` does the same without a word. */
  readonly signal: AbortSignal;
  abort(): void;
  /** Gives the signals back to the system. */
  dispose(): void;
}

/**
 * Listens for the signals. Native code holds JavaScript up while it computes, so both are heard between two calls of it:
 * a command that looks at `signal` after every step loses no more than that step.
 */
export function stopOnSignals(process: Signaled): Stop {
  const controller = new AbortController();
  let heard = false;
  const listener = () => {
    if (heard) return process.exit(exitCode.interrupted);
    heard = true;
    const { stderr } = process;
    // Over the ^C of the terminal and over a progress line.
    stderr.write(stderr.isTTY ? `\r${stopping}\x1b[K\n` : `${stopping}\n`);
    controller.abort();
  };
  for (const signal of stopSignals) process.on(signal, listener);
  return {
    signal: controller.signal,
    abort: () => controller.abort(),
    dispose() {
      for (const signal of stopSignals) process.off(signal, listener);
    },
  };
}
