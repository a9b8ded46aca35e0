// The verbs, called from code: the same runs as the command line's, typed options, events, an end at any step.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  accelerate,
  type CallEvent,
  compare,
  evaluate,
  Interrupted,
  load,
  type PlanInput,
  perflow,
  sample,
  type TrainedModel,
  train,
} from "../../src/index.ts";
import { fewstep } from "../cli/fewstep.ts";

let folder: string;
let teacher: TrainedModel;
const data = "toy:moons@512";
const small = { batch: 64, images: 640, previewEvery: 0 } as const;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fewstep-verbs-"));
  teacher = await train({ data, out: at("runs"), width: 16, depth: 1, ...small });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("accelerate", () => {
  test("is the command line's run, byte for byte", async () => {
    const options = { data, windows: 2, teacherSteps: 2, ...small } as const;
    const student = await accelerate(teacher, "perflow", { ...options, run: at("code") });
    const flags = [
      "--data",
      data,
      "--windows",
      "2",
      "--teacher-steps",
      "2",
      "--batch",
      "64",
      "--images",
      "640",
      "--preview-every",
      "0",
    ];
    const { code } = await fewstep("accelerate", teacher.run, "--method", "perflow", ...flags, "--run", at("line"));
    expect(code).toBe(0);
    const weights = (run: string) => readFile(join(run, "model/model.safetensors"));
    expect((await weights(student.run)).equals(await weights(at("line")))).toBe(true);
    expect(student.card?.recipe.method).toBe("perflow");
    expect(student.card?.base).toBe(teacher.hash);
  });

  test("tells what happens, ends when asked to, and goes on with the same call", async () => {
    const stop = new AbortController();
    const events: CallEvent[] = [];
    const call = (signal?: AbortSignal) =>
      accelerate(teacher, perflow, {
        data,
        run: at("stopped"),
        windows: 2,
        ...small,
        seed: 3,
        signal,
        onEvent(event) {
          events.push(event);
          if (event.kind === "step" && event.step === 4) stop.abort();
        },
      });
    const error = await call(stop.signal).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Interrupted);
    expect(events.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(["run", "note", "stage", "step", "progress", "checkpoint"]),
    );
    const reached = events.filter((e) => e.kind === "step").length;
    expect(reached).toBeLessThan(10);
    events.length = 0;
    const student = await call();
    expect(events).toContainEqual({ kind: "resumed", stage: "perflow", step: reached, steps: 10 });
    const whole = await accelerate(teacher, perflow, { data, run: at("whole"), windows: 2, ...small, seed: 3 });
    expect(student.hash).toBe(whole.hash);
    await expect(
      accelerate(teacher, perflow, { data, run: at("whole"), windows: 2, ...small, seed: 4 }),
    ).rejects.toThrow("was started with seed 3, so it cannot go on with 4");
  });

  test("options are typed by the method, and refused in sentences where types do not reach", async () => {
    // @ts-expect-error: a string is no number of windows
    await expect(accelerate(teacher, "perflow", { data, windows: "2" })).rejects.toThrow(
      "expected a whole number from 1",
    );
    // @ts-expect-error: perflow makes no pairs
    await expect(accelerate(teacher, "perflow", { data, pairs: 8 })).rejects.toThrow("There is no option --pairs here");
    // @ts-expect-error: no such method
    await expect(accelerate(teacher, "perlow", { data })).rejects.toThrow("perlow is no method");
    await expect(accelerate(teacher, "perflow", {})).rejects.toThrow("--data is missing: perflow learns from data.");
    await expect(accelerate(at("nothing"), "perflow", { data })).rejects.toThrow("does not exist");
  });
});

