// A command: a name, a schema of options, and a function of both options and context.
import type * as z from "zod";
import type { Context } from "../node/context.ts";
import { parseOptions } from "../node/options.ts";

export interface Example {
  readonly does: string;
  /** After "fewstep". */
  readonly line: string;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** Options given by position instead of by name; a list takes all that follow. */
  readonly positional: readonly string[];
  readonly options: z.ZodObject;
  /** Shown below --help. */
  readonly examples?: readonly Example[];
  /** What --help lists beside these arguments, where that is less than all options. */
  helpFor?(args: readonly string[]): z.ZodObject | undefined;
  /** For the commands that a run folder can resume: options that may differ from the run's. */
  readonly mayChange?: readonly string[];
  /** Runs also where ONNX Runtime or the device does not: `context.runtime` is opened when it is asked for. */
  readonly standalone?: boolean;
  /** Several processes that a launcher starts do it together. Else the first alone does, or each a part. */
  readonly together?: "ranks" | "parts";
  /** Throws UsageError for wrong options. */
  run(values: Readonly<Record<string, unknown>>, context: Context): Promise<void>;
}

export function command<T extends z.ZodObject>(
  spec: Omit<Command, "run" | "options"> & {
    options: T;
    run(options: z.output<T>, context: Context): Promise<unknown>;
  },
): Command {
  return {
    ...spec,
    async run(values, context) {
      await spec.run(parseOptions(spec.options, values, spec.positional), context);
    },
  };
}
