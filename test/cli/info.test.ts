// `fewstep info`: in words and as fields, from headers; `sample` and `info` find runs in the folders below.
import { cp, mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { tensorFile } from "../../src/cli/tensorKinds.ts";
import { writeSafetensors } from "../../src/node/files.ts";
import { picture, tar } from "../data/bytes.ts";
import { fewstep, onlyRun, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const tiny = "train --data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --preview-every 0".split(" ");
let run: string;

beforeAll(async () => {
  const { code, err } = await fewstep(...tiny, "--images", "16", "--out", at("runs/deep/demo"));
  expect(code, err).toBe(0);
  run = await onlyRun(at("runs/deep/demo"));
});

/** The event of --json. */
async function fields(path: string) {
  const { code, out, err } = await fewstep("info", path, "--json", "--quiet");
  expect(code, err).toBe(0);
  return JSON.parse(out) as Record<string, Record<string, unknown>>;
}

test("a finished run is not told to go on, one with a larger budget is", async () => {
  const { out } = await fewstep("info", run);
  expect(out).toContain("Its checkpoint is of step 2, the last one: it is finished.");
  expect(out).not.toContain("go on");
  expect((await fields(run)).run).toMatchObject({
    options: { command: "train", batch: 8, images: 16 },
    checkpoint: 2,
    finished: true,
    model: { form: "linear", prediction: "u", network: "mlp", shape: [2], classes: 0, imagesSeen: 16 },
  });
  await cp(run, at("longer/00000-x"), { recursive: true });
  const options = JSON.parse(await readFile(join(run, "options.json"), "utf8"));
  await writeFile(at("longer/00000-x/options.json"), JSON.stringify({ ...options, images: 32 }));
  expect((await fewstep("info", at("longer/00000-x"))).out).toContain(
    `Its checkpoint is of step 2; go on with: fewstep train --resume ${at("longer/00000-x")}`,
  );
});

test("runs are found in the folders below; the newest run of a folder wins over older ones below it", async () => {
  const sampled = await fewstep("sample", at("runs"), "--n", "2", "--steps", "1", "--out", at("grid.png"));
  expect(sampled.code, sampled.err).toBe(0);
  expect(sampled.out).toContain("2 samples of 00000-flow-matching-moons-64-b8");
  expect((await fewstep("info", at("runs"))).out).toContain(`${run}: a run of fewstep train.`);
  await cp(run, at("runs/00003-own"), { recursive: true });
  expect((await fields(at("runs"))).run.model).toMatchObject({ path: at("runs/00003-own/model") });
  await mkdir(at("none/a/b/c"), { recursive: true });
  await cp(run, at("none/a/b/c/00000-too-deep"), { recursive: true });
  expect((await fewstep("sample", at("none"), "--out", at("none.png"))).err).toContain("holds no model");
});

test("a model is described from headers: its weights are not read, but their shapes are checked", async () => {
  await cp(join(run, "model"), at("model"), { recursive: true });
  const whole = await fields(at("model"));
  // Weights of NaN: sampling refuses them, a header does not show them.
  const file = await open(at("model/model.safetensors"), "r+");
  const { size } = await file.stat();
  await file.write(new Uint8Array(64).fill(0xff), 0, 64, size - 64);
  await file.close();
  expect((await fields(at("model"))).model).toEqual(whole.model);
  expect((await fewstep("sample", at("model"), "--out", at("nan.png"))).err).toContain("NaN among its weights");
  await writeSafetensors(at("model/model.safetensors"), { x: { shape: [1], data: Float32Array.of(1) } });
  expect((await fewstep("info", at("model"))).err).toMatch(/model\.safetensors has no tensor ".*", expected \[/);
});

describe("data", () => {
  test("images of a tar are counted, and one is decoded", async () => {
    const broken = new TextEncoder().encode("no picture");
    await writeFile(
      at("a.tar"),
      await tar({
        "0.png": picture(6, 4, 3),
        "0.cls": "cat",
        "1.png": broken,
        "1.cls": "dog",
        "2.png": broken,
        "2.cls": "cat",
      }),
    );
    expect((await fewstep("info", at("a.tar"))).out).toContain(
      "data, 3 images of 6 x 4 with 3 channels (the first one; the others were not decoded), 2 classes.",
    );
    expect((await fields(at("a.tar"))).data).toEqual({ size: 3, shape: [3, 4, 6], classes: 2, sizesChecked: false });
  });

  test("IDX files and toys as before", async () => {
    expect((await fields("assets/mnist-small")).data).toEqual({
      size: 10_000,
      shape: [1, 28, 28],
      classes: 10,
      sizesChecked: true,
    });
    expect((await fields("toy:moons@100")).data).toMatchObject({ size: 100, shape: [2, 1, 1], classes: 0 });
  });
});

describe("safetensors of others, by names and shapes", () => {
  const kind = (shapes: Record<string, number[]>, metadata: Record<string, string> = {}, file = "x.safetensors") => {
    const entries = new Map(
      Object.entries(shapes).map(([name, shape]) => [name, { dtype: "F16", shape, start: 0, end: 0 } as const]),
    );
    return tensorFile({ entries, metadata }, file);
  };
  const block = "down_blocks.0.attentions.0.transformer_blocks.0.attn2";
  const kohya = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";

  test.each([
    [
      "kohya's",
      { [`${kohya}.lora_down.weight`]: [64, 768], [`${kohya}.lora_up.weight`]: [320, 64], [`${kohya}.alpha`]: [] },
      64,
      "Stable Diffusion 1",
    ],
    [
      "PEFT's",
      { [`unet.${block}.to_k.lora_A.weight`]: [8, 2048], [`unet.${block}.to_k.lora_B.weight`]: [640, 8] },
      8,
      "Stable Diffusion XL",
    ],
    ["PEFT's with an adapter", { [`${block}.to_v.lora_A.default.weight`]: [4, 1024] }, 4, "Stable Diffusion 2"],
    [
      "old diffusers'",
      {
        [`${block}.processor.to_q_lora.down.weight`]: [16, 320],
        [`${block}.processor.to_q_lora.up.weight`]: [320, 16],
      },
      16,
      undefined,
    ],
  ] as const)("a LoRA of %s names", (_, shapes, rank, base) => {
    const found = kind(shapes as unknown as Record<string, number[]>);
    expect(found).toMatchObject({ kind: "lora", rank, layers: 1, base });
    expect(found.text).toBe(`a LoRA${base ? ` of ${base}` : ""} of rank ${rank} for 1 layers`);
  });

  test("a difference by its metadata or its name, with the base", () => {
    const weight = { [`${block}.to_k.weight`]: [320, 768] };
    expect(kind(weight, { format: "fewstep-delta-1", base: "abc" })).toMatchObject({ kind: "delta", base: "abc" });
    expect(kind(weight, {}, "delta_weights.safetensors")).toMatchObject({ kind: "delta", base: "Stable Diffusion 1" });
    expect(kind(weight, {}, "deltas.safetensors").kind).toBe("weights");
    expect(kind(weight)).toMatchObject({ kind: "weights", base: "Stable Diffusion 1", tensors: 1, values: 320 * 768 });
  });

  test("samples, pairs and states of fewstep", async () => {
    await fewstep("sample", run, "--n", "2", "--steps", "1", "--out", at("s.png"), "--save", at("s.safetensors"));
    expect((await fewstep("info", at("s.safetensors"))).out).toContain("2 samples of the shape 2, with their noise");
    expect((await fields(join(run, "state/state.safetensors"))).safetensors).toMatchObject({ kind: "state", step: 2 });
  });
});
