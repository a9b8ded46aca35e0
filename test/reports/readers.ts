// Reads one case as a user would; what is seen is plain data.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { classCount, nullLabel } from "../../src/condition.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { readScheduler } from "../../src/diffusers/scheduler.ts";
import { createScheduler, type SchedulerConfig } from "../../src/diffusers/schedulers/index.ts";
import { input, type Tensor } from "../../src/graph/index.ts";
import { collect, fromConstants } from "../../src/nn/index.ts";
import { decodeImage } from "../../src/node/decode.ts";
import { openData, openSafetensors, readJson } from "../../src/node/files.ts";
import { loadModel } from "../../src/node/models.ts";
import { readOnnx } from "../../src/node/onnxFiles.ts";
import { importOnnx } from "../../src/onnx/index.ts";
import { modelOf, parseCard } from "../../src/run/card.ts";
import type { Feeds } from "../../src/runtime/index.ts";
import { distance, evaluate } from "../onnx/helpers.ts";
import { type Case, type Feed, onnxValues } from "./cases.ts";

type Seen = Readonly<Record<string, unknown>>;

export function readCase(root: string, test: Case): Promise<Seen> {
  const path = join(root, test.path);
  switch (test.kind) {
    case "data":
      return seenData(path, test.split);
    case "onnx":
      return seenOnnx(root, test);
    case "teacher":
      return seenTeacher(root, test);
    case "safetensors":
      return seenTensors(path);
    case "hostile":
      return readHostile(path, test.reader);
  }
}

async function seenData(path: string, split?: "train" | "test"): Promise<Seen> {
  const data = await openData(path, { split });
  const { x, labels } = data.batch(Array.from({ length: data.size }, (_, i) => i));
  const bytes = Uint8Array.from(x, (v) => Math.round((v + 1) * 127.5));
  const [c, h, w] = data.shape;
  return {
    size: data.size,
    classes: data.classes,
    names: data.labelNames,
    labels: data.classes > 0 ? Array.from(labels, Number) : undefined,
    labeled: data.classes > 0,
    shape: data.shape,
    firstRow: [...bytes.subarray(0, w)],
    firstPixels: Array.from({ length: data.size }, (_, i) => bytes[i * c * h * w]),
    corner: Array.from({ length: c }, (_, i) => bytes[i * h * w]),
    notes: data.notes ?? [],
  };
}

async function seenOnnx(root: string, test: Extract<Case, { kind: "onnx" }>): Promise<Seen> {
  const path = join(root, test.path);
  const values = test.values ? onnxValues.parse(await readJson(join(root, test.values))) : test;
  const { file, externalData } = await readOnnx(path);
  const model = importOnnx(file, { externalData });
  const inputs: Record<string, Tensor> = {};
  const feeds: Record<string, Feeds[string]> = {};
  for (const { name, dtype, shape } of model.inputs) {
    const fed = values.feeds?.[name];
    if (!fed) throw new Error(`The case has no feed "${name}".`);
    const sizes = Array.isArray(fed) ? shape.map((d) => (typeof d === "number" ? d : 1)) : fed.shape;
    inputs[name] = input(name, sizes, dtype);
    feeds[name] = typed(dtype, flat(fed));
  }
  const params = new Map(model.parameters.map((p) => [p.name, input(`weight:${p.name}`, p.shape)]));
  for (const p of model.parameters) feeds[`weight:${p.name}`] = p.data;
  const outputs = model.apply((name) => params.get(name)!, inputs);
  const names = model.outputs.map(({ name }) => name);
  const results = await evaluate(outputs, feeds);
  const expected = values.outputs ?? values.ort;
  if (!expected) throw new Error("The case has no outputs.");
  const wanted = Array.isArray(expected)
    ? expected.map((value, i) => [names[i], value] as const)
    : Object.entries(expected);
  return { distances: wanted.map(([name, value]) => distance(results[name], flat(value))) };
}

const flat = (value: Feed): number[] => (Array.isArray(value) ? value : value.data);

