// fewstep compare: a plan from its faults to its report, with runs that are kept.
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Ended, failure, fewstep, fewstepProcess, scratch } from "./fewstep.ts";

const { at } = scratch();

const perflow = { method: "perflow", options: { windows: 2, "teacher-steps": 2 } };
const rectified = { method: "rectified-diffusion", options: { pairs: 64, "teacher-steps": 4 } };
const base = {
  data: "toy:moons@128",
  teacher: "exact:toy:moons@32?width=0.2",
  student: "fresh?width=8&depth=1",
  methods: [rectified, perflow],
  options: { batch: 8 },
  budget: { images: 160 },
  seeds: [0, 1],
  steps: [1, 2],
  n: 60,
  batch: 60,
  teacherSteps: 4,
  pathSteps: 4,
  pathSamples: 8,
  curve: 2,
};

interface Told {
  readonly plan: { readonly title: string };
  readonly files: readonly string[];
  readonly notes: readonly string[];
  readonly results: readonly {
    readonly name: string;
    readonly seeds: readonly { seed: number; path: string; numbers: { at: readonly At[] }; curve: readonly object[] }[];
  }[];
  readonly rows: readonly {
    readonly name: string;
    readonly steps: number;
    readonly nfe: number;
    readonly values: Readonly<Record<string, { mean: number; deviation: number | null }>>;
  }[];
}
interface At {
  readonly steps: number;
  readonly nfe: number;
  readonly values: Readonly<Record<string, { readonly value: number }>>;
}

async function planned(name: string, over: object = {}): Promise<readonly string[]> {
  const file = at(`${name}.json`);
  await writeFile(file, JSON.stringify({ title: name, ...base, ...over }));
  return ["compare", file, "--out", at(name), "--runs", at("runs")];
}
const reported = async (name: string) => JSON.parse(await readFile(at(name, "report.json"), "utf8")) as Told;
const done = (ended: Ended): Ended => {
  expect(ended.code, ended.err).toBe(0);
  return ended;
};
/** Finished runs, with the moment at which they were. */
async function finished(): Promise<Readonly<Record<string, number>>> {
  const names = (await readdir(at("runs"), { recursive: true })).filter((name) => name.endsWith("finished.json"));
  const times = await Promise.all(names.map(async (name) => (await stat(at("runs", name))).mtimeMs));
  return Object.fromEntries(names.sort().map((name, i) => [name, times[i]]));
}
/** All that does not depend on how long things took, and where they are. */
const lasting = (told: Told): unknown =>
  JSON.parse(JSON.stringify(told, (key, value) => (key === "seconds" || key === "path" ? undefined : value)));

