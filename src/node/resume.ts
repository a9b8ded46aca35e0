// A run that goes on has the options that it was started with: they are read from its folder.
import { stat } from "node:fs/promises";
import { resolve as resolvePath } from "node:path";
import type * as z from "zod";
import { UsageError } from "./failure.ts";
import { readJson } from "./files.ts";
import { valuesIn, valuesOf } from "./options.ts";
import { runAt } from "./runDir.ts";

/** Options that say where and how loud something runs, and not what it computes. */
const machine = ["json", "quiet", "threads", "device"];

export interface Resumable {
  /** "train" or "accelerate". */
  readonly name: string;
  /** All its options, and those that every command has. */
  readonly schema: z.ZodObject;
  /** Options that may differ from the run's. Undefined: it makes no runs. */
  readonly mayChange?: readonly string[];
}

/** Options from a JSON file. Throws UsageError for one of another command, or an option that does not exist. */
export async function optionsIn(path: string, what: string, { name, schema }: Resumable) {
  const { command: made, ...options } = valuesIn(await readJson(path), path);
  if (made !== undefined && made !== name)
    throw new UsageError(`${path} ${what} \`fewstep ${made}\`, not \`fewstep ${name}\`.`);
  return valuesOf(options, path, schema);
}

/**
 * `given` over the options of the run that `resume`, or `run` where it is there, names. Throws an Error for a folder that is
 * no run, UsageError where what it computes would change.
 */
export async function withRun(
  of: Resumable,
  given: Readonly<Record<string, unknown>>,
): Promise<Record<string, unknown>> {
  // The same call makes a run and goes on with it.
  const again = given.resume === undefined && typeof given.run === "string" && (await exists(optionsOf(given.run)));
  const resume = again ? given.run : given.resume;
  if (!of.mayChange || typeof resume !== "string") return { ...given, ...(again ? { resume } : {}) };
  const file = optionsOf(resume);
  if (!(await exists(file)))
    throw new Error(
      `${resume} is no run folder, which would have options.json. Give one like runs/00000-perflow-mnist-w4-b64.`,
    );
  const before = await optionsIn(file, "was started by", of);
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined || key === "resume" || machine.includes(key) || of.mayChange.includes(key)) continue;
    if (!same(value, before[key]))
      throw new UsageError(
        `${resume} was started with ${key} ${JSON.stringify(before[key])}, so it cannot go on with ${JSON.stringify(value)}. Start a new run for that.`,
      );
  }
  return { ...before, ...given, resume };
}

const optionsOf = (run: string) => runAt(run).optionsFile;

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Options are the same also where a path is written in another way. */
const same = (a: unknown, b: unknown): boolean =>
  JSON.stringify(a) === JSON.stringify(b) ||
  (typeof a === "string" && typeof b === "string" && pathLike(a) && resolvePath(a) === resolvePath(b));
const pathLike = (text: string): boolean => /[./\\]/.test(text);
