// How a command ends.
import { Interrupted, UsageError } from "../node/failure.ts";

export const exitCode = { done: 0, failed: 1, wrongUse: 2, interrupted: 130 } as const;

export function codeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCode.wrongUse;
  if (error instanceof Interrupted) return exitCode.interrupted;
  return exitCode.failed;
}
