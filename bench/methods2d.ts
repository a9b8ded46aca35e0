// npm run bench:methods2d: every method with its preset for small data, in the plane. Student and teacher at the same
// number of network evaluations, by the sliced Wasserstein distance to data that none of them has seen.
//
// Every run is a process of its own with one thread; what is finished is kept and not done again.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openToy } from "../src/data/open.ts";
import { rows, slicedWasserstein } from "../src/metrics/index.ts";
import { fromConstants } from "../src/nn/params.ts";
import { accelerateOptions, accelerateTeacher } from "../src/node/accelerate.ts";
import { writeAtomic } from "../src/node/atomic.ts";
import type { Context } from "../src/node/context.ts";
import { methodNamed, methods, presetOf } from "../src/node/methods.ts";
import { type LoadedModel, loadModel } from "../src/node/models.ts";
import { silent } from "../src/node/reporter.ts";
import { trainOptions, trainTeacher } from "../src/node/train.ts";
import { fold, key } from "../src/random.ts";
import { sampleAll, sampler, samplingGrid } from "../src/run/sample.ts";
import { nodeRuntime } from "../src/runtime/node.ts";
import { solverByName } from "../src/solvers/index.ts";
import { saveClouds } from "./methods2dFigure.ts";
import { documentOf } from "./methods2dTable.ts";

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

const FOLDER = "runs/methods2d";
const SAMPLES = 4096;
const HELD_OUT = 16_384;
const batch = 256;
const teacherRecipe = {
  form: "cosine",
  prediction: "v",
  width: 96,
  depth: 3,
  lr: 2e-3,
  ema: 0.99,
  images: 2400 * batch,
  batch,
  warmup: 50,
  previewEvery: 0,
};

export interface Measured {
  readonly method: string;
  readonly data: string;
  readonly seed: number;
  /** The preset that it was made with: another one is another run. */
  readonly preset: Readonly<Record<string, unknown>>;
  readonly at: readonly { readonly steps: number; readonly student: number; readonly teacher: number }[];
  readonly images: number;
  /** The teacher's network evaluations in training. */
  readonly teacherNfe: number;
  readonly seconds: number;
}

export interface Results {
  readonly about: Readonly<Record<string, unknown>>;
  readonly runs: readonly Measured[];
}

const { values } = parseArgs({
  options: {
    methods: { type: "string", default: methods.join(",") },
    seeds: { type: "string", default: "0,1,2" },
    data: { type: "string", default: "moons,checkerboard" },
    out: { type: "string", default: "docs/results/methods2d.json" },
    jobs: { type: "string", default: "2" },
    /** Of a run's own process: "<method>,<data>,<seed>". */
    one: { type: "string" },
  },
});

const contextOf = (seed: number): Context => ({
  report: silent,
  runtime: nodeRuntime({ threads: 1 }),
  signal: new AbortController().signal,
  seed,
});
const folderOf = (name: string, data: string, seed: number) => join(FOLDER, `${data}-${seed}-${name}`);

async function teacherOf(data: string, context: Context): Promise<string> {
  const run = folderOf("teacher", data, context.seed);
  if (existsSync(join(run, "finished"))) return run;
  await rm(run, { recursive: true, force: true });
  await mkdir(FOLDER, { recursive: true });
  const made = await trainTeacher(trainOptions.parse({ ...teacherRecipe, data: `toy:${data}`, run }), context);
  if (!made) throw new Error("No teacher was trained.");
  await writeAtomic(join(run, "finished"), "");
  return run;
}

/** SAMPLES points, from the same noise for all models. */
export async function points(model: LoadedModel, steps: number, context: Context, n = SAMPLES): Promise<Float32Array> {
  const ready = await sampler(model.model, fromConstants(model.params), context.runtime, Math.min(n, 1024));
  const times = samplingGrid(model.model.form, model.sampler.grid, steps, model.model.prediction);
  const made = await sampleAll(ready, { n, seed: 5, solver: solverByName(model.sampler.solver), times });
  await ready.dispose();
  if (made.nfe !== steps) throw new Error(`${model.path} took ${made.nfe} evaluations for ${steps} steps.`);
  return made.x;
}

const heldOut = (data: string, n: number, from = 0) =>
  openToy(`toy:${data}`, { split: "test" }).batch(Uint32Array.from({ length: n }, (_, i) => from + i)).x;

function distanceTo(data: string, seed: number): (x: Float32Array) => number {
  const reference = rows(heldOut(data, HELD_OUT), 2);
  const metric = slicedWasserstein({ reference, key: fold(key(seed), "directions") });
  return (x) => metric.value(metric.add(metric.init(), rows(x, 2))).value;
}

async function one(method: string, data: string, seed: number): Promise<Measured | undefined> {
  const context = contextOf(seed);
  const teacher = await teacherOf(data, context);
  if (method === "teacher") return undefined;
  const began = performance.now();
  const run = folderOf(method, data, seed);
  await rm(run, { recursive: true, force: true });
  const options = { teacher, method, preset: "small", data: `toy:${data}`, run, previewEvery: 0 };
  if (!(await accelerateTeacher(accelerateOptions.parse(options), context))) throw new Error("No student was trained.");
  const seconds = (performance.now() - began) / 1000;
  const [student, slow] = [await loadModel(run), await loadModel(teacher)];
  const far = distanceTo(data, seed);
  const at = [];
  for (const steps of [...stepsOf[method].goal, ...stepsOf[method].more])
    at.push({
      steps,
      student: far(await points(student, steps, context)),
      teacher: far(await points(slow, steps, context)),
    });
  const card = JSON.parse(await readFile(join(run, "model", "card.json"), "utf8")) as {
    imagesSeen: number;
    teacherNfe: number;
  };
  const preset = presetOf(methodNamed(method), "small");
  await writeAtomic(join(run, "finished"), "");
  return { method, data, seed, preset, at, images: card.imagesSeen, teacherNfe: card.teacherNfe, seconds };
}

