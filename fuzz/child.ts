// A process of its own: what hangs it, kills it or takes its memory is seen from outside.
import { readFileSync, writeFileSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { judge, most, type Verdict, verdicts } from "./judge.ts";
import { rngFor } from "./random.ts";
import { targets } from "./targets/index.ts";

/** Inputs `from` to `from + count`; carefully: one at a time, each with its time and memory. Or the input of a file. */
export interface Task {
  readonly parser: string;
  readonly seed: number;
  readonly from: number;
  readonly count: number;
  readonly careful: boolean;
  readonly files?: Readonly<Record<string, string>>;
}
export interface Found {
  readonly index: number;
  readonly verdict: Verdict;
  readonly note: string;
}
export interface Report {
  readonly done: number;
  readonly counts: Readonly<Partial<Record<Verdict, number>>>;
  readonly found: readonly Found[];
  /** Why the same inputs should be read carefully. */
  readonly suspect?: string;
}

let rejected: string | undefined;
const note = (error: unknown) => {
  rejected ??= error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 300) : String(error);
};
process.on("unhandledRejection", note);
process.on("uncaughtException", note);

process.on("message", async (task: Task) => {
  process.send?.(await work(task));
});
process.send?.("ready");

async function work({ parser, seed, from, count, careful, files }: Task): Promise<Report> {
  const target = await targets[parser]();
  const counts: Partial<Record<Verdict, number>> = Object.fromEntries(verdicts.map((v) => [v, 0]));
  const found: Found[] = [];
  let suspect: string | undefined;
  for (let index = from; index < from + count; index++) {
    const input = files
      ? Object.fromEntries(
          Object.entries(files).map(([name, text]) => [name, new Uint8Array(Buffer.from(text, "base64"))]),
        )
      : await target.make(rngFor(parser, seed, index));
    if (careful) resetPeak();
    const before = process.cpuUsage();
    let { verdict, note } = await judge(target, input);
    const { user, system } = process.cpuUsage(before);
    const seconds = (user + system) / 1e6;
    if (careful) {
      await turn();
      await turn();
      if (rejected) [verdict, note] = ["crash", rejected];
      else if (seconds > most.seconds) [verdict, note] = ["hang", `${seconds.toFixed(1)} s. ${note}`];
      else if (peak() > most.mebibytes) [verdict, note] = ["memory", `${Math.round(peak())} MiB. ${note}`];
      rejected = undefined;
    } else if (seconds > most.seconds) suspect ??= `${seconds} s`;
    counts[verdict] = (counts[verdict] ?? 0) + 1;
    if (verdict !== "ok" && verdict !== "clear") found.push({ index, verdict, note });
    if (index % 64 === 0) {
      collectGarbage();
      await turn();
    }
  }
  await turn();
  await turn();
  if (!careful && rejected) suspect ??= rejected;
  if (!careful && process.resourceUsage().maxRSS / 1024 > most.mebibytes) suspect ??= "memory";
  rejected = undefined;
  return { done: count, counts, found, suspect };
}

let calm = 3e8;

/** Asking for the memory in use takes longer than many an input, and collecting much longer. */
function collectGarbage(): void {
  if (process.memoryUsage.rss() < calm) return;
  globalThis.gc?.();
  calm = Math.max(3e8, process.memoryUsage.rss() + 5e7);
}

/** The kernel counts the most memory from here on. */
function resetPeak(): void {
  globalThis.gc?.();
  if (process.platform === "linux") writeFileSync("/proc/self/clear_refs", "5");
}
function peak(): number {
  if (process.platform !== "linux") return process.resourceUsage().maxRSS / 1024;
  return Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) / 1024;
}
