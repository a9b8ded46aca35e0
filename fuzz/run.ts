// Gives blocks of inputs to a child process. A block in which anything odd happens is read again, one input at a time.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Found, Report, Task } from "./child.ts";
import { type Verdict, verdicts } from "./judge.ts";
import { SCRATCH } from "./scratch.ts";

export interface Row {
  readonly parser: string;
  inputs: number;
  seconds: number;
  readonly counts: Record<Verdict, number>;
  readonly found: Found[];
}

export interface FuzzOptions {
  readonly parsers: readonly string[];
  readonly seed: number;
  /** For all parsers together, shared alike. */
  readonly seconds?: number;
  /** Of each parser. */
  readonly inputs?: number;
  /** Rows of a run to go on with: its inputs are not tried again. */
  readonly before?: readonly Row[];
  readonly onProgress?: (row: Row) => void;
  /** After each turn of a parser: all rows so far. */
  readonly onTurn?: (rows: readonly Row[], row: Row) => void | Promise<void>;
}

/** All parsers have their turn so often: what is stopped early has tried each. */
const TURNS = 8;

/** Milliseconds that a block should take, and without an answer a process is stopped. */
const block = 1000;
const patience = { block: 120_000, single: 30_000 };

let child: ChildProcess | undefined;

async function started(): Promise<ChildProcess> {
  if (child && child.exitCode === null && child.signalCode === null && !child.killed) return child;
  child = fork(join(import.meta.dirname, "child.ts"), {
    execArgv: ["--import", "tsx", "--expose-gc"],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
    env: { ...process.env, ORT_DISABLE_TELEMETRY: "1", [SCRATCH]: scratchFolder() },
  });
  child.setMaxListeners(0);
  const died = once(child, "exit").then(() => {
    throw new Error("The process of the fuzzer does not start.");
  });
  died.catch(() => {});
  await Promise.race([once(child, "message"), died]);
  return child;
}

export function stopChild(): void {
  child?.kill("SIGKILL");
  child = undefined;
}

let scratch: string | undefined;

/** In memory where there is such a place: a disk would be waited for at every input. */
function scratchFolder(): string {
  if (scratch !== undefined) return scratch;
  const shared = "/dev/shm";
  const folder = mkdtempSync(join(existsSync(shared) ? shared : tmpdir(), "fewstep-fuzz-"));
  process.on("exit", () => {
    stopChild();
    rmSync(folder, { recursive: true, force: true });
  });
  scratch = folder;
  return folder;
}

/** What the child answers, or how it ended. */
async function ask(task: Task, wait: number): Promise<Report | string> {
  const to = await started();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), wait);
  const { signal } = stop;
  try {
    const died = once(to, "exit", { signal }).then(([code, killed]) => `it ended the process (${killed ?? code})`);
    died.catch(() => {});
    const answered = once(to, "message", { signal }).then(([report]) => report as Report);
    answered.catch(() => {});
    to.send(task);
    return await Promise.race([answered, died]);
  } catch {
    stopChild();
    return "no answer";
  } finally {
    clearTimeout(timer);
    stop.abort();
  }
}

/** One input carefully. */
async function alone(task: Omit<Task, "careful" | "count">): Promise<Found> {
  const { from: index } = task;
  const report = await ask({ ...task, count: 1, careful: true }, patience.single);
  if (typeof report === "string") return { index, verdict: report === "no answer" ? "hang" : "crash", note: report };
  const [found] = report.found;
  return found ?? { index, verdict: (report.counts.clear ?? 0) > 0 ? "clear" : "ok", note: "" };
}

/** An input that took too long or too much is read once more by a new process: a busy machine or its neighbors may be why. */
async function confirmed(task: Omit<Task, "careful" | "count">): Promise<Found> {
  const first = await alone(task);
  if (first.verdict !== "hang" && first.verdict !== "memory") return first;
  stopChild();
  return alone(task);
}

/** A block at once; halves of it where anything odd happens, at last one by one. */
async function through(task: Omit<Task, "careful">, row: Row): Promise<void> {
  const report = await ask({ ...task, careful: false }, patience.block);
  if (typeof report !== "string" && report.suspect === undefined) {
    for (const verdict of verdicts) row.counts[verdict] += report.counts[verdict] ?? 0;
    row.found.push(...report.found);
    return;
  }
  stopChild();
  const { from, count } = task;
  if (count > 8) {
    const half = Math.ceil(count / 2);
    await through({ ...task, count: half }, row);
    await through({ ...task, from: from + half, count: count - half }, row);
    return;
  }
  for (let index = from; index < from + count; index++) {
    const found = await confirmed({ ...task, from: index });
    row.counts[found.verdict]++;
    if (found.verdict !== "ok" && found.verdict !== "clear") row.found.push(found);
  }
}

/** An input that was kept as a file. */
export const replay = (parser: string, files: Readonly<Record<string, Uint8Array>>): Promise<Found> =>
  alone({
    ...{ parser, seed: 0, from: 0 },
    files: Object.fromEntries(
      Object.entries(files).map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]),
    ),
  });

export async function fuzz(options: FuzzOptions): Promise<Row[]> {
  const { parsers, seed, seconds, inputs, before = [], onProgress, onTurn } = options;
  const rows = parsers.map((parser): Row => {
    const known = before.find((row) => row.parser === parser);
    if (known) return known;
    const counts = Object.fromEntries(verdicts.map((v) => [v, 0])) as Record<Verdict, number>;
    return { parser, inputs: 0, seconds: 0, counts, found: [] };
  });
  const most = inputs ?? Number.POSITIVE_INFINITY;
  const turns = seconds === undefined ? 1 : TURNS;
  const sizes = new Map<string, number>();
  const spent = new Map(rows.map((row) => [row.parser, row.seconds]));
  for (let turn = 1; turn <= turns; turn++) {
    for (const row of rows) {
      const begun = spent.get(row.parser) ?? 0;
      const share =
        seconds === undefined ? Number.POSITIVE_INFINITY : begun + (turn * seconds) / parsers.length / turns;
      let count = Math.min(sizes.get(row.parser) ?? 32, most);
      while (row.seconds < share && row.inputs < most) {
        await started();
        const start = performance.now();
        await through({ parser: row.parser, seed, from: row.inputs, count }, row);
        row.inputs += count;
        const took = performance.now() - start;
        row.seconds += took / 1000;
        count = Math.max(1, Math.min(most - row.inputs, 5000, Math.ceil((count * block) / Math.max(took, 20))));
        sizes.set(row.parser, count);
        onProgress?.(row);
      }
      await onTurn?.(rows, row);
    }
    // Each turn in a new process: what one parser leaves behind is not held against another for good.
    if (turn < turns) stopChild();
  }
  return rows;
}
