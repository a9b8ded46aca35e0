// Every method with its preset for small data: each run is a process of its own with one thread; what is finished is kept
// and not done again.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { accelerateTeacher } from "../src/node/accelerate.ts";
import { accelerateOptions } from "../src/node/accelerateOptions.ts";
import { writeAtomic } from "../src/node/atomic.ts";
import { type Context, quietContext } from "../src/node/context.ts";
import { methodNamed, methods, presetOf, resolveMethod } from "../src/node/methods.ts";
import type { SampleKind } from "../src/recipes/recipe.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

/** The steps that each method is made for, first; then others that its sampler allows. */
export const stepsOf: Readonly<Record<string, { readonly goal: readonly number[]; readonly more: readonly number[] }>> =
  {
    perflow: { goal: [4], more: [8] },
    "rectified-diffusion": { goal: [1, 2], more: [4] },
    "rectified-diffusion-phased": { goal: [4], more: [8] },
    "rectified-diffusion-cd": { goal: [1, 2], more: [4] },
    reflow: { goal: [1], more: [2, 4] },
    instaflow: { goal: [1], more: [] },
    consistency: { goal: [1], more: [2, 4] },
    lcm: { goal: [1], more: [2, 4] },
    progressive: { goal: [1], more: [] },
    dmd: { goal: [1], more: [] },
    swiftbrush: { goal: [1], more: [] },
    adversarial: { goal: [1], more: [] },
    meanflow: { goal: [1], more: [2, 4] },
    scm: { goal: [1], more: [2, 4] },
  };

export const allSteps = (method: string): readonly number[] => [...stepsOf[method].goal, ...stepsOf[method].more];

export const stepText = (n: number) => `${n} step${n === 1 ? "" : "s"}`;

export interface Run {
  readonly method: string;
  readonly data: string;
  readonly seed: number;
  /** The preset that it was made with: another one is another run. */
  readonly preset: Readonly<Record<string, unknown>>;
  readonly images: number;
  /** The teacher's network evaluations in training, those for the pairs included. */
  readonly teacherNfe: number;
  /** Of training, by the clock and on the processor. Pairs that runs share are not in them. */
  readonly seconds: number;
  readonly cpuSeconds: number;
}

export interface Results<R extends Run> {
  readonly about: Readonly<Record<string, unknown>>;
  readonly runs: readonly R[];
}

export interface Benchmark<R extends Run> {
  readonly kind: SampleKind;
  /** Of run folders. */
  readonly folder: string;
  readonly results: string;
  readonly page: string;
  /** Default sets of data. */
  readonly data: readonly string[];
  readonly seeds: readonly number[];
  /** Makes what all runs of a data set and seed share, once, in this folder. */
  prepare(data: string, folder: string, context: Context): Promise<void>;
  /** Trains and measures one student. `shared` was made by `prepare`. */
  measure(
    at: { readonly method: string; readonly data: string; readonly run: string; readonly shared: string },
    context: Context,
  ): Promise<R>;
  about(data: readonly string[], folderOf: FolderOf): Promise<Readonly<Record<string, unknown>>>;
  documentOf(results: Results<R>): string;
  /** A finished run in a line. */
  shown(run: R): string;
  figure(data: string, seed: number, folderOf: FolderOf, context: Context): Promise<void>;
}

/** The folder of a run, or, of the name "teacher", of what runs share. */
export type FolderOf = (name: string, data: string, seed: number) => string;

/** Whether what is made in this folder was finished. */
export const isFinished = (folder: string) => existsSync(join(folder, "finished"));

export interface Training {
  readonly method: string;
  readonly teacher: string;
  readonly data: string;
  readonly kind: SampleKind;
  readonly run: string;
  /** Where pairs of so many steps of the teacher are shared between methods. */
  readonly pairsOf?: (teacherSteps: unknown) => string;
}

/** Trains a student with its preset, and says what it took. */
export async function trainStudent(t: Training, context: Context): Promise<Omit<Run, "data">> {
  const { method, teacher, data, run, kind } = t;
  const recipe = methodNamed(method);
  const preset = presetOf(recipe, "small", kind);
  const wanted = resolveMethod(recipe, {}, preset);
  const pairs = recipe.needs(wanted).includes("pairs") ? { pairsDir: t.pairsOf?.(wanted.teacherSteps) } : {};
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  const options = { teacher, method, preset: "small", data, run, previewEvery: 0, ...pairs };
  if (!(await accelerateTeacher(accelerateOptions.parse(options), context))) throw new Error("No student was trained.");
  const seconds = (performance.now() - began) / 1000;
  const cpuSeconds = spent(cpu);
  const card = JSON.parse(await readFile(join(run, "model", "card.json"), "utf8")) as {
    imagesSeen: number;
    teacherNfe: number;
  };
  const { imagesSeen: images, teacherNfe } = card;
  return { method, seed: context.seed, preset, images, teacherNfe, seconds, cpuSeconds };
}

/** Seconds of the processor since then, of this process. */
export function spent(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1e6;
}

