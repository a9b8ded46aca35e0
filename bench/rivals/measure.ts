// Our time and a rival's in turns, after checking that they compute the same.

import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Runtime } from "../../src/runtime/index.ts";
import type { Timed } from "../alternate.ts";
import { batchOf, type Case, type Phase, withBatch } from "../cases.ts";
import { compare } from "../exchange.ts";
import { type Prepared, prepare } from "../ours.ts";
import { median } from "../table.ts";
import type { Reply, Request } from "./child.ts";
import type { RivalName } from "./find.ts";
import type { About } from "./operators.ts";

/** A rival and how it is used; the first form is what it ships, the other the best we could make of it. */
interface Form {
  readonly key: string;
  readonly rival: RivalName;
  readonly form: string;
  /** Tried where a kernel is missing. */
  readonly fallback?: string;
  /** Differs from the first form in convolutions only. */
  readonly convolutions?: boolean;
}
const forms: readonly Form[] = [
  { key: "jax-js", rival: "jax-js", form: "conv" },
  { key: "jax-js (columns)", rival: "jax-js", form: "columns", convolutions: true },
  { key: "tfjs", rival: "tfjs", form: "wasm", fallback: "cpu" },
  { key: "tfjs (composed kernels)", rival: "tfjs", form: "wasm+kernels" },
];

export interface RivalRow extends About {
  /** Of one run at the full batch: measured at `batch`, and where that is less, scaled, except for the optimizer. */
  readonly ms: number;
  /** Ours, in the same turns. */
  readonly oursMs: number;
  /** Ours over theirs, as in the table. */
  readonly ratio: number;
  /** The same of processor time over all threads: what other processes do matters less to it, and threads do not. */
  readonly cpuRatio: number;
  readonly batch: number;
  readonly fullBatch: number;
  readonly rounds: number;
  /** Largest relative difference of output, loss or gradient. */
  readonly difference: number;
  /** What else was tried before. */
  readonly note?: string;
}
/** By name; a sentence where there is no time. */
export type RivalRows = Readonly<Record<string, RivalRow | { readonly reason: string }>>;

export interface Setting {
  readonly runtime: Runtime;
  /** Where the rivals are installed. */
  readonly folder: string | undefined;
  readonly rivals: readonly RivalName[];
  /** Limit for a row of a rival's form. */
  readonly seconds: number;
  /** A folder for results. */
  readonly scratch: string;
}

/** Every form of every rival against ours, which is prepared at the full batch. */
export async function measureRivals(s: Setting, c: Case, phase: Phase, theta: Float32Array, ours: Prepared) {
  const rows: Record<string, RivalRow | { reason: string }> = {};
  const convolves = c.family === "unet2d" || c.family === "unet2dCondition";
  for (const { key, rival, form, fallback, convolutions } of forms) {
    if (!s.rivals.includes(rival) || (convolutions && !convolves)) continue;
    const row = await attempt(s, rival, form, c, phase, theta, ours);
    if ("reason" in row && fallback && row.reason.includes("not registered for backend")) {
      const second = await attempt(s, rival, fallback, c, phase, theta, ours);
      rows[key] = "reason" in second ? second : { ...second, note: `Wasm: ${row.reason}` };
    } else rows[key] = row;
  }
  return rows;
}

