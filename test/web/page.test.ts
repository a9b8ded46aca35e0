// What a page does with models and trainings: files in, any method in memory, files out that the command line reads.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as ort from "onnxruntime-web/wasm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  diffusion,
  draw,
  fetchedFiles,
  freshStart,
  type MemoryRunOptions,
  memoryRun,
  memorySource,
  type OpenedModel,
  openModel,
  openToy,
  perflow,
  pickedFiles,
  type Recipe,
  recipes,
  rectifiedDiffusion,
  runJob,
  sampleGrid,
  toPixels,
  type WebRuntime,
  webRuntime,
} from "../../src/browser.ts";
import { loadModel } from "../../src/node/models.ts";
import { accelerate, train } from "../../src/node/verbs.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

let runtime: WebRuntime;
let teacher: OpenedModel;
let files: Readonly<Record<string, Uint8Array>>;
const data = openToy("toy:moons@4096");
const training = { batch: 32, images: 320, lr: 2e-3, warmup: 2 };
const network = { family: "mlp", config: { width: 16, depth: 1 } };

async function finished(options: Omit<MemoryRunOptions, "runtime">) {
  const run = await memoryRun({ runtime, ...options });
  const losses: number[] = [];
  for await (const event of runJob(run.job)) if (event.kind === "step" && event.loss !== null) losses.push(event.loss);
  return { run, losses };
}

beforeAll(async () => {
  runtime = await webRuntime(ort);
  const { run } = await finished({ recipe: diffusion, start: freshStart(network, { seed: 1 }), data, training });
  files = run.files();
  teacher = await openModel(memorySource(files, "moons"));
});
afterAll(() => expect(runtime.open()).toBe(0));