describe("the numbers", () => {
  test("are what evaluate says of the same student, seed by seed; rows are their mean and deviation", async () => {
    const { out } = done(await fewstep(...(await planned("plan"))));
    const told = await reported("plan");
    expect(told.results.map(({ name }) => name)).toEqual(["teacher", "rectified-diffusion", "perflow"]);
    for (const { name, seeds } of told.results.slice(1))
      for (const { seed, path, numbers } of seeds) {
        const common = ["--data", base.data, "--teacher", base.teacher, "--teacher-steps", "4", "--n", "60"];
        const more = ["--batch", "60", "--path-steps", "4", "--path-samples", "8", "--seed", String(seed)];
        const steps = numbers.at.map((one) => one.steps);
        expect(steps).toEqual(name === "perflow" ? [2] : [1, 2]);
        const folder = at(`evaluation-${name}-${seed}`);
        done(await fewstep("evaluate", path, ...common, ...more, "--steps", steps.join(), "--out", folder));
        const theirs = JSON.parse(await readFile(join(folder, "report.json"), "utf8")).results.find(
          ({ role }: { role: string }) => role === "student",
        ) as { evaluations: readonly At[] };
        const numbersOf = (all: readonly At[]) => all.map(({ steps, nfe, values }) => ({ steps, nfe, values }));
        expect(numbersOf(numbers.at)).toEqual(numbersOf(theirs.evaluations));
        expect(Object.keys(numbers.at[0].values).sort()).toEqual([
          "endpoint",
          "gaussian-mmd",
          "precision",
          "recall",
          "sliced-wasserstein",
        ]);
      }
    for (const { name, steps, values } of told.rows) {
      const entry = told.results.find((one) => one.name === name);
      for (const [metric, { mean, deviation }] of Object.entries(values)) {
        const [a, b] = entry?.seeds.map(
          ({ numbers }) => numbers.at.find((one) => one.steps === steps)?.values[metric].value,
        ) as number[];
        expect(mean).toBeCloseTo((a + b) / 2, 12);
        expect(deviation).toBeCloseTo(Math.abs(a - b) / Math.SQRT2, 12);
      }
    }
    const row = told.rows.find(({ name, steps }) => name === "perflow" && steps === 2)?.values["sliced-wasserstein"];
    const html = await readFile(at("plan", "report.html"), "utf8");
    for (const text of [out, html]) expect(text).toContain(row?.mean.toPrecision(3));
    expect(out).toContain("perflow has 2 windows, so it is not measured with 1 steps.");
  });

  test("a budget of evaluations is charged with the pairs made beforehand", async () => {
    const budget = { images: 160, teacherEvaluations: 400 };
    const { out } = done(await fewstep(...(await planned("plan", { budget, seeds: [0], curve: 0 })), "--dry-run"));
    // Rectified Diffusion: 64 pairs of 4 evaluations. PeRFlow: 2 for each image.
    expect(out).toMatch(/rectified-diffusion +0 of 1 +160 +256 /);
    expect(out).toMatch(/perflow +0 of 1 +160 +320 /);
    const methods = [{ method: "rectified-diffusion", options: { "teacher-steps": 4 } }, perflow];
    const less = { methods, budget: { images: 160, teacherEvaluations: 200 }, seeds: [0], curve: 0 };
    const limited = done(await fewstep(...(await planned("less", less))));
    expect(limited.out).toContain("rectified-diffusion makes 50 pairs in place of 4,096");
    expect(limited.out).toContain("perflow sees 96 images in place of 160");
    const seeds = (await reported("less")).results.slice(1).map(({ seeds }) => seeds[0]) as unknown as Record<
      string,
      number
    >[];
    expect(seeds.map(({ teacherEvaluations }) => teacherEvaluations)).toEqual([200, 192]);
  });
});

