// Asks a child process to read a case, and measures what that takes.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Answer, Question } from "./cases.ts";

export interface Asked {
  readonly answer: Answer;
  readonly seconds: number;
  /** The most memory that the child has held, in MiB; undefined where the system does not say. */
  readonly mebibytes: number | undefined;
}

/** Throws an Error where the child dies, during the case or in a moment after it, or takes longer than `seconds`. */
export async function ask(child: ChildProcess, question: Question, seconds: number): Promise<Asked> {
  const start = performance.now();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 1000 * seconds);
  try {
    const answered = once(child, "message", { signal: stop.signal });
    child.send(question);
    const [answer] = (await Promise.race([answered, died(child, stop.signal)])) as [Answer];
    const taken = (performance.now() - start) / 1000;
    const mebibytes = peakMemory(child);
    // What was left behind, such as a rejected promise, ends the process in its next turns.
    await Promise.race([new Promise((done) => setTimeout(done, 100)), died(child, stop.signal)]);
    return { answer, seconds: taken, mebibytes };
  } catch (cause) {
    child.kill("SIGKILL");
    throw stop.signal.aborted ? new Error(`No answer within ${seconds} s.`, { cause }) : cause;
  } finally {
    clearTimeout(timer);
  }
}

async function died(child: ChildProcess, signal: AbortSignal): Promise<never> {
  const [code, killed] = child.exitCode === null ? await once(child, "exit", { signal }) : [child.exitCode, null];
  throw new Error(`The process ended (${killed ?? `exit code ${code}`}).`);
}

export async function startChild(): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, "child.ts"), {
    execArgv: ["--import", "tsx"],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  // One for each case that was asked, until it ends.
  child.setMaxListeners(0);
  await Promise.race([once(child, "message"), died(child, new AbortController().signal)]);
  return child;
}

function peakMemory({ pid }: ChildProcess): number | undefined {
  try {
    const kib = readFileSync(`/proc/${pid}/status`, "utf8").match(/VmHWM:\s*(\d+) kB/)?.[1];
    return kib === undefined ? undefined : Number(kib) / 1024;
  } catch {
    return undefined;
  }
}
