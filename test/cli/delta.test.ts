// fewstep delta on files: students given back, other models changed, folders that keep their names and types, and refusals.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readSafetensors, type WritableTensor, writeSafetensors } from "../../src/data/safetensors.ts";
import { buildNetwork, collect, countParams, fromConstants, unflatten } from "../../src/nn/index.ts";
import { saveModel } from "../../src/node/models.ts";
import { type Card, modelOf } from "../../src/run/card.ts";
import { failure, fewstep } from "./fewstep.ts";

let folder = "";
const at = (...names: string[]) => join(folder, ...names);
const read = (path: string) => readSafetensors(readFileSync(path), path);
const ok = async (...args: string[]) => {
  const ended = await fewstep(...args);
  expect(ended.err.split("\n").filter((line) => line.startsWith("Error"))).toEqual([]);
  expect(ended.code).toBe(0);
  return ended;
};

const network = buildNetwork({ family: "mlp", config: { dim: 2, width: 32, depth: 2 } });
const spec = collect(network);
const linear = { kind: "linear", shift: 1 } as const;
const card = (form: Card["form"], steps: number[], method: string): Card => ({
  ...{ format: 1, library: "0.1.0", form, prediction: { name: "u" }, timeInput: { scale: 1000, offset: 0 } },
  ...{ network: { family: "mlp", config: { ...network.config } }, base: null, imagesSeen: 10, teacherNfe: 0, seed: 0 },
  sampler: { solver: "ddim", grid: { kind: "uniform" }, steps },
  guidance: { convention: "null + g*(cond - null)", baked: 1 },
  conditioning: { labels: 0, nullLabel: null },
  recipe: { method, options: {} },
});
const theta = (phase: number) =>
  Float32Array.from({ length: countParams(spec) }, (_, i) => 0.3 * Math.sin(i * i + phase));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fewstep-delta-"));
  await saveModel(at("base"), card(linear, [50], "flow-matching"), spec, theta(0), network);
  await saveModel(at("other"), card(linear, [50], "flow-matching"), spec, theta(1), network);
  const student = theta(0).map((v, i) => v + 0.01 * Math.cos(3 * i));
  const form: Card["form"] = { kind: "chord", base: linear, windows: { kind: "uniform", count: 4 } };
  await saveModel(at("student"), card(form, [4], "perflow"), spec, student, network);
  // A folder of diffusers, float16, with old names and things that are no weights.
  mkdirSync(at("sd/unet"), { recursive: true });
  mkdirSync(at("sd/scheduler"));
  writeFileSync(at("sd/unet/config.json"), '{"_class_name": "UNet2DConditionModel"}');
  writeFileSync(at("sd/scheduler/scheduler_config.json"), "{}");
  writeFileSync(
    at("sd/unet/diffusion_pytorch_model.fp16.safetensors"),
    writeSafetensors(unet(0), { format: "pt", of: "me" }),
  );
  writeFileSync(at("delta-sd.safetensors"), writeSafetensors(unet(2)));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const tensor = (shape: number[], phase: number, dtype: WritableTensor["dtype"] = "F16"): WritableTensor => ({
  dtype,
  shape,
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * i + phase)),
});
const unet = (phase: number): Record<string, WritableTensor> => ({
  "conv_in.weight": tensor([4, 2, 3, 3], phase),
  "mid_block.attentions.0.query.weight": tensor([4, 4], phase),
  "mid_block.attentions.0.proj_attn.weight": tensor([4, 4, 1, 1], phase),
  "conv_norm_out.weight": tensor([4], phase, "F32"),
});

