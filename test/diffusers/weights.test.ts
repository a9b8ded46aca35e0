// Weights on disk that are not as they should be: each is refused in a sentence that names what is wrong and what to do.
import { describe, expect, it } from "vitest";
import { writeSafetensors } from "../../src/data/safetensors.ts";
import { memorySource, type RangeSource } from "../../src/data/source.ts";
import { indexFile, readTensor, transposed } from "../../src/data/tensorIndex.ts";
import { splitSingleFile } from "../../src/diffusers/singleFile.ts";
import { checkWeights, chooseWeights, openWeights, weightsAmong } from "../../src/diffusers/weights.ts";

const base = "diffusion_pytorch_model";
const one = (name: string, shape: number[], fill = 1) =>
  writeSafetensors({ [name]: { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill) } });
const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const sharded = (map: unknown, files: Record<string, Uint8Array> = {}) =>
  memorySource(
    {
      [`unet/${base}.safetensors.index.json`]: json({ weight_map: map }),
      "unet/a.safetensors": one("a", [2]),
      ...files,
    },
    "model",
  );

describe("which files", () => {
  it("whole files, variants and indexes, not the shards", () => {
    const names = [
      ...[`${base}-00001-of-00002.safetensors`, `${base}.fp16-00001-of-00002.safetensors`, "config.json"],
      ...[`${base}.safetensors.index.json`, `${base}.safetensors.index.fp16.json`, "model.non_ema.safetensors"],
    ];
    expect(weightsAmong(names).map(({ variant }) => variant)).toEqual(["non_ema", undefined, "fp16"]);
    expect(chooseWeights("f", names, "fp16").file).toBe(`${base}.safetensors.index.fp16.json`);
    expect(chooseWeights("f", names).file).toBe(`${base}.safetensors.index.json`);
    expect(chooseWeights("f", [`${base}.fp16.safetensors`]).variant).toBe("fp16");
  });
  it("refusals", () => {
    const choose = (names: string[], variant?: string) => () => chooseWeights("f", names, variant);
    expect(choose([])).toThrow("f holds no file, expected diffusion_pytorch_model.safetensors");
    expect(choose([`${base}.bin`])).toThrow("Convert the .bin file");
    expect(choose([`${base}-00001-of-00002.safetensors`])).toThrow("without their index");
    expect(choose([`${base}.fp16.safetensors`, `${base}.ema.safetensors`])).toThrow("Name one of them");
    expect(choose([`${base}.safetensors`], "fp16")).toThrow("expected fp16");
  });
});

describe("shards", () => {
  const refused = (source: RangeSource) => expect(openWeights(source, "unet")).rejects;
  it("good ones open", async () => {
    const index = await openWeights(sharded({ a: "a.safetensors" }), "unet");
    expect([...(await readTensor(index, "a")).data]).toEqual([1, 1]);
  });
  it.each([
    "../a.safetensors",
    "/etc/a.safetensors",
    "b\\a.safetensors",
    "C:a.safetensors",
    "sub/a.safetensors",
    7,
    "a.bin",
  ])("a place outside the folder: %s", (place) =>
    refused(sharded({ a: place })).toThrow(/expected the name of a .safetensors file in its own folder/));
  it("missing shards, missing and extra tensors, no map, no JSON", async () => {
    await refused(sharded({ a: "a.safetensors", b: "b.safetensors" })).toThrow(/b.safetensors, which is not there/);
    await refused(sharded({ a: "a.safetensors", b: "a.safetensors" })).toThrow(/names b, which is not in the file/);
    await refused(sharded({ c: "c.safetensors" }, { "unet/c.safetensors": two() })).toThrow(
      /hold d, which it does not name/,
    );
    await refused(sharded({})).toThrow(/no "weight_map"/);
    const text = { [`unet/${base}.safetensors.index.json`]: new TextEncoder().encode("{") };
    await refused(memorySource(text, "model")).toThrow(/is not JSON/);
  });
  const two = () =>
    writeSafetensors({ c: { shape: [1], data: Float32Array.of(1) }, d: { shape: [1], data: Float32Array.of(1) } });
});

describe("hostile headers cost nothing", () => {
  it("a header of 200 MB is not read", async () => {
    const first = new Uint8Array(8);
    new DataView(first.buffer).setBigUint64(0, 200_000_000n, true);
    let asked = 0;
    const source: RangeSource = {
      ...{ name: "disk", list: async () => ["a.safetensors"], read: async () => first, size: async () => 2 ** 40 },
      range: async (_, __, length) => {
        asked += length;
        return first.slice(0, length);
      },
    };
    await expect(indexFile(source, "a.safetensors")).rejects.toThrow(/a header of 200/);
    expect(asked).toBe(8);
  });
  it("a cut file is refused before a tensor is read", async () => {
    const whole = one("a", [100]);
    for (const length of [0, 4, 20, whole.length - 1])
      await expect(
        indexFile(memorySource({ "a.safetensors": whole.slice(0, length) }, "m"), "a.safetensors"),
      ).rejects.toThrow(/m\/a.safetensors .*(cut off|has a damaged)/);
  });
});

describe("names and shapes", () => {
  it("lists what is missing, misshapen, no floats and extra", async () => {
    const file = writeSafetensors({
      a: { shape: [3], data: new Float32Array(3) },
      b: { shape: [1], data: Int32Array.of(1) },
      "text_model.embeddings.position_ids": { shape: [1], data: BigInt64Array.of(1n) },
      z: { shape: [1], data: Float32Array.of(1) },
    });
    const index = await indexFile(memorySource({ f: file }, "m"), "f");
    const spec = [
      { name: "a", shape: [2] },
      { name: "b", shape: [1] },
      { name: "c", shape: [1] },
    ];
    expect(() => checkWeights(spec, index)).toThrow(
      "m/f does not fit its config.json: 1 of its 3 tensors are missing (c); 1 have other shapes (a [3], expected [2]); 1 are no floats (b as I32); it holds 1 that the network does not have (z). Get the two that belong together.",
    );
  });
  it("a file without a U-Net of the original names, and one whose names collide", async () => {
    const index = await indexFile(memorySource({ f: one("a", [1]) }, "m"), "f");
    expect(() => splitSingleFile(index)).toThrow(/has no tensor "model.diffusion_model/);
    const clash = writeSafetensors(
      Object.fromEntries(
        [
          "model.diffusion_model.out.2.bias",
          "cond_stage_model.transformer.a",
          "conditioner.embedders.0.transformer.a",
        ].map((name) => [name, { shape: [1], data: Float32Array.of(1) }]),
      ),
    );
    const both = await indexFile(memorySource({ f: clash }, "m"), "f");
    expect(() => splitSingleFile(both)).toThrow(/twice/);
  });
  it("transposing twice changes nothing", () => {
    const data = Float32Array.from({ length: 6 }, (_, i) => i);
    expect([...transposed(data, 2)]).toEqual([0, 3, 1, 4, 2, 5]);
    expect(transposed(transposed(data, 2), 3)).toEqual(data);
  });
});