describe("runs", () => {
  test("killed at several moments it ends as if it had not been, and runs nothing again", {
    timeout: 300_000,
  }, async () => {
    const over = { budget: { images: 400 }, curve: 2 };
    const args = await planned("stopped", over);
    const kept: Record<string, number> = {};
    const kill = async (when: (event: { kind: string; images?: number }, steps: number) => boolean) => {
      let [steps, sent] = [0, false];
      const ended = await fewstepProcess(args, (event, child) => {
        if (event.kind === "step") steps++;
        if (!sent && when(event, steps)) sent = child.kill("SIGKILL");
      });
      expect(sent, ended.err).toBe(true);
      expect(ended.signal).toBe("SIGKILL");
      const now = await finished();
      for (const [name, time] of Object.entries(kept)) expect(now[name], name).toBe(time);
      Object.assign(kept, now);
    };
    // In the first run, as soon as something is kept of it; in the second; in the last one's measurement.
    await kill(({ kind }) => kind === "checkpoint" || kind === "preview");
    const first = Object.keys(kept).length;
    await kill((_, steps) => steps > 75);
    expect(Object.keys(kept).length, "a run has ended").toBeGreaterThan(first);
    let steps = 0;
    const last = await fewstepProcess(args, ({ kind }) => {
      if (kind === "step") steps++;
    });
    done(last);
    expect(steps, "steps of the runs that were missing").toBeLessThanOrEqual(150);
    const all = await finished();
    expect(Object.keys(all)).toHaveLength(4);
    for (const [name, time] of Object.entries(kept)) expect(all[name], name).toBe(time);
    // Elsewhere and at once.
    const whole = ["compare", at("stopped.json"), "--out", at("whole"), "--runs", at("others")];
    done(await fewstep(...whole));
    const [stopped, other] = [await reported("stopped"), await reported("whole")];
    const resumed = stopped.notes.filter((note) => note.includes("was stopped and went on"));
    expect(resumed.length, "seconds are not all there").toBeGreaterThan(0);
    const notes = stopped.notes.filter((note) => !resumed.includes(note));
    expect(lasting({ ...stopped, notes })).toEqual(lasting(other));
    expect((await reported("stopped")).results[1].seeds[0].curve).toHaveLength(1);
  });

  test("are shared by plans that ask for the same, whatever else differs, and not by others", async () => {
    done(await fewstep(...(await planned("one", { methods: [perflow], curve: 0 }))));
    const before = await finished();
    expect(Object.keys(before)).toHaveLength(2);
    const two = { methods: [{ ...perflow, name: "windows" }, rectified], steps: [2, 4], n: 70, curve: 0 };
    const { out } = done(await fewstep(...(await planned("two", two)), "--dry-run"));
    expect(out).toMatch(/windows +2 of 2 /);
    expect(out).toMatch(/rectified-diffusion +0 of 2 /);
    done(await fewstep(...(await planned("two", two))));
    const after = await finished();
    expect(Object.keys(after)).toHaveLength(4);
    for (const [name, time] of Object.entries(before)) expect(after[name], name).toBe(time);
    const paths = async (name: string, entry: string) =>
      (await reported(name)).results.find((one) => one.name === entry)?.seeds.map(({ path }) => path);
    expect(await paths("two", "windows")).toEqual(await paths("one", "perflow"));
    // Another budget, seed, option, teacher or beginning is another run.
    const others = [
      { budget: { images: 168 } },
      { seeds: [2, 3] },
      { methods: [{ ...perflow, options: { ...perflow.options, lr: 1e-5 } }] },
      { teacher: "exact:toy:moons@32?width=0.3" },
      { student: "fresh?width=9&depth=1" },
      { data: "toy:moons@127" },
    ];
    for (const other of others) {
      const args = await planned("other", { methods: [perflow], curve: 0, ...other });
      expect(done(await fewstep(...args, "--dry-run")).out, JSON.stringify(other)).toMatch(/perflow +0 of 2 /);
    }
  });

  test("a teacher is trained once for each seed", async () => {
    const train = { form: "vp", width: 8, depth: 1, batch: 8, images: 80 };
    const over = { teacher: { train }, student: undefined, methods: [perflow], curve: 0 };
    const dry = done(await fewstep(...(await planned("plan", over)), "--dry-run"));
    expect(dry.out).toMatch(/perflow +0 of 2 /);
    done(await fewstep(...(await planned("plan", over))));
    const names = await finished();
    expect(Object.keys(names)).toHaveLength(4);
    done(await fewstep(...(await planned("again", { ...over, steps: [4] }))));
    expect(await finished()).toEqual(names);
    const [teacher] = (await reported("plan")).results;
    expect(new Set(teacher.seeds.map(({ path }) => path)).size).toBe(2);
  });
});

describe("a dry run", () => {
  test("says what is to do and leaves nothing behind", async () => {
    const { out } = done(await fewstep(...(await planned("plan")), "--dry-run"));
    expect(out).toMatch(/method +done +images +teacher NFE +a run +to do/);
    expect(out).toContain("In all 1,152 evaluations of the teacher");
    expect(await readdir(at())).toEqual(["plan.json"]);
  });
});