function typed(dtype: string, values: number[]): Feeds[string] {
  if (dtype === "int64") return BigInt64Array.from(values, BigInt);
  if (dtype === "int32") return Int32Array.from(values) as unknown as Feeds[string];
  if (dtype === "bool" || dtype === "uint8") return Uint8Array.from(values) as unknown as Feeds[string];
  return Float32Array.from(values);
}

async function seenTeacher(root: string, test: Extract<Case, { kind: "teacher" }>): Promise<Seen> {
  const { network, model, params, spec } = await loadModel(join(root, test.path));
  const seen = {
    loads: true,
    trainable: spec.length > 0,
    classes: classCount(model.conditions),
    nullLabel: nullLabel(model.conditions),
  };
  if (!test.values) return seen;
  const { x, t, labels, y } = (await readJson(join(root, test.values))) as Record<string, number[]>;
  const batch = t.length;
  const output = network.apply(
    fromConstants(params),
    input("x", [batch, ...network.sampleShape]),
    input("t", [batch]),
    labels ? { labels: input("labels", [batch], "int64") } : {},
  );
  const feeds = {
    x: Float32Array.from(x),
    t: Float32Array.from(t),
    ...(labels ? { labels: BigInt64Array.from(labels, BigInt) } : {}),
  };
  return { ...seen, distance: distance((await evaluate({ y: output }, feeds)).y, y) };
}

const readTypes = ["BOOL", "U8", "I8", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "F64", "I64"];

async function seenTensors(path: string): Promise<Seen> {
  const file = await openSafetensors(path);
  try {
    const wrong: string[] = [];
    for (const [name, { dtype, shape }] of file.entries) {
      const size = shape.reduce((a, b) => a * b, 1);
      const said = await file.read(name).then(
        ({ data }) => (data.length === size ? "read" : `${data.length} values`),
        (error: Error) => (error.message.includes(dtype) ? "refused by its type" : error.message),
      );
      const right = readTypes.includes(dtype) ? "read" : "refused by its type";
      if (said !== right) wrong.push(`${name} (${dtype}): ${said}`);
    }
    return { header: true, wrong };
  } finally {
    await file.close();
  }
}

/** Each reads the whole of what a file holds and throws where it cannot. */
const hostileReaders: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  data: (path) => seenData(path),
  async png(path) {
    const bytes = await readFile(path);
    const [own, other] = await Promise.allSettled([decodePng(bytes, "a.png"), decodeImage(bytes, "a.png")]);
    for (const { status, ...rest } of [own, other]) if (status === "rejected") throw Object(rest).reason;
  },
  image: async (path) => decodeImage(await readFile(path), path),
  async onnx(path) {
    const { file, externalData } = await readOnnx(path);
    const model = importOnnx(file, { externalData });
    const inputs = model.inputs.map(({ name, dtype, shape }) => {
      return [
        name,
        input(
          name,
          shape.map((d) => (typeof d === "number" ? d : 1)),
          dtype,
        ),
      ] as const;
    });
    const params = new Map(model.parameters.map((p) => [p.name, input(`weight:${p.name}`, p.shape)]));
    model.apply((name) => params.get(name)!, Object.fromEntries(inputs));
  },
  async card(path) {
    const { network } = modelOf(parseCard(await readJson(path), path));
    collect(network);
  },
  async scheduler(path) {
    const stored = (await readJson(path)) as { j?: unknown; steps?: number };
    const config: unknown = typeof stored?.j === "string" ? JSON.parse(stored.j) : stored;
    createScheduler(config as SchedulerConfig, stored?.steps ?? 10);
    readScheduler(config, path);
  },
  safetensors: seenTensors,
  teacher: loadModel,
  json: readJson,
};

async function readHostile(path: string, reader: string): Promise<Seen> {
  if (!Object.hasOwn(hostileReaders, reader))
    throw new TypeError(`There is no reader "${reader}", expected one of ${Object.keys(hostileReaders).join(", ")}.`);
  await hostileReaders[reader](path);
  return { read: true };
}
