// Weights that stay in files: the same numbers as constants, through links, after the file has changed, and refusals.
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { writeSafetensors } from "../../src/data/safetensors.ts";
import { mapTensors, type TensorIndex } from "../../src/data/tensorIndex.ts";
import { openWeights } from "../../src/diffusers/weights.ts";
import { emitModel, estimateMemory, external, input, matmul, type Tensor } from "../../src/graph/index.ts";
import { conv2d, linear } from "../../src/nn/layers.ts";
import { fromConstants, fromExternal, type ParamMap, type Params } from "../../src/nn/params.ts";
import { externalParams } from "../../src/node/externalWeights.ts";
import { folderSource } from "../../src/node/folderSource.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { openSession } from "../../src/runtime/session.ts";

const scratch = mkdtempSync(join(tmpdir(), "fewstep-external-"));
const runtime = nodeRuntime();
afterAll(() => {
  rmSync(scratch, { recursive: true });
  expect(runtime.open()).toBe(0);
});

const wave = (n: number, phase = 0) => Float32Array.from({ length: n }, (_, i) => Math.sin(3 * i + phase));
const weights = (phase = 0): ParamMap =>
  new Map([
    ["conv.weight", { shape: [32, 16, 3, 3], data: wave(32 * 16 * 9, phase) }],
    ["conv.bias", { shape: [32], data: wave(32, phase) }],
    ["out.weight", { shape: [5, 8], data: wave(40, phase) }],
    ["out.bias", { shape: [5], data: wave(5, phase) }],
  ]);
const network = (p: Params): Tensor => linear(p, "out", conv2d(p, "conv", input("x", [1, 16, 8, 8]), { out: 32 }), 5);
async function outputOf(p: Params): Promise<Float32Array> {
  const program = await runtime.compile({ y: network(p) });
  try {
    return (await program.run({ x: wave(16 * 64, 1) })).y.data as Float32Array;
  } finally {
    await program.dispose();
  }
}
function write(folder: string, dtype: "F32" | "F16" = "F32", phase = 0): string {
  const path = join(scratch, folder);
  mkdirSync(path, { recursive: true });
  const tensors = new Map([...weights(phase)].map(([name, w]) => [name, { ...w, dtype }]));
  writeFileSync(join(path, "model.safetensors"), writeSafetensors(tensors));
  return path;
}
const open = (folder: string): Promise<TensorIndex> => openWeights(folderSource(folder), "");
const close = (a: Float32Array, b: Float32Array) =>
  expect(Math.max(...a.map((v, i) => Math.abs(v - b[i])))).toBeLessThan(1e-5);

test("the numbers are those of constants, and the program is small", async () => {
  const { params, made } = await externalParams(await open(write("plain")), scratch);
  expect(made).toBeUndefined();
  close(await outputOf(params), await outputOf(fromConstants(weights())));
  const model = emitModel({ y: network(params) }, "cpu");
  expect(model.bytes.length).toBeLessThan(4096);
  expect([...(model.external?.versions.keys() ?? [])]).toHaveLength(1);
  // They count as what they take.
  const memory = (p: Params) => estimateMemory({ y: network(p) }).constants;
  expect(memory(params)).toBe(memory(fromConstants(weights())));
});

test("through a folder of links, as download caches are", async () => {
  const real = write("blobs");
  const folder = join(scratch, "links");
  mkdirSync(folder);
  symlinkSync(join(real, "model.safetensors"), join(folder, "model.safetensors"));
  close(await outputOf((await externalParams(await open(folder))).params), await outputOf(fromConstants(weights())));
});

test("float16 is widened once, and again when the file changes", async () => {
  const folder = write("half", "F16");
  const cache = join(scratch, "cache");
  const first = await externalParams(await open(folder), cache);
  expect(first.made).toContain(cache);
  const before = await outputOf(first.params);
  expect((await externalParams(await open(folder), cache)).made).toBeUndefined();
  write("half", "F16", 0.5);
  utimesSync(join(folder, "model.safetensors"), new Date(), new Date(Date.now() + 5000));
  const second = await externalParams(await open(folder), cache);
  expect(second.made).not.toBe(first.made);
  const after = await outputOf(second.params);
  expect(Math.max(...after.map((v, i) => Math.abs(v - before[i])))).toBeGreaterThan(0.1);
});

test("a file that changed is another program, also under the same name", async () => {
  const folder = write("changes");
  const before = await runtime.compile({ y: network((await externalParams(await open(folder))).params) });
  rmSync(join(folder, "model.safetensors"));
  write("changes", "F32", 0.5);
  utimesSync(join(folder, "model.safetensors"), new Date(), new Date(Date.now() + 5000));
  const got = await outputOf((await externalParams(await open(folder))).params);
  await before.dispose();
  close(got, await outputOf(fromConstants(weights(0.5))));
});

test("what was merged in memory wins over the file", async () => {
  const index = await open(write("overlay"));
  const place = (name: string) => ({ folder: "/", location: "nowhere", offset: index.tensors.get(name)!.start });
  const places = new Map([...index.tensors].map(([name, { shape }]) => [name, { shape, place: place(name) }]));
  close(await outputOf(fromExternal(places, weights(2))), await outputOf(fromConstants(weights(2))));
});

test("what is merged at load is written to the cache once for its key, and the rest stays where it is", async () => {
  const index = await open(write("merged"));
  const merged = { changes: new Map([["out.bias", (v: Float32Array) => v.map((x) => x + 2)]]), key: "plus 2" };
  const { params, made } = await externalParams(index, join(scratch, "cache"), merged);
  expect(made).toBeDefined();
  expect((await externalParams(index, join(scratch, "cache"), merged)).made).toBeUndefined();
  expect((await externalParams(index, join(scratch, "cache"), { ...merged, key: "else" })).made).toBeDefined();
  const plain = await outputOf(fromConstants(weights()));
  close(
    await outputOf(params),
    plain.map((x) => x + 2),
  );
});

test("transposed and shifted tensors are widened too", async () => {
  const index = await open(write("turned"));
  const turned = mapTensors(index, (name, p) =>
    name === "out.weight" ? [[name, { ...p, shape: [8, 5], transposed: true }]] : [[name, p]],
  );
  const { made } = await externalParams(turned, join(scratch, "cache"));
  expect(made).toBeDefined();
});

test("refusals", async () => {
  expect(() => external({ folder: "/", location: "a", offset: 6 }, [1])).toThrow(/byte 6, expected a multiple of 4/);
  const place = { folder: "/", location: "a.safetensors", offset: 8, version: "1" };
  const x = input("x", [1, 2]);
  const two = (b: typeof place) => matmul(matmul(x, external(place, [2, 2])), external(b, [2, 2]));
  expect(() => emitModel({ y: two({ ...place, folder: "/b" }) }, "cpu")).toThrow(/one folder/);
  expect(() => emitModel({ y: two({ ...place, version: "2" }) }, "cpu")).toThrow(/a.safetensors changed while/);
  const model = emitModel({ y: two(place) }, "wasm");
  const none = { InferenceSession: { create: async () => Promise.reject(new Error()) }, Tensor: class {} } as never;
  await expect(openSession(none, "wasm", 1, model, {})).rejects.toThrow(/which only Node can read/);
});
