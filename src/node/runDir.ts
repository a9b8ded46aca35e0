// Run folders: runs/00012-perflow-mnist-w4-b64/ with options.json, log.jsonl, samples/, model/, state/.
import { appendFile, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder, writeAtomic } from "./atomic.ts";
import { writeJson } from "./files.ts";

export interface RunName {
  /** "perflow", "train" */
  readonly method: string;
  /** The path of `--data`, of which the last part is taken. */
  readonly data: string;
  readonly windows?: number;
  readonly batch?: number;
}

export interface RunDir {
  readonly path: string;
  readonly samples: string;
  readonly model: string;
  readonly state: string;
  readonly optionsFile: string;
  readonly logFile: string;
  /** Adds one JSON line to log.jsonl. */
  log(event: object): Promise<void>;
}

/** "00012-perflow-mnist-w4-b64" */
export function runName(number: number, { method, data, windows, batch }: RunName): string {
  const parts = [
    String(number).padStart(5, "0"),
    slug(method),
    slug(lastPart(data).replace(/^toy:/, "")),
    windows !== undefined && `w${windows}`,
    batch !== undefined && `b${batch}`,
  ];
  return parts.filter(Boolean).join("-");
}

/** The number after the largest among the names of run folders, from 0. */
export function nextNumber(names: readonly string[]): number {
  return Math.max(-1, ...names.map((name) => Number(name.match(/^(\d{5,})-/)?.[1] ?? -1))) + 1;
}

/** Makes the next run folder below `root` and writes the options. Two runs that start at once get two folders. */
export async function createRun(root: string, name: RunName, options: object): Promise<RunDir> {
  await makeFolder(root);
  for (;;) {
    const path = join(root, runName(nextNumber(await readdir(root)), name));
    const taken = await mkdir(path).then(
      () => false,
      (error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "EEXIST") return true;
        throw error;
      },
    );
    if (taken) continue;
    return fill(runAt(path), options);
  }
}

/** Makes this very folder a run. Throws an Error where there is something else already. */
export async function makeRun(path: string, options: object): Promise<RunDir> {
  await makeFolder(path);
  const there = (await readdir(path)).filter((name) => !name.startsWith("."));
  if (there.length > 0)
    throw new Error(`${path} is no run folder, but it is not empty: it holds ${there[0]}. Give another --run.`);
  return fill(runAt(path), options);
}

async function fill(run: RunDir, options: object): Promise<RunDir> {
  for (const folder of [run.samples, run.model, run.state]) await mkdir(folder);
  await writeJson(run.optionsFile, options);
  return run;
}

/** The places inside a run folder. */
export function runAt(path: string): RunDir {
  const logFile = join(path, "log.jsonl");
  return {
    path,
    samples: join(path, "samples"),
    model: join(path, "model"),
    state: join(path, "state"),
    optionsFile: join(path, "options.json"),
    logFile,
    log: (event) => appendFile(logFile, `${JSON.stringify(event)}\n`),
  };
}

/**
 * Takes out of a log what a run that resumes will write again: events that `keep` refuses, and a last line that a crash
 * cut off. Does nothing if there is no log.
 */
export async function rewindLog(run: RunDir, keep: (event: unknown) => boolean): Promise<void> {
  const events = await readLog(run.logFile);
  if (!events) return;
  await writeAtomic(
    run.logFile,
    events
      .filter(keep)
      .map((event) => `${JSON.stringify(event)}\n`)
      .join(""),
  );
}

/** The events of a log, without a cut-off last line; undefined if there is none. Throws an Error on any other bad line. */
export async function readLog(path: string): Promise<unknown[] | undefined> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const lines = text.split("\n").slice(0, -1); // what follows the last newline was not written to its end
  return lines.map((line, i) => {
    try {
      return JSON.parse(line);
    } catch (cause) {
      throw new Error(`${path} has no JSON in line ${i + 1}: "${line.slice(0, 60)}".`, { cause });
    }
  });
}

/** "../data/mnist/" -> "mnist", "toy:8gaussians" as it is. */
export const lastPart = (path: string): string => path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/, "");

const slug = (text: string) =>
  text
    .toLowerCase()
    .replace(/\.tar$/, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