async function main(): Promise<void> {
  if (values.one !== undefined) {
    const [method, data, seed] = values.one.split(",");
    const measured = await one(method, data, Number(seed));
    process.stdout.write(`${JSON.stringify(measured ?? null)}\n`);
    return;
  }
  const chosen = values.methods.split(",").map((name) => methodNamed(name).name);
  const [sets, seeds] = [values.data.split(","), values.seeds.split(",").map(Number)];
  const jobs = Math.min(2, Number(values.jobs));
  let results: Results = existsSync(values.out)
    ? (JSON.parse(readFileSync(values.out, "utf8")) as Results)
    : { about: {}, runs: [] };
  const same = (a: Measured, method: string, data: string, seed: number) =>
    a.method === method && a.data === data && a.seed === seed;
  const keep = async (run?: Measured) => {
    const others = results.runs.filter((r) => !run || !same(r, run.method, run.data, run.seed));
    const order = (r: Measured) => [r.data, String(methods.indexOf(r.method)).padStart(2, "0"), r.seed].join();
    const runs = [...others, ...(run ? [run] : [])].sort((a, b) => (order(a) < order(b) ? -1 : 1));
    results = { about: about(sets), runs };
    await writeAtomic(values.out, `${JSON.stringify(results, null, 1)}\n`);
    await writeAtomic("docs/methods2d.md", documentOf(results, stepsOf, methods));
  };
  const isDone = (method: string, data: string, seed: number) =>
    results.runs.some(
      (r) =>
        same(r, method, data, seed) &&
        JSON.stringify(r.preset) === JSON.stringify(presetOf(methodNamed(method), "small")),
    );
  const combinations = seeds.flatMap((seed) => sets.map((data) => ({ data, seed })));
  const teachers = combinations
    .filter(({ data, seed }) => !existsSync(join(folderOf("teacher", data, seed), "finished")))
    .map((c) => ({ method: "teacher", ...c }));
  await inTurn(teachers, jobs, async ({ method, data, seed }) => {
    await child(method, data, seed);
    say(`teacher of ${data}, seed ${seed}`);
  });
  const todo = combinations
    .flatMap((c) => chosen.map((method) => ({ method, ...c })))
    .filter(({ method, data, seed }) => !isDone(method, data, seed));
  let done = 0;
  await inTurn(todo, jobs, async ({ method, data, seed }) => {
    const run = await child(method, data, seed);
    done++;
    if (!run) return;
    await keep(run);
    const shown = run.at.map(
      (a) => `${a.steps}: ${a.student.toFixed(3)} of ${a.teacher.toFixed(3)}, ${(a.student / a.teacher).toFixed(2)} x`,
    );
    say(
      `${done} of ${todo.length}  ${method}, ${data}, seed ${seed}: ${shown.join("; ")}  (${run.seconds.toFixed(0)} s)`,
    );
  });
  await keep();
  await figure(sets[0], seeds[0]);
}

/** Teacher and students at the first step number that they are made for; those that were not finished here are left out. */
async function figure(data: string, seed: number): Promise<void> {
  const context = contextOf(seed);
  const teacher = await loadModel(await teacherOf(data, context));
  const clouds = [];
  for (const steps of [1, 4, 50])
    clouds.push({ title: `teacher, ${stepText(steps)}`, points: await points(teacher, steps, context, 1024) });
  for (const method of methods) {
    const run = folderOf(method, data, seed);
    if (!existsSync(join(run, "finished"))) continue;
    const [steps] = stepsOf[method].goal;
    const made = await points(await loadModel(run), steps, context, 1024);
    clouds.push({ title: `${method}, ${stepText(steps)}`, points: made });
  }
  await saveClouds("docs/images/methods2d", "All methods from the same noise", heldOut(data, 2048), clouds);
}

const stepText = (n: number) => `${n} step${n === 1 ? "" : "s"}`;

const say = (text: string) => process.stderr.write(`${text}\n`);

/** What holds for all of it: how it was measured, and how near the data are to themselves. */
const about = (sets: readonly string[]) => ({
  metric: `sliced Wasserstein distance, 256 directions, ${SAMPLES} samples against ${HELD_OUT} held-out points`,
  teacher: teacherRecipe,
  floor: Object.fromEntries(sets.map((data) => [data, distanceTo(data, 0)(heldOut(data, SAMPLES, HELD_OUT))])),
});

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
function child(method: string, data: string, seed: number): Promise<Measured | undefined> {
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
      if (code === 0) resolve((JSON.parse(out.trim().split("\n").at(-1) ?? "null") as Measured | null) ?? undefined);
      else reject(new Error(`${method}, ${data}, seed ${seed}: ${err.trim()}`));
    });
  });
}

await main();