async function attempt(
  s: Setting,
  rival: RivalName,
  form: string,
  c: Case,
  phase: Phase,
  theta: Float32Array,
  ours: Prepared,
  largest = batchOf(c),
): Promise<RivalRow | { reason: string }> {
  const child = fork(fileURLToPath(new URL("child.ts", import.meta.url)), {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  const end = performance.now() + 1000 * s.seconds;
  const remaining = () => end - performance.now();
  const full = batchOf(c);
  const smallest = Math.max(1, full / 16);
  let batch = smallest;
  try {
    const { about } = await ask(child, { do: "start", rival, form, folder: s.folder }, remaining());
    if (!about) return { reason: "It did not start." };
    const out = join(s.scratch, "rival.f32");
    const open = async () => {
      const begin = performance.now();
      const timed = timeOf(await ask(child, { do: "prepare", name: c.name, phase, batch, out }, remaining()));
      const spent = performance.now() - begin;
      return { ...timed, spent, difference: await agreement(s.runtime, withBatch(c, batch), phase, theta, out) };
    };
    let opened = await open();
    const estimate = (to: number) => opened.fixedMs + ((opened.ms - opened.fixedMs) * to) / batch;
    let larger = largest;
    // Compiling again, two runs to warm up and several to measure have to fit.
    while (larger > batch && opened.spent + 8 * estimate(larger) > remaining()) larger /= 2;
    if (larger > batch) {
      batch = larger;
      opened = await open();
    }
    const turns: { ours: Timed; theirs: Timed }[] = [];
    const turn = async (theirs: () => Promise<Answer>) => {
      const mine = await oursOnce(ours);
      const { ms, fixedMs, cpuMs } = await theirs();
      const scaled = fixedMs + ((ms - fixedMs) * full) / batch;
      turns.push({ ours: mine, theirs: { ms: scaled, cpuMs: (cpuMs * scaled) / ms } });
    };
    const runs = Math.min(200, Math.ceil(60 / opened.ms));
    // A run of many seconds is not thrown away: it was the second one.
    if (opened.ms > 10_000) await turn(async () => opened);
    const begun = performance.now();
    const worthwhile = () =>
      turns.length < 7 && performance.now() - begun < 250 * s.seconds && remaining() > 2 * opened.ms + 2000;
    while (turns.length === 0 || worthwhile())
      await turn(async () => timeOf(await ask(child, { do: "time", runs }, remaining())));
    return {
      ...about,
      ms: median(turns.map((t) => t.theirs.ms)),
      oursMs: median(turns.map((t) => t.ours.ms)),
      ratio: median(turns.map((t) => t.ours.ms / t.theirs.ms)),
      cpuRatio: median(turns.map((t) => t.ours.cpuMs / t.theirs.cpuMs)),
      batch,
      fullBatch: full,
      rounds: turns.length,
      difference: opened.difference,
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    // Too large for its memory, or slower than it seemed: there is a time at a smaller batch.
    if (batch > smallest) return await attempt(s, rival, form, c, phase, theta, ours, batch / 2);
    return { reason: reason === late ? `No time within ${s.seconds} s at a batch of ${batch} of ${full}.` : reason };
  } finally {
    child.kill("SIGKILL");
  }
}

const late = "late";

/** The reply within the time left; throws `late`, or the sentence with which the child failed. */
function ask(child: ChildProcess, request: Request, ms: number): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const done = (f: () => void) => {
      clearTimeout(timer);
      child.off("message", answered).off("exit", ended);
      f();
    };
    const answered = (reply: Reply) =>
      done(() => (reply.error === undefined ? resolve(reply) : reject(new Error(reply.error))));
    const ended = (code: number | null) => done(() => reject(new Error(`Its process ended with code ${code}.`)));
    const timer = setTimeout(() => done(() => reject(new Error(late))), Math.max(0, ms));
    child.on("message", answered).on("exit", ended);
    child.send(request);
  });
}

interface Answer extends Timed {
  readonly fixedMs: number;
}
const timeOf = ({ ms = Number.NaN, fixedMs = 0, cpuMs = Number.NaN }: Reply): Answer => ({ ms, fixedMs, cpuMs });

/** One of our runs, repeated to last 60 ms after one that is not counted. */
async function oursOnce(ours: Prepared): Promise<Timed> {
  const start = performance.now();
  await ours.run();
  const runs = Math.min(200, Math.ceil(60 / (performance.now() - start)));
  const begin = performance.now();
  const before = process.cpuUsage();
  for (let i = 0; i < runs; i++) await ours.run();
  const { user, system } = process.cpuUsage(before);
  return { ms: (performance.now() - begin) / runs, cpuMs: (user + system) / 1000 / runs };
}

/** Largest relative difference between our results at the same batch and theirs; throws a sentence where it is too large. */
async function agreement(runtime: Runtime, c: Case, phase: Phase, theta: Float32Array, out: string): Promise<number> {
  const ours = await prepare(runtime, c, phase, theta);
  try {
    await ours.run();
    const differences = compare(await ours.results(), out, theta, "The rival");
    for (const { what, relative, allowed } of differences)
      if (!(relative <= allowed))
        throw new Error(`Its ${what} differs from ours by ${relative.toExponential(1)} (allowed ${allowed}).`);
    return Math.max(...differences.slice(0, 2).map((d) => d.relative));
  } finally {
    await ours.dispose();
  }
}

/** A line for each rival of a row. */
export const printedRivals = (rows: RivalRows): string[] =>
  Object.entries(rows).map(([key, row]) => {
    if ("reason" in row) return `    ${key}: ${row.reason}`;
    const scaled = row.batch < row.fullBatch ? `, scaled from a batch of ${row.batch} of ${row.fullBatch}` : "";
    const times = `${row.ms.toFixed(0)} ms, ours ${row.oursMs.toFixed(1)} ms`;
    const setting = `${row.version}, ${row.backend}, ${row.threads} thread${row.threads > 1 ? "s" : ""}${scaled}`;
    return `    ${key} ${inverse(row.ratio)} slower, ${inverse(row.cpuRatio)} in processor time: ${times} (${setting})`;
  });
const inverse = (ratio: number): string => `${(1 / ratio).toFixed(1)}x`;