describe("sample", () => {
  test("a picture and numbers, the same as from the command line", async () => {
    const path = at("numbers.safetensors");
    const set = await teacher.sample({ steps: 3, n: 5, seed: 7 }).save(path);
    expect([set.x.length, set.nfe, set.steps, set.solver]).toEqual([10, 3, 3, "ddim"]);
    await set.save(at("grid.png"), { columns: 2 });
    expect((await stat(at("grid.png"))).size).toBeGreaterThan(100);
    const { code } = await fewstep(
      "sample",
      teacher.run,
      "--steps",
      "3",
      "--n",
      "5",
      "--seed",
      "7",
      "--out",
      at("b.png"),
      "--save",
      at("b.safetensors"),
    );
    expect(code).toBe(0);
    expect((await readFile(path)).equals(await readFile(at("b.safetensors")))).toBe(true);
    expect((await sample(teacher.run, { steps: 3, n: 5, seed: 7 })).x).toEqual(set.x);
  });

  test("a path that cannot be written ends the sampling; nothing is lost", async () => {
    await expect(teacher.sample({ n: 2 }).save(at("a.jpg"))).rejects.toThrow(
      "expected a name that ends with .png or .safetensors",
    );
    const foreign = join(folder, "runs", "..", "code", "options.json");
    await expect(teacher.sample({ n: 2 }).save(foreign)).rejects.toThrow("expected a name that ends with");
    const stop = new AbortController();
    stop.abort();
    await expect(teacher.sample({ n: 2, signal: stop.signal }).save(at("never.png"))).rejects.toThrow(Interrupted);
    expect(existsSync(at("never.png"))).toBe(false);
    await expect(teacher.sample({ n: 0 })).rejects.toThrow("--n is 0");
    await expect(teacher.sample({ n: 1, class: 2 })).rejects.toThrow("needs a model with classes");
  });
});

test("load and evaluate", async () => {
  const again = await load(at("runs"));
  expect(again.hash).toBe(teacher.hash);
  const report = await evaluate([again], { data, n: 64, steps: [2], pathSteps: 0, out: at("report") });
  expect(report.results[0].evaluations[0].nfe).toBe(2);
  expect(existsSync(at("report/report.json"))).toBe(true);
  await expect(load(at("nowhere"))).rejects.toThrow("does not exist, expected a folder with a model");
});

test("compare: a plan in memory, its rows and report; all that is wrong with it at once", async () => {
  const plan = {
    data,
    teacher: teacher.run,
    methods: ["perflow", { method: "consistency", name: "CD" }],
    options: { batch: 64, windows: 2 },
    budget: { images: 256 },
    steps: [2],
    n: 128,
    pathSteps: 0,
    curve: 0,
  } satisfies PlanInput;
  const where = { out: at("comparison"), runs: at("compared") };
  const { rows, metrics } = await compare(plan, where);
  expect(rows.map(({ name, steps, nfe }) => [name, steps, nfe])).toEqual([
    ["teacher", 2, 2],
    ["teacher", 50, 50],
    ["perflow", 2, 2],
    ["CD", 2, 2],
  ]);
  expect(metrics).toContain("sliced-wasserstein");
  for (const { values } of rows) expect(values["sliced-wasserstein"].mean).toBeGreaterThan(0);
  expect(existsSync(at("comparison/report.html"))).toBe(true);
  // Finished runs are found again, also from a file.
  const file = at("plan.json");
  await writeFile(file, JSON.stringify(plan));
  const trained: string[] = [];
  const again = await compare(file, { ...where, onEvent: ({ kind }) => trained.push(kind) });
  expect(again.rows).toEqual(rows);
  expect(trained).not.toContain("step");
  await expect(compare({ ...plan, seeds: [1, 1], methods: ["perlow"] }, where)).rejects.toThrow(
    /The plan cannot be run, for 3 reasons: .*seed 1 is there twice.*none of the methods has windows.*perlow/,
  );
  // @ts-expect-error: a budget has no steps
  await expect(compare({ ...plan, budget: { steps: 3 } }, where)).rejects.toThrow('budget has no "steps"');
}, 120_000);