describe("models of fewstep", () => {
  it("extract and apply give the student back, card and all", async () => {
    const { out } = await ok("delta", "extract", at("base"), at("student"), "--out", at("d.safetensors"));
    expect(out).toMatch(
      /% of the base's norm\. Added to its base it gives the student back to (the bit|the last place)/,
    );
    await ok("delta", "apply", at("base"), "--delta", at("d.safetensors"), "--out", at("again"));
    const [got, want] = ["again", "student"].map((name) => read(at(name, "model.safetensors")).tensors);
    for (const [name, { data }] of want) {
      const bits = (x: unknown) => new Int32Array((x as Float32Array).buffer.slice(0));
      const [a, b] = [
        bits(Float32Array.from(got.get(name)!.data as Float32Array)),
        bits(Float32Array.from(data as Float32Array)),
      ];
      a.forEach((bit, i) => {
        expect(Math.abs(bit - b[i])).toBeLessThanOrEqual(1);
      });
    }
    const cards = ["again", "student"].map((name) => JSON.parse(readFileSync(at(name, "card.json"), "utf8")));
    expect({ ...cards[0], base: null }).toEqual(cards[1]);
    expect(cards[0].base).toMatch(/^[0-9a-f]{64}$/);
    await ok("sample", at("again"), "--n", "4", "--out", at("g.png"));
  });
  it("another base, with scales of blocks: each tensor is base + scale delta", async () => {
    const { err } = await ok(
      ...["delta", "apply", at("other"), "--delta", at("d.safetensors"), "--out", at("plugged")],
      ...["--scale", "0.5", "--block-scale", `${spec[0].name.split(".")[0]}=0`],
    );
    expect(err).toContain("was extracted from another base");
    const [got, base, delta] = ["plugged/model", "other/model", "d"].map((n) => read(at(`${n}.safetensors`)).tensors);
    for (const { name } of spec) {
      const scale = name.split(".")[0] === spec[0].name.split(".")[0] ? 0 : 0.5;
      const [a, b, d] = [got, base, delta].map((t) => t.get(name)!.data as Float32Array);
      a.forEach((v, i) => {
        expect(v).toBeCloseTo(b[i] + scale * d[i], 6);
      });
    }
    // It is sampled as the student is.
    expect(modelOf(JSON.parse(readFileSync(at("plugged/card.json"), "utf8"))).model.form.windows?.count).toBe(4);
    expect(() => fromConstants(unflatten(spec, theta(0)))).not.toThrow();
  });
  it("a base with another noise schedule is refused", async () => {
    await saveModel(at("cosine"), card({ kind: "cosine" }, [50], "flow-matching"), spec, theta(0), network);
    const said = await failure(1, "delta", "apply", at("cosine"), "--delta", at("d.safetensors"), "--out", at("no"));
    expect(said).toMatch(/noises as .*linear.*cosine.*Give a base with the student's noise schedule/);
  });
  it("as a LoRA, with its error, and in conflict with itself", async () => {
    const { out } = await ok(
      "delta",
      "to-lora",
      at("d.safetensors"),
      "--rank",
      "32",
      "--out",
      at("l.safetensors"),
      "--naming",
      "kohya",
    );
    expect(Number(/Relative error (\S+) on them/.exec(out)![1])).toBeLessThan(1e-5);
    const conflict = await ok("delta", "conflict", at("d.safetensors"), "--lora", at("l.safetensors"));
    expect(conflict.out).toMatch(/overlap (1\.00|0\.999|1) .* cosine (1\.00|0\.999|1),/);
    // The LoRA on the base does what the delta does, but for biases.
    await ok("delta", "apply", at("base"), "--lora", at("l.safetensors"), "--out", at("lora-base"));
    const [got, want] = ["lora-base", "student"].map((name) => read(at(name, "model.safetensors")).tensors);
    const name = spec.find(({ shape }) => shape.length === 2)!.name;
    (got.get(name)!.data as Float32Array).forEach((v, i) => {
      expect(v).toBeCloseTo((want.get(name)!.data as Float32Array)[i], 5);
    });
  });
});

describe("a folder of diffusers", () => {
  it("keeps names, shapes, types, metadata and everything else", async () => {
    await ok(
      "delta",
      "apply",
      at("sd"),
      "--delta",
      at("delta-sd.safetensors"),
      "--merge",
      "fp16",
      "--out",
      at("sd-new"),
    );
    expect(readdirSync(at("sd-new"), { recursive: true }).sort()).toEqual(
      readdirSync(at("sd"), { recursive: true }).sort(),
    );
    const file = "unet/diffusion_pytorch_model.fp16.safetensors";
    const [got, was, delta] = [at("sd-new", file), at("sd", file), at("delta-sd.safetensors")].map(read);
    expect(got.metadata).toEqual(was.metadata);
    expect([...got.tensors.keys()]).toEqual([...was.tensors.keys()]);
    for (const [name, { shape, dtype, data }] of got.tensors) {
      expect([shape, dtype]).toEqual([was.tensors.get(name)!.shape, was.tensors.get(name)!.dtype]);
      const [b, d] = [was, delta].map(({ tensors }) => tensors.get(name)!.data as Float32Array);
      (data as Float32Array).forEach((v, i) => {
        expect(Math.abs(v - b[i] - d[i])).toBeLessThan(2e-3);
      });
    }
    expect(readFileSync(at("sd-new/unet/config.json"))).toEqual(readFileSync(at("sd/unet/config.json")));
  });
  it("takes the student's scheduler, which must be one", async () => {
    const scheduler = { _class_name: "PeRFlowScheduler", num_time_windows: 4 };
    writeFileSync(at("s.json"), JSON.stringify(scheduler));
    const args = ["delta", "apply", at("sd"), "--delta", at("delta-sd.safetensors"), "--scheduler"];
    await ok(...args, at("s.json"), "--out", at("sd-scheduled"));
    const file = at("sd-scheduled/scheduler/scheduler_config.json");
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(scheduler);
    const config = at("sd/scheduler/scheduler_config.json");
    expect(await failure(1, ...args, config, "--out", at("never"))).toContain('has no "_class_name"');
    const file2 = ["delta", "apply", at("delta-sd.safetensors"), "--delta", at("delta-sd.safetensors")];
    expect(await failure(2, ...file2, "--scheduler", at("s.json"), "--out", at("x.safetensors"))).toContain("is none");
    // A single file becomes a single file.
    await ok(...file2, "--out", at("twice.safetensors"));
    expect([...read(at("twice.safetensors")).tensors.keys()]).toEqual([
      ...read(at("delta-sd.safetensors")).tensors.keys(),
    ]);
  });
  it("a delta that fits in part only is refused with a list, and applied where told to", async () => {
    const { "conv_in.weight": _, ...rest } = unet(2);
    const wide = {
      ...rest,
      "conv_in.weight": tensor([4, 9, 3, 3], 1),
      "class_embedding.linear_1.weight": tensor([2, 2], 1),
    };
    writeFileSync(at("wide.safetensors"), writeSafetensors(wide));
    const args = ["delta", "apply", at("sd"), "--delta", at("wide.safetensors"), "--out", at("part")];
    const said = await failure(1, ...args);
    expect(said).toMatch(
      /class_embedding.linear_1.weight.*conv_in.weight \[4,9,3,3\], the base has \[4,2,3,3\].*where the shapes match/,
    );
    expect(readdirSync(folder)).not.toContain("part");
    const { err } = await ok(...args, "--where-shapes-match");
    expect(err).toContain("conv_in.weight [4,9,3,3], the base has [4,2,3,3]");
    const name = "unet/diffusion_pytorch_model.fp16.safetensors";
    const [a, b] = [read(at("part", name)).tensors, read(at("sd", name)).tensors];
    expect(a.get("conv_in.weight")).toEqual(b.get("conv_in.weight"));
    expect(a.get("conv_norm_out.weight")).not.toEqual(b.get("conv_norm_out.weight"));
  });
  it("nothing is overwritten, and a failure leaves nothing behind", async () => {
    const before = readdirSync(folder).sort();
    expect(
      await failure(1, "delta", "apply", at("sd"), "--delta", at("delta-sd.safetensors"), "--out", at("sd")),
    ).toContain("exists");
    cpSync(at("delta-sd.safetensors"), at("cut.safetensors"));
    const bytes = readFileSync(at("cut.safetensors"));
    writeFileSync(at("cut.safetensors"), bytes.subarray(0, bytes.length - 1));
    const said = await failure(1, "delta", "apply", at("sd"), "--delta", at("cut.safetensors"), "--out", at("never"));
    expect(said).toContain("is cut off");
    expect(readdirSync(folder).sort()).toEqual([...before, "cut.safetensors"].sort());
  });
});

describe("refusals", () => {
  it("another architecture, LoRAs that match nothing, wrong use", async () => {
    const d = ["--delta", at("d.safetensors")];
    const out = ["--out", at("never")];
    expect(await failure(1, "delta", "apply", at("sd"), ...d, ...out)).toMatch(
      /Nothing of .* fits .*Give the delta of a model of the same architecture/,
    );
    expect(await failure(1, "delta", "apply", at("sd"), ...d, ...out, "--where-shapes-match")).toMatch(/Nothing of/);
    expect(await failure(1, "delta", "extract", at("base"), at("sd"), ...out)).toMatch(/Nothing of/);
    const lora = { "unet.x.lora_A.weight": tensor([1, 2], 0, "F32"), "unet.x.lora_B.weight": tensor([2, 1], 0, "F32") };
    writeFileSync(at("stray.safetensors"), writeSafetensors(lora));
    expect(await failure(1, "delta", "apply", at("sd"), "--lora", at("stray.safetensors"), ...out)).toMatch(
      /fits no weight.*Give a LoRA/,
    );
    expect(await failure(2, "delta", "apply", at("base"), ...out)).toContain("needs --delta, --lora or both");
    expect(await failure(2, "delta", "apply", at("base"), ...d)).toContain("needs --out");
    expect(await failure(2, "delta", "extract", at("base"), ...out)).toContain("takes <base> <student>");
    expect(await failure(2, "delta", "apply", at("base"), ...d, ...out, "--block-scale", "mid=x")).toContain(
      "like mid_block=0.5",
    );
    expect(await failure(2, "delta", "apply", at("base"), ...d, ...out, "--block-scale", "nope=1")).toContain(
      'no block "nope"',
    );
    expect(await failure(2, "delta", "merge")).toContain("extract");
    expect(await failure(1, "delta", "apply", at("nowhere"), ...d, ...out)).toContain("does not exist");
    expect(readdirSync(folder)).not.toContain("never");
  });
});
