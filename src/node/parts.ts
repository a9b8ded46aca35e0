// Which part of some work this process does: as it is told, or as the cluster's array engine says.
import { show } from "../core/show.ts";
import { UsageError } from "./failure.ts";
import { type Environment, launched } from "./mpi/launcher.ts";

export interface Part {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

export const partText = "This part of the work, from 0/n to (n-1)/n; default as a Slurm array or an Indexed Job says.";

/**
 * `text` is "i/n"; without it the variables of a Slurm array or a Kubernetes Indexed Job (with JOB_COMPLETIONS beside them)
 * count, and of each of their tasks the processes that a launcher started in it. Undefined where nothing says that there are
 * parts. Throws a UsageError for what is no part.
 */
export function partOf(text: string | undefined, env: Environment = process.env): Part | undefined {
  if (text !== undefined) return parsed(text);
  const array = slurmArray(env) ?? indexedJob(env);
  const here = launched(env);
  if (!array && !here) return undefined;
  const { index, count } = array ?? { index: 0, count: 1 };
  const { rank, size } = here ?? { rank: 0, size: 1 };
  if (count * size > MOST) throw new UsageError(`${count} tasks of ${size} processes are too many parts.`);
  return { index: index * size + rank, count: count * size };
}

const MOST = 1e9;
const isWhole = (text: string | undefined): text is string => /^\d{1,9}$/.test(text ?? "");

function parsed(text: string): Part {
  const found = text.match(/^(\d{1,9})\/(\d{1,9})$/);
  if (!found) throw new UsageError(`--part is ${show(text)}: expected i/n, such as 0/8 for the first of eight.`);
  const [index, count] = [Number(found[1]), Number(found[2])];
  if (count < 1) throw new UsageError(`--part ${text} has no parts: expected i/n, such as 0/8 for the first of eight.`);
  if (index >= count)
    throw new UsageError(
      `--part ${text} does not exist: parts count from 0, so the last of ${count} is ${count - 1}/${count}.`,
    );
  return { index, count };
}

function slurmArray(env: Environment): Part | undefined {
  const { SLURM_ARRAY_TASK_ID: id, SLURM_ARRAY_TASK_COUNT: count } = env;
  if (id === undefined || count === undefined) return undefined;
  const [first, last, step = "1"] = ["MIN", "MAX", "STEP"].map((name) => env[`SLURM_ARRAY_TASK_${name}`]);
  const said = `SLURM_ARRAY_TASK_ID is ${show(id)} of ${show(count)} tasks from ${show(first)} to ${show(last)}`;
  if (![id, count, first, last, step].every(isWhole))
    throw new UsageError(`${said}, expected whole numbers: say with --part i/n which part this is.`);
  const every = Number(step) > 0 ? Number(step) : 1;
  if ((Number(last) - Number(first)) / every + 1 !== Number(count))
    throw new UsageError(
      `This Slurm array has ${count} tasks from ${first} to ${last}, which are not evenly spaced: say with --part i/n which part this is.`,
    );
  const index = (Number(id) - Number(first)) / every;
  if (!Number.isInteger(index) || index < 0 || index >= Number(count))
    throw new UsageError(`${said}, which has no such task: say with --part i/n which part this is.`);
  return { index, count: Number(count) };
}

function indexedJob(env: Environment): Part | undefined {
  const { JOB_COMPLETION_INDEX: index, JOB_COMPLETIONS: count } = env;
  if (index === undefined) return undefined;
  if (count === undefined)
    throw new UsageError(
      `This is task ${show(index)} of an Indexed Job, which does not say how many there are: set JOB_COMPLETIONS beside it, or give --part i/n.`,
    );
  return parsed(`${index}/${count}`);
}

/** The samples of a part: consecutive, and as many as of any other, but for one. */
export function rangeOf({ index, count }: Part, n: number): { readonly from: number; readonly n: number } {
  const at = (i: number) => Math.floor((i * n) / count);
  return { from: at(index), n: at(index + 1) - at(index) };
}

/** "grid.png" of the fourth of eight parts: "grid-3-of-8.png". */
export const partFile = (path: string, { index, count }: Part): string =>
  path.replace(/(\.[^./\\]*)?$/, (end: string) => `-${index}-of-${count}${end}`);