export async function runBenchmark<R extends Run>(b: Benchmark<R>): Promise<void> {
  const { values } = parseArgs({
    options: {
      methods: { type: "string", default: methods.join(",") },
      seeds: { type: "string", default: b.seeds.join(",") },
      data: { type: "string", default: b.data.join(",") },
      jobs: { type: "string", default: "2" },
      /** Of a run's own process: "<method>,<data>,<seed>". */
      one: { type: "string" },
    },
  });
  const folderOf: FolderOf = (name, data, seed) => join(b.folder, `${data}-${seed}-${name}`);
  const contextOf = (seed: number) => quietContext({ runtime: nodeRuntime({ threads: 1 }), seed });
  if (values.one !== undefined) {
    const [method, data, seed] = values.one.split(",");
    const made = await one(b, { method, data, seed: Number(seed) }, folderOf, contextOf(Number(seed)));
    process.stdout.write(`${JSON.stringify(made ?? null)}\n`);
    return;
  }
  const chosen = values.methods.split(",").map((name) => methodNamed(name).name);
  const [sets, seeds] = [values.data.split(","), values.seeds.split(",").map(Number)];
  const jobs = Math.min(2, Number(values.jobs));
  const kept = (): Results<R> =>
    existsSync(b.results) ? (JSON.parse(readFileSync(b.results, "utf8")) as Results<R>) : { about: {}, runs: [] };
  let results = kept();
  const keep = async (run?: R) => {
    // Another process may have kept runs since.
    results = kept();
    const others = results.runs.filter((r) => !run || !same(r, run));
    const order = (r: Run) => [r.data, String(methods.indexOf(r.method)).padStart(2, "0"), r.seed].join();
    const runs = [...others, ...(run ? [run] : [])].sort((x, y) => (order(x) < order(y) ? -1 : 1));
    const measured = runs.map(({ data }) => data);
    const all = [...b.data, ...sets, ...measured].filter((data, i, list) => list.indexOf(data) === i);
    results = { about: await b.about(all, folderOf), runs };
    await writeAtomic(b.results, `${JSON.stringify(results, null, 1)}\n`);
    await writeAtomic(b.page, b.documentOf(results));
  };
  const presetNow = (method: string) => JSON.stringify(presetOf(methodNamed(method), "small", b.kind));
  const isDone = (of: Job) =>
    results.runs.some((r) => same(r, of) && JSON.stringify(r.preset) === presetNow(of.method));
  const combinations = seeds.flatMap((seed) => sets.map((data) => ({ data, seed })));
  const shared = combinations
    .filter(({ data, seed }) => !isFinished(folderOf("teacher", data, seed)))
    .map((c) => ({ method: "teacher", ...c }));
  await inTurn(shared, jobs, async (job) => {
    await child<R>(job);
    say(`teacher of ${job.data}, seed ${job.seed}`);
  });
  const todo = combinations.flatMap((c) => chosen.map((method) => ({ method, ...c }))).filter((job) => !isDone(job));
  let done = 0;
  await inTurn(todo, jobs, async (job) => {
    const run = await child<R>(job);
    done++;
    if (!run) return;
    await keep(run);
    const { method, data, seed } = run;
    say(`${done} of ${todo.length}  ${method}, ${data}, seed ${seed}: ${b.shown(run)}  (${run.seconds.toFixed(0)} s)`);
  });
  await keep();
  await b.figure(sets[0], seeds[0], folderOf, contextOf(seeds[0]));
}

interface Job {
  readonly method: string;
  readonly data: string;
  readonly seed: number;
}

const same = (a: Job, b: Job) => a.method === b.method && a.data === b.data && a.seed === b.seed;

/** What a process of its own does. */
async function one<R extends Run>(
  b: Benchmark<R>,
  { method, data, seed }: Job,
  folderOf: FolderOf,
  context: Context,
): Promise<R | undefined> {
  const shared = folderOf("teacher", data, seed);
  const run = folderOf(method, data, seed);
  if (method === "teacher") {
    await mkdir(b.folder, { recursive: true });
    await b.prepare(data, shared, context);
    await writeAtomic(join(shared, "finished"), "");
    return undefined;
  }
  await rm(run, { recursive: true, force: true });
  const measured = await b.measure({ method, data, run, shared }, context);
  await writeAtomic(join(run, "finished"), "");
  return measured;
}

const say = (text: string) => process.stderr.write(`${text}\n`);

async function inTurn<T>(items: readonly T[], lanes: number, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift())
        await work(item).catch((error: unknown) => {
          process.exitCode = 1;
          say(String(error instanceof Error ? error.message : error));
        });
    }),
  );
}

/** A run in a process of its own. */
function child<R>({ method, data, seed }: Job): Promise<R | undefined> {
  const args = [...process.execArgv, process.argv[1], "--one", `${method},${data},${seed}`];
  return new Promise((resolve, reject) => {
    const running = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    running.stdout.on("data", (part) => {
      out += part;
    });
    running.stderr.on("data", (part) => {
      err += part;
    });
    running.on("error", reject);
    running.on("close", (code) => {
      if (code === 0) resolve((JSON.parse(out.trim().split("\n").at(-1) ?? "null") as R | null) ?? undefined);
      else reject(new Error(`${method}, ${data}, seed ${seed}: ${err.trim()}`));
    });
  });
}