describe("faults", () => {
  const refused = async (over: object) => {
    const text = await failure(2, ...(await planned("plan", over)));
    expect(await readdir(at()), "nothing was made").toEqual(["plan.json"]);
    return text;
  };

  test("of all kinds are said at once, before any work", async () => {
    const text = await refused({
      methods: [
        ...["rectified-diffusion", "rectified-diffusion", "magic"],
        { method: "perflow", name: "P", options: { windows: 0, colour: 1 } },
        { method: "perflow", name: "Q", options: { windows: 4, "teacher-steps": 2 } },
        { method: "lcm", name: "L", guidance: 3 },
        { method: 7 },
      ],
      options: { batch: "many", out: "x" },
      budget: { images: 0 },
      seeds: [0, 1, 0],
      metrics: ["frechet", "endpoint", "endpoint"],
      n: 20,
      features: at("none.onnx"),
      stepps: [1],
    });
    for (const part of [
      'the plan has no "stepps"',
      "budget.images: ",
      "methods.6.method: expected string, received number",
      "the seed 0 is there twice",
      "the metric endpoint is there twice",
      'the name rectified-diffusion is there twice; tell them apart with "name"',
      "options: out cannot be an option here: the plan says it elsewhere, and batch: expected number",
      "magic: --method magic is no method",
      "P: the plan has the option",
      "colour",
      "windows: ",
      "Q: it has 4 windows, and none of the steps 1, 2 is as many",
      "L: guidance 3 needs a model with classes, and it has none",
      "metrics: frechet compares features of images, and toy:moons are points; use sliced-wasserstein",
      "none.onnx cannot be read, expected an .onnx file",
    ])
      expect(text).toContain(part);
    expect(text.match(/\(\d+\)/g)?.length).toBe(Number(text.match(/for (\d+) reasons/)?.[1]));
  });

  test("the file, the data and the teacher", async () => {
    expect(await refused({ data: "toy:nothing", teacher: at("nowhere") })).toMatch(
      /for 2 reasons: \(1\) data: .*nothing.*\(2\) teacher: .*nowhere/,
    );
    expect(await refused({ data: undefined, seeds: [1, 1] })).toMatch(
      /data is missing.*; \(2\) the seed 1 is there twice/,
    );
    expect(await refused({ teacher: undefined, n: -1 })).toMatch(/teacher .*; \(2\) n: /);
    expect(await refused({ teacher: { train: { width: "wide", run: "x" } } })).toMatch(/teacher: .*(width|run)/);
    expect(await refused({ budget: { images: 10, minutes: 1 } })).toContain("minutes are a budget of their own");
    expect(await refused({ budget: {} })).toContain("budget: give images");
    expect(await refused({ methods: [] })).toContain("methods: ");
    expect(await refused({ n: 20, metrics: ["sliced-wasserstein"] })).toContain("at least 50 are needed");
    expect(await refused({ teacher: "exact:toy:moons@32?classes=maybe" })).toContain("teacher: ");
    await writeFile(at("plan.json"), "[1, 2]");
    expect(await failure(2, "compare", at("plan.json"), "--out", at("out"))).toContain("the plan: expected object");
    await writeFile(at("plan.json"), "{");
    expect(await failure(1, "compare", at("plan.json"), "--out", at("out"))).toContain("plan.json");
  });

  test("a teacher that makes something else than the data", async () => {
    const text = await refused({ teacher: "assets/mnist-teacher", student: undefined });
    expect(text).toContain("its teacher makes samples of 1 x 28 x 28, the data are of 2 x 1 x 1");
  });

  test("a budget that has no room for a batch, or for the pairs that are asked for", async () => {
    const small = { budget: { images: 160, teacherEvaluations: 10 } };
    expect(await refused({ ...small, methods: [perflow] })).toContain("enough for 5 images, which is no batch of 8");
    expect(await refused({ ...small, methods: [rectified] })).toContain("64 pairs take 256 evaluations");
  });
});

describe("a report's folder", () => {
  const tiny = { methods: [perflow], seeds: [0], curve: 0 };
  test("is never a mixture of two plans", async () => {
    done(await fewstep(...(await planned("a", tiny))));
    const first = await readdir(at("a"));
    expect(first).toContain("gaussian-mmd.svg");
    const [compare, , ...rest] = await planned("a", { ...tiny, title: "second", metrics: ["endpoint"] });
    done(await fewstep(compare, at("a.json"), ...rest));
    const told = await reported("a");
    expect(told.plan.title).toBe("second");
    expect((await readdir(at("a"))).sort()).toEqual([...told.files, "report.json"].sort());
    expect(told.files).not.toContain("gaussian-mmd.svg");
    expect(await readFile(at("a", "report.html"), "utf8")).toContain("<h1>second</h1>");
  });

  test("that holds something else is refused before any work", async () => {
    await writeFile(at("a"), "");
    const args = await planned("b", tiny);
    const into = (folder: string) => args.map((arg) => (arg === at("b") ? folder : arg));
    await failure(1, ...into(at("a")));
    expect(await failure(1, ...into(at()))).toContain("no part of a report of fewstep");
    expect(await readdir(at())).not.toContain("runs");
  });
});