describe("a run folder", () => {
  it("is what the command line reads", async () => {
    const folder = await mkdtemp(join(tmpdir(), "fewstep-page-"));
    try {
      for (const [name, bytes] of Object.entries(files)) {
        await mkdir(join(folder, dirname(name)), { recursive: true });
        await writeFile(join(folder, name), bytes);
      }
      const loaded = await loadModel(folder);
      expect(loaded.hash).toBe(teacher.hash);
      expect(loaded.card).toEqual(teacher.card);
      expect(loaded.card).toMatchObject({ imagesSeen: 320, base: null, recipe: { method: "diffusion" }, seed: 0 });
      expect(loaded.card?.recipe.options).toMatchObject({ batch: 32, data: "toy:moons", "drop-labels": 0.1 });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("has a log of what was trained", () => {
    const lines = new TextDecoder()
      .decode(files["log.jsonl"])
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.filter(({ kind }) => kind === "step").at(-1)).toMatchObject({ step: 10, images: 320 });
    expect(Object.keys(files)).toEqual([
      "options.json",
      "log.jsonl",
      "model/card.json",
      "model/model.safetensors",
      "model/README.md",
    ]);
  });
});

describe("a model is opened", () => {
  const card = () => files["model/card.json"];
  const weights = () => files["model/model.safetensors"];
  const file = (path: string, bytes: Uint8Array) => ({
    name: path.split("/").at(-1) ?? "",
    webkitRelativePath: path,
    size: bytes.length,
    arrayBuffer: async () => bytes.slice().buffer,
  });

  it("from picked files of a folder", async () => {
    const picked = [file("my-model/card.json", card()), file("my-model/model.safetensors", weights())];
    const opened = await openModel(pickedFiles(picked));
    expect([opened.name, opened.hash]).toEqual(["my-model", teacher.hash]);
  });

  it("from a run among other files, hidden ones too", async () => {
    const picked = [
      file("runs/00001-x/log.jsonl", files["log.jsonl"]),
      file("runs/00001-x/model/card.json", card()),
      file("runs/00001-x/model/model.safetensors", weights()),
      file("runs/.hidden/card.json", new Uint8Array()),
    ];
    const opened = await openModel(pickedFiles(picked));
    expect([opened.name, opened.hash]).toEqual(["00001-x", teacher.hash]);
  });

  it("from a server", async () => {
    const server = createServer(({ url }, response) => {
      const bytes = files[url?.replace("/a%20b/", "model/") ?? ""];
      response.writeHead(bytes ? 200 : 404).end(bytes);
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const opened = await openModel(fetchedFiles(`${base}/a%20b/`));
      expect(opened.hash).toBe(teacher.hash);
      await expect(openModel(fetchedFiles(`${base}/none`))).rejects.toThrow(
        `${base}/none/card.json could not be fetched: the server says 404.`,
      );
    } finally {
      server.close();
    }
    await expect(openModel(fetchedFiles(base))).rejects.toThrow(
      `${base}/card.json could not be fetched: fetch failed.`,
    );
  });

  it.each([
    ["nothing", {}, /^here holds no model: .* It holds nothing\.$/],
    ["pictures", { "a.png": new Uint8Array(3) }, /It holds a\.png\.$/],
    ["a card that is none", { "card.json": new TextEncoder().encode("{") }, /^here\/card\.json is not JSON/],
    [
      "a text-to-image folder",
      {
        "scheduler/scheduler_config.json": new TextEncoder().encode("{}"),
        "text_encoder/config.json": new Uint8Array(),
      },
      /^here is a text-to-image model, .* fewstep generate here/,
    ],
    [
      "a folder without weights",
      { "scheduler/scheduler_config.json": new TextEncoder().encode("{}"), "unet/config.json": new Uint8Array() },
      /^here has no unet\/diffusion_pytorch_model\.safetensors/,
    ],
  ])("not from %s", async (_, held, said) => {
    await expect(openModel(memorySource(held as Record<string, Uint8Array>, "here"))).rejects.toThrow(said);
  });

  it("not with weights cut off", async () => {
    const broken = { "card.json": card(), "model.safetensors": weights().slice(0, -4) };
    await expect(openModel(memorySource(broken, "here"))).rejects.toThrow(/^here\/model\.safetensors/);
  });
});

describe("trainings in memory", () => {
  it.each((recipes as unknown as readonly Recipe[]).map((recipe) => [recipe.name, recipe] as const))(
    "%s",
    { timeout: 180_000 },
    async (name, recipe) => {
      const small = { windows: 2, pairs: 64, teacherSteps: 2, from: 2, to: 1 };
      const own = Object.fromEntries(Object.entries(small).filter(([option]) => option in recipe.options.shape));
      const { run, losses } = await finished({
        recipe,
        start: teacher.start,
        teacher,
        data,
        training: { batch: 16, images: 64 },
        options: own,
      });
      expect(losses.length).toBeGreaterThan(0);
      expect(losses.every(Number.isFinite)).toBe(true);
      // Of swiftbrush it begins at 0: its critic begins as the teacher.
      expect(losses.at(-1)).not.toBe(0);
      const student = run.model();
      expect(student?.card).toMatchObject({ base: teacher.hash, recipe: { method: name } });
      expect(student?.start.theta).not.toEqual(teacher.start.theta);
    },
  );

  it("are those of the command line with the same options, byte for byte", { timeout: 180_000 }, async () => {
    const out = await mkdtemp(join(tmpdir(), "fewstep-page-"));
    const on = nodeRuntime({ threads: 1 });
    const small = { batch: 32, images: 320 };
    try {
      const cli = await train({
        ...{ ...small, lr: 2e-3, warmup: 2, out, runtime: on, previewEvery: 0 },
        ...{ data: "toy:moons@4096", form: "cosine", prediction: "v", width: 16, depth: 1, seed: 1 },
      });
      const start = freshStart(network, { seed: 1 });
      const own = await memoryRun({ runtime: on, recipe: diffusion, start, data, training, seed: 1 });
      for await (const _ of runJob(own.job));
      const made = own.model();
      expect(made?.start.theta).toEqual(cli.theta);
      const opened = await openModel(memorySource(own.files(), "moons"));
      for (const [recipe, options] of [
        [perflow, {}],
        [rectifiedDiffusion, { pairs: 300, teacherSteps: 4 }],
      ] as const) {
        const given = { ...small, ...options, out, runtime: on, preset: "small", previewEvery: 0, seed: 3 } as const;
        const student = await accelerate(cli, recipe.name, { ...given, data: "toy:moons@4096" });
        const run = await memoryRun({
          ...{ runtime: on, recipe, start: opened.start, teacher: opened, data, options, training: small, seed: 3 },
        });
        for await (const _ of runJob(run.job));
        expect(run.model()?.start.theta, recipe.name).toEqual(student.theta);
        expect(run.model()?.card.teacherNfe).toBe(student.card?.teacherNfe);
      }
    } finally {
      await rm(out, { recursive: true });
    }
    expect(on.open()).toBe(0);
  });

  it("stop at a signal and go on to the same weights", async () => {
    const options = { recipe: perflow, start: teacher.start, teacher, data, training: { batch: 32, images: 640 } };
    const { run: straight } = await finished(options);
    const stop = new AbortController();
    let signal: AbortSignal | undefined = stop.signal;
    const run = await memoryRun({ runtime, ...options });
    const kinds: string[] = [];
    for (const round of [0, 1]) {
      for await (const event of runJob({ ...run.job, signal })) {
        kinds.push(event.kind);
        if (round === 0 && event.kind === "step" && event.step === 7) stop.abort();
      }
      signal = undefined;
    }
    expect(kinds.filter((kind) => !["step", "checkpoint"].includes(kind))).toEqual([
      "stage",
      "interrupted",
      "stage",
      "resumed",
      "done",
    ]);
    expect(run.model()?.start.theta).toEqual(straight.model()?.start.theta);
    expect(run.log).toHaveLength(straight.log.length);
  });

  it("making pairs says how far it is, and ends at the signal", async () => {
    const stop = new AbortController();
    const seen: number[] = [];
    const run = await memoryRun({
      runtime,
      recipe: rectifiedDiffusion,
      start: teacher.start,
      teacher,
      data,
      training,
      options: { pairs: 600, teacherSteps: 2 },
      signal: stop.signal,
      onPairs({ done, total }) {
        expect(total).toBe(600);
        seen.push(done);
        if (done === 512) stop.abort();
      },
    });
    const events = async () => {
      for await (const event of runJob(run.job)) expect(event.kind).toBe("stage");
    };
    await expect(events()).rejects.toMatchObject({ name: "AbortError" });
    expect(seen).toEqual([256, 512]);
    expect(runtime.open()).toBe(0);
  });

  it.each<[string, Partial<MemoryRunOptions>, RegExp | string]>([
    ["an unknown option", { options: { window: 2 } }, /^perflow has no option window; it has: windows, /],
    ["a value out of range", { options: { windows: 0 } }, /^perflow: windows is 0 \(/],
    ["a budget of zero", { training: { images: 0 } }, "perflow: images is 0, which is out of its range."],
    ["no data", { data: undefined }, "perflow needs data with these options."],
    [
      "guidance without classes",
      { options: { guidance: 2 } },
      /^perflow needs a model with classes and one for "no class"/,
    ],
    [
      "data of another shape",
      { data: { ...data, shape: [3, 1, 1] } },
      "The data toy:moons are 3, the model's samples 2.",
    ],
  ])("refuse %s before anything is done", async (_, wrong, said) => {
    const right = { runtime, recipe: perflow, start: teacher.start, teacher, data, training };
    await expect(memoryRun({ ...right, ...wrong })).rejects.toThrow(said);
  });
});

it("samples do not depend on how many there are or go together", async () => {
  const [few, many] = await Promise.all([
    draw(teacher.start, runtime, { n: 5, steps: 3, seed: 2 }),
    draw(teacher.start, runtime, { n: 40, steps: 3, seed: 2, batch: 16 }),
  ]);
  expect(many.x.slice(0, 10)).toEqual(few.x);
});

it("pixels are RGBA", () => {
  const pixels = toPixels(sampleGrid(Float32Array.of(-1, 1), [1, 1, 2], { upscale: 1, padding: 0 }));
  expect(pixels).toEqual({ width: 2, height: 1, data: Uint8ClampedArray.of(0, 0, 0, 255, 255, 255, 255, 255) });
  const image = { width: 1, height: 1, channels: 4, data: Uint8Array.of(1, 2, 3, 4) } as const;
  expect([...toPixels(image).data]).toEqual([1, 2, 3, 4]);
  expect([...toPixels({ ...image, channels: 2, data: Uint8Array.of(9, 5) }).data]).toEqual([9, 9, 9, 5]);
});
