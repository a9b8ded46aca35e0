import { expect, it } from "vitest";
import { type Folder, jsonOf, modelsIn, previewsIn, readLog } from "../../studio/src/lib/folder.ts";
import { modelFilesOf } from "../../studio/src/lib/modelFiles.ts";
import { readReport } from "../../studio/src/runs/report.ts";

const folder = (files: Record<string, string>): Folder => ({
  name: "runs",
  files: new Map(Object.entries(files).map(([path, text]) => [path, async () => new TextEncoder().encode(text)])),
});

it("finds models in a run, in a folder of runs, and by themselves", () => {
  const found = (files: string[]) =>
    modelsIn(folder(Object.fromEntries(files.map((f) => [f, ""])))).map(({ run }) => run);
  expect(found(["model/card.json", "model/model.safetensors", "log.jsonl"])).toEqual([""]);
  expect(found(["card.json", "model.safetensors"])).toEqual([""]);
  expect(
    found(["b/model/card.json", "b/model/model.safetensors", "a/model/card.json", "a/model/model.safetensors"]),
  ).toEqual(["a", "b"]);
  expect(found(["model/card.json"])).toEqual([]);
});

it("lists a run's pictures by what was seen", () => {
  const files = {
    "a/samples/000002000.png": "",
    "a/samples/000000100.png": "",
    "a/samples/x.png": "",
    "b/samples/1.png": "",
  };
  expect(previewsIn(folder(files), "a").map(({ images }) => images)).toEqual([100, 2000]);
});

it("reads a log, without a line that was cut off", () => {
  const text =
    '{"kind":"step","images":64,"loss":0.5,"rate":1e-3}\n{"kind":"warning"}\n{"kind":"step","images":128,"loss":null}\n{"kind":"st';
  expect(readLog(text)).toEqual([
    { images: 64, loss: 0.5, rate: 1e-3 },
    { images: 128, loss: null, rate: null },
  ]);
  expect(() => readLog("{}\nnonsense\n{}\n")).toThrow('log.jsonl has no JSON in line 2: "nonsense".');
});

it("takes what makes a model, and refuses what is too large for a page", async () => {
  const files = {
    "run/model/card.json": "{}",
    "run/model/model.safetensors": "w",
    "run/state/state.safetensors": "s",
    "run/log.jsonl": "",
  };
  expect(Object.keys((await modelFilesOf(folder(files))).files)).toEqual([
    "run/model/card.json",
    "run/model/model.safetensors",
  ]);
  const unet = {
    "m/unet/config.json": "{}",
    "m/unet/model.onnx": "o",
    "m/scheduler/scheduler_config.json": "{}",
    "m/vae/config.json": "{}",
  };
  expect(Object.keys((await modelFilesOf(folder(unet))).files)).toHaveLength(3);
  await expect(modelFilesOf(folder({ "text_encoder/config.json": "{}" }))).rejects.toThrow("fewstep generate runs");
  await expect(jsonOf(folder({ "report.json": "{" }), "report.json")).rejects.toThrow("runs/report.json is no JSON.");
});

it("reads the reports of compare and evaluate, and nothing else", () => {
  const row = {
    name: "perflow",
    role: "student",
    steps: 4,
    nfe: 4,
    values: { endpoint: { mean: 0.5, deviation: 0.1, values: [0.4, 0.6] } },
  };
  const comparison = {
    software: "fewstep",
    kind: "comparison",
    plan: { title: "Two" },
    rows: [row],
    notes: ["n is small."],
  };
  expect(readReport(comparison)).toEqual({
    title: "Two",
    metrics: ["endpoint"],
    notes: ["n is small."],
    rows: [{ name: "perflow", role: "student", steps: 4, nfe: 4, values: { endpoint: { mean: 0.5, deviation: 0.1 } } }],
  });
  const evaluation = {
    software: "fewstep",
    results: [{ name: "t", role: "teacher", evaluations: [{ steps: 2, nfe: 4, values: { kid: { value: 3, n: 9 } } }] }],
  };
  expect(readReport(evaluation)?.rows).toEqual([
    { name: "t", role: "teacher", steps: 2, nfe: 4, values: { kid: { mean: 3, deviation: null } } },
  ]);
  expect(readReport({ results: [] })).toBeUndefined();
  expect(readReport([1])).toBeUndefined();
  expect(() => readReport({ software: "fewstep", unfinished: true })).toThrow("not written to its end");
});
