// Exported models give the samples of fewstep: through ONNX Runtime without anything of ours, and read back as a diffusers folder.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { createScheduler, runScheduler, type SchedulerConfig } from "../../src/diffusers/index.ts";
import { evaluate, load, type ReadyModel, type SampleSet, type TrainedModel, train } from "../../src/index.ts";
import { quietContext } from "../../src/node/context.ts";
import { exportModel, exportOptions } from "../../src/node/export.ts";
import { importOnnx } from "../../src/onnx/index.ts";
import { fold, key, normal } from "../../src/random.ts";
import { fewstep } from "../cli/fewstep.ts";

let folder: string;
let teacher: ReadyModel;
let points: TrainedModel;
const at = (name: string) => join(folder, name);
const digits = resolve(import.meta.dirname, "../../assets/mnist-teacher");

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fewstep-export-"));
  teacher = await load(digits);
  points = await train({
    data: "toy:moons@512",
    form: "linear",
    out: at("runs"),
    width: 16,
    depth: 1,
    batch: 64,
    images: 640,
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const write = (model: ReadyModel, out: string, options: object) =>
  exportModel(exportOptions.parse({ model: model.path, out: at(out), ...options }), quietContext());

const distance = (a: Float32Array, b: Float32Array): number => Math.max(...a.map((x, i) => Math.abs(x - b[i])));

const labelsOf = ({ cond }: SampleSet) => Int32Array.from(cond.labels as BigInt64Array, Number);

describe("onnx", () => {
  test.each([
    ["ddim", 1, false],
    ["ddim", 3, true],
    ["dpm++2m", 1, false],
    ["euler", 1, false],
  ])("the sampler %s with guidance %d (weights outside: %s) makes the same samples", async (solver, guidance, externalData) => {
    const out = `onnx-${solver}-${guidance}`;
    await write(teacher, out, { to: "onnx", steps: 4, batch: 2, solver, guidance, externalData });
    const set = await teacher.sample({ steps: 4, n: 2, solver, guidance });
    const session = await ort.InferenceSession.create(at(`${out}/model.onnx`));
    const shape = [2, 1, 28, 28];
    const { sample } = await session.run({
      noise: new ort.Tensor("float32", set.start, shape),
      class_labels: new ort.Tensor("int32", labelsOf(set), [2]),
    });
    await session.release();
    expect(distance(sample.data as Float32Array, set.x)).toBeLessThan(2e-5);
    expect(existsSync(at(`${out}/model.onnx_data`))).toBe(externalData);
    const readme = await readFile(at(`${out}/README.md`), "utf8");
    expect(readme).toContain("| in | `noise` | float32 | 2 x 1 x 28 x 28 |");
    expect(readme).toMatch(/^---\nlibrary_name: /);
    const file = await readFile(at(`${out}/model.onnx`));
    expect(importOnnx(file, externalData ? { weights: () => true, withoutWeights: true } : {}).outputs[0].name).toBe(
      "sample",
    );
    expect(file.includes("com.microsoft")).toBe(false);
  });

  test("lcm takes fresh noise for every step after the first", async () => {
    await write(points, "lcm", { to: "onnx", steps: 3, batch: 4, solver: "lcm" });
    const set = await points.sample({ steps: 3, n: 4, solver: "lcm" });
    const session = await ort.InferenceSession.create(at("lcm/model.onnx"));
    expect(session.inputNames.toSorted()).toEqual(["noise", "noise_1", "noise_2"]);
    // As run/sample.ts draws it: by sample and step.
    const fresh = (k: number) => {
      const all = new Float32Array(8);
      for (let i = 0; i < 4; i++) normal(fold(fold(key(0), "sample"), i, "step", k), 2, all.subarray(2 * i, 2 * i + 2));
      return new ort.Tensor("float32", all, [4, ...points.model.sampleShape]);
    };
    const noise = new ort.Tensor("float32", set.start, [4, ...points.model.sampleShape]);
    const { sample } = await session.run({ noise, noise_1: fresh(0), noise_2: fresh(1) });
    await session.release();
    expect(distance(sample.data as Float32Array, set.x)).toBeLessThan(1e-5);
  });

  test("one evaluation of the network is what it predicts", async () => {
    await write(points, "network", { to: "onnx", part: "network", batch: 2 });
    const session = await ort.InferenceSession.create(at("network/model.onnx"));
    // On the linear form a step of Euler from 1 to 0 is x − u.
    const set = await points.sample({ steps: 1, n: 2, solver: "euler" });
    const sample = new ort.Tensor("float32", set.start, [2, ...points.model.sampleShape]);
    const { out_sample } = await session.run({ sample, timestep: new ort.Tensor("float32", [1000, 1000], [2]) });
    await session.release();
    const u = out_sample.data as Float32Array;
    expect(
      distance(
        set.start.map((x, i) => x - u[i]),
        set.x,
      ),
    ).toBeLessThan(1e-5);
  });
});

describe("diffusers", () => {
  test("a folder that is read as the same model, with its classes and steps", async () => {
    const out = at("folder");
    const { code, out: said } = await fewstep("export", digits, "--to", "diffusers", "--out", out);
    expect([code, said]).toEqual([0, expect.stringContaining("UNet2DModel and DDIMScheduler, made for 50 steps")]);
    const again = await load(out);
    expect(again.hash).toBe(teacher.hash);
    const of = { steps: 2, n: 11 } as const;
    expect((await again.sample(of)).x).toEqual((await teacher.sample(of)).x);
    const config = JSON.parse(await readFile(join(out, "scheduler/scheduler_config.json"), "utf8"));
    expect(config).toMatchObject({
      _class_name: "DDIMScheduler",
      timestep_spacing: "trailing",
      prediction_type: "epsilon",
      beta_end: 0.012,
    });
  });

  // The scheduler that is written runs as diffusers' own (test/parity compares those with Python's); the network through ONNX Runtime.
  test.each([
    ["linear", "u", "FlowMatchEulerDiscreteScheduler", 1e-4],
    // Table 0.001 earlier than here: the note says so.
    ["vp", "eps", "DDIMScheduler", 0.03],
    ["cosine", "v", "DDIMScheduler", 0.03],
  ] as const)(
    "the form %s, predicting %s, becomes %s with the student's steps",
    { timeout: 120_000 },
    async (form, prediction, scheduler, error) => {
      const model = await train({
        ...{ data: resolve(digits, "../mnist-small"), form, prediction, width: 16, depth: 1, batch: 8, images: 16 },
        ...{ previewEvery: 0, run: at(`run-${form}`) },
      });
      await write(model, `to-${form}`, { to: "diffusers" });
      await write(model, `net-${form}`, { to: "onnx", part: "network", batch: 2 });
      const config = JSON.parse(
        await readFile(at(`to-${form}/scheduler/scheduler_config.json`), "utf8"),
      ) as SchedulerConfig;
      expect(config._class_name).toBe(scheduler);
      const set = await model.sample({ steps: 4, n: 2 });
      const session = await ort.InferenceSession.create(at(`net-${form}/model.onnx`));
      const labels = new ort.Tensor("int32", labelsOf(set), [2]);
      const run = (of: SchedulerConfig) =>
        runScheduler(createScheduler(of, 4, form === "linear" ? { sigmas: [1, 0.75, 0.5, 0.25] } : {}), {
          x: set.start,
          async predict(x, timestep) {
            const sample = new ort.Tensor("float32", x, [2, 1, 28, 28]);
            const time = new ort.Tensor("float32", [timestep, timestep], [2]);
            const { out_sample } = await session.run({ sample, timestep: time, class_labels: labels });
            return out_sample.data as Float32Array;
          },
        });
      const apart = (x: Float32Array) => Math.hypot(...x.map((v, i) => v - set.x[i])) / Math.hypot(...set.x);
      expect(apart(await run(config))).toBeLessThan(error);
      // What a wrong word would do.
      if (form !== "linear")
        expect(apart(await run({ ...config, prediction_type: "sample" }))).toBeGreaterThan(10 * error);
      await session.release();
      // Read back, it is the same model up to that time.
      const again = await load(at(`to-${form}`));
      expect(again.hash).toBe(model.hash);
      const theirs = await again.sample({ steps: 4, n: 2 });
      expect(apart(theirs.x)).toBeLessThan(error);
    },
  );

  test("what diffusers cannot hold is refused, with what can; nothing is left behind", async () => {
    await expect(write(points, "mlp", { to: "diffusers" })).rejects.toThrow(
      /its network is mlp, not a UNet2DModel\. Use --to onnx, which holds the whole sampler\.$/,
    );
    expect(existsSync(at("mlp"))).toBe(false);
    await expect(write(points, "heun", { to: "onnx", solver: "heun" })).rejects.toThrow(
      "--solver heun cannot be unrolled",
    );
    await expect(write(points, "guided", { to: "onnx", guidance: 2 })).rejects.toThrow("needs a model with classes");
    await expect(write(points, "runs", { to: "onnx" })).rejects.toThrow(
      "is not empty, and nothing in it is overwritten",
    );
    await expect(write(points, "two", { to: "onnx", part: "network", steps: 2 })).rejects.toThrow(
      "belong to --part sampler",
    );
  });
});

test("a model folder has a card for hubs", async () => {
  const readme = await readFile(join(points.path, "README.md"), "utf8");
  expect(readme).toMatch(
    /^---\nlibrary_name: fewstep\npipeline_tag: unconditional-image-generation\ntags: \["fewstep", "flow-matching", "diffusion"\]\n/,
  );
  expect(readme).toContain("| images seen | 640 |");
});

test("evaluate --card puts its numbers there, for people and for hubs, and replaces them the next time", async () => {
  const file = join(points.path, "README.md");
  const before = await readFile(file, "utf8");
  expect(before).toContain("Nothing yet: `fewstep evaluate");
  const of = { data: "toy:moons@512", n: 64, pathSteps: 0, card: true, out: at("card-report") };
  await evaluate([points], { ...of, steps: [2, 4] });
  const { results } = await evaluate([points], { ...of, steps: [2] });
  const readme = await readFile(file, "utf8");
  const { front, ...rest } = /^---\n(?<front>[\s\S]*?)\n---\n(?<body>[\s\S]*)$/.exec(readme)?.groups ?? {};
  const card = parse(front) as {
    library_name: string;
    "model-index": { results: { metrics: { type: string; value: number; name: string }[] }[] }[];
  };
  expect(card.library_name).toBe("fewstep");
  const [{ results: told }] = card["model-index"];
  expect(told).toHaveLength(1);
  const { values } = results[0].evaluations[0];
  expect(Object.keys(values).length).toBeGreaterThan(1);
  expect(told[0].metrics.map(({ type, value }) => [type, value])).toEqual(
    Object.entries(values).map(([name, { value }]) => [name, value]),
  );
  expect(rest.body).toMatch(/^\| 2 \| 2 \| 64 \| [\d.]+/m);
  expect(rest.body).not.toMatch(/^\| 4 \| 4/m);
  expect(readme).not.toContain("Nothing yet");
  expect(rest.body.split("## Measured")).toHaveLength(2);
});
