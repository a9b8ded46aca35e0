// The clock: both sides in turns, so that what the machine does to one it does to the other.

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import type { Prepared } from "./ours.ts";
import type { Torch } from "./torch.ts";

/** Milliseconds of one run: on the clock, and of processor time over all threads. */
export interface Timed {
  readonly ms: number;
  readonly cpuMs: number;
}

export interface Timings {
  readonly ours: readonly Timed[];
  /** Empty where there is no PyTorch. */
  readonly torch: readonly Timed[];
  /** Share of the processors that other processes used; null outside Linux. */
  readonly disturbed: number | null;
}

/** `rounds` turns of each side; who begins changes every round. Both have been run before. */
export async function alternate(prepared: Prepared, torch: Torch | null, rounds: number): Promise<Timings> {
  const start = performance.now();
  await prepared.run();
  const once = performance.now() - start;
  // Short runs are repeated, after one without a clock, to last 60 ms.
  const runs = Math.min(200, Math.ceil(60 / once));
  const warm = once < 1000 ? 1 : 0;
  const ours: Timed[] = [];
  const theirs: Timed[] = [];
  let used = 0;
  const turns = [
    async () => {
      for (let i = 0; i < warm; i++) await prepared.run();
      const begin = performance.now();
      const before = cpu();
      for (let i = 0; i < runs; i++) await prepared.run();
      ours.push({ ms: (performance.now() - begin) / runs, cpuMs: (cpu() - before) / runs });
    },
    async () => {
      if (!torch) return;
      const { ms, cpuMs, cpu: total } = await torch.ask({ do: "time", runs, warm });
      if (ms === undefined || cpuMs === undefined || total === undefined) throw new Error("PyTorch returned no time.");
      theirs.push({ ms, cpuMs });
      used = total;
    },
  ];
  const usedBefore = (await torch?.ask({ do: "time", runs: 1, warm: 0 }))?.cpu ?? 0;
  const [begin, cpuBegin, busyBegin] = [performance.now(), cpu(), machineBusy()];
  for (let round = 0; round < rounds; round++)
    for (const turn of round % 2 ? [...turns].reverse() : turns) {
      await turn();
      // The threads of the side that ran spin for a while before they sleep.
      await sleep(30);
    }
  const elapsed = performance.now() - begin;
  const own = cpu() - cpuBegin + (torch ? used - usedBefore : 0);
  const busyEnd = machineBusy();
  const others = busyEnd === null || busyBegin === null ? null : busyEnd - busyBegin - own;
  const disturbed = others === null ? null : Math.max(0, others / elapsed / availableParallelism());
  return { ours, torch: theirs, disturbed };
}

/** Processor milliseconds of this process, all threads. */
function cpu(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Milliseconds in which a processor was not idle, summed over processors since the machine started (ticks of 10 ms). */
function machineBusy(): number | null {
  try {
    const fields = readFileSync("/proc/stat", "utf8").split("\n")[0].trim().split(/\s+/).slice(1).map(Number);
    const [user, nice, system, , , irq, softirq] = fields;
    return 10 * (user + nice + system + irq + softirq);
  } catch {
    return null;
  }
}
