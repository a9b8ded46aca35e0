// `fewstep` for tests: in this process, or as a process of its own that can be killed.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { commands } from "../../src/cli/commands/index.ts";
import { runProgram } from "../../src/cli/program.ts";

export const root = resolve(import.meta.dirname, "../..");

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One thread: the networks here are tiny. */
export const fewstep = (...args: readonly string[]): Promise<Ended> => run(args);

/** What goes wrong: one sentence, the exit code, and nothing on stdout. Returns the sentence. */
export async function failure(code: 1 | 2, ...args: readonly string[]): Promise<string> {
  const ended = await fewstep("--quiet", ...args);
  expect(ended.err, "one sentence").toMatch(/^Error: [^\n]+[.?)]\n$/);
  expect([ended.code, ended.out]).toEqual([code, ""]);
  return ended.err.slice("Error: ".length, -1);
}

/** As if Ctrl-C had been pressed at the start. */
export const interruptedFewstep = (...args: readonly string[]): Promise<Ended> => run(args, AbortSignal.abort());

async function run(args: readonly string[], signal?: AbortSignal): Promise<Ended> {
  let [out, err] = ["", ""];
  const streams = {
    stdout: {
      write(text: string) {
        out += text;
      },
    },
    stderr: {
      write(text: string) {
        err += text;
      },
    },
  };
  const code = await runProgram(commands, ["--threads", "1", ...args], streams, signal);
  return { code, out, err };
}

export interface Event {
  readonly kind: string;
  readonly step?: number;
  readonly path?: string;
}

/** Starts a process with --json and shows it every event; it may be killed there. Resolves when the process has ended. */
export function fewstepProcess(
  args: readonly string[],
  onEvent: (event: Event, child: ChildProcess) => void = () => {},
): Promise<Ended & { readonly signal: NodeJS.Signals | null }> {
  const main = join(root, "src/cli/main.ts");
  const child = spawn(process.execPath, ["--import", "tsx", main, "--json", "--threads", "1", ...args], { cwd: root });
  let [out, err] = ["", ""];
  createInterface({ input: child.stdout }).on("line", (line) => {
    out += `${line}\n`;
    if (line.startsWith("{")) onEvent(JSON.parse(line), child);
  });
  child.stderr.on("data", (data) => {
    err += data;
  });
  return new Promise((done) => child.on("close", (code, signal) => done({ code: code ?? -1, out, err, signal })));
}

export interface Scratch {
  at(...parts: string[]): string;
}

/** A folder that is there for one test. */
export const scratch = (): Scratch => folderBetween(beforeEach, afterEach);
/** A folder that is there for all tests of a file. */
export const scratchOnce = (): Scratch => folderBetween(beforeAll, afterAll);

function folderBetween(before: (make: () => Promise<void>) => void, after: (remove: () => Promise<void>) => void) {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "fewstep-cli-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  return { at: (...parts: string[]) => join(folder, ...parts) };
}

/** The only run folder below `runs`. */
export async function onlyRun(runs: string): Promise<string> {
  const names = await readdir(runs);
  if (names.length !== 1) throw new Error(`Expected one run, found ${names.join(", ")}.`);
  return join(runs, names[0]);
}

/** Every file of a finished run that must not depend on how often it was stopped. */
export async function contents(run: string): Promise<Record<string, string>> {
  const files = ["state/state.safetensors", "model/model.safetensors", "model/card.json", "log.jsonl"];
  const texts = await Promise.all(files.map((file) => readFile(join(run, file), "latin1")));
  return Object.fromEntries(files.map((file, i) => [file, texts[i].replaceAll(/,"seconds":[\d.]+/g, "")]));
}

/** Starts a process and sends it signals once it shows its first progress. */
export function fewstepSignaled(args: readonly string[], signals: readonly NodeJS.Signals[]) {
  const main = join(root, "src/cli/main.ts");
  const child = spawn(process.execPath, ["--import", "tsx", main, "--threads", "1", ...args], { cwd: root });
  let [out, err, sent] = ["", "", false];
  child.stdout.on("data", (data) => {
    out += data;
  });
  child.stderr.on("data", (data) => {
    err += data;
    if (sent || !/ of /.test(err)) return;
    sent = true;
    for (const signal of signals) child.kill(signal);
  });
  return new Promise<Ended & { readonly signal: NodeJS.Signals | null }>((done) =>
    child.on("close", (code, signal) => done({ code: code ?? -1, out, err, signal })),
  );
}
