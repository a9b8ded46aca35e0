// Folders with ONNX files that cannot be a teacher say why: at the border, in one sentence, with what to do.
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { loadModel } from "../../src/node/models.ts";
import { fixture, runtime } from "../onnx/helpers.ts";
import { described, floats, graphProto, modelBytes, node, stored } from "../onnx/model.ts";
import { fewstep, root, scratch } from "./fewstep.ts";

const { at } = scratch();
const ddpm = JSON.stringify({ _class_name: "DDPMScheduler" });
const unet = () => at("model/unet/model.onnx");

async function write(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

/** PyTorch's export of a U-Net on 1 x 8 x 8 with four classes and "no class". */
beforeEach(async () => {
  await write(unet(), fixture("unet-dynamo-18.onnx"));
  await write(at("model/scheduler/scheduler_config.json"), ddpm);
});

async function refusal(...args: string[]): Promise<string> {
  const command = args.length > 0 ? args : ["sample", at("model"), "--n", "1", "--out", at("none.png")];
  const { code, err } = await fewstep("--quiet", ...command);
  expect(err, "one line, no stack").toMatch(/^Error: [^\n]+\.\n$/);
  expect(code).toBe(1);
  return err.slice("Error: ".length, -1).replaceAll(join(at(), "/"), "");
}

/** out_sample = sample + w, with more inputs that nothing uses. */
function affine(more: readonly string[], shape: (number | string)[], opType = "Add"): Uint8Array {
  const isWide = (name: string) => name === "sample" || name === "encoder_hidden_states";
  return modelBytes(
    graphProto({
      node: [node(opType, ["sample", "w"], ["out_sample"])],
      initializer: [stored("w", floats([1, 2]))],
      input: ["sample", "timestep", ...more].map((name) => described(name, isWide(name) ? shape : ["batch"])),
      output: [described("out_sample", null)],
    }),
    17,
  );
}

describe("a file that cannot be a teacher", () => {
  test("cut off, with an unsupported operator, with a size or classes that nobody gives", async () => {
    await writeFile(unet(), (await readFile(unet())).subarray(0, 30_000));
    expect(await refusal()).toBe("model/unet/model.onnx: The 30000 bytes are no ONNX model, or one that is cut off.");
    await writeFile(unet(), affine([], ["batch", 1, "height", 2]));
    expect(await refusal()).toMatch(
      /leaves the dimension "height" of "sample" open; put "sample_size" into config\.json\.$/,
    );
    await writeFile(unet(), affine([], ["batch", 2], "Det"));
    expect(await refusal()).toMatch(
      /The model uses what cannot be imported: the operator Det \(1 node, "the Det"\)\.$/,
    );
    await writeFile(unet(), affine(["labels"], ["batch", 2]));
    expect(await refusal()).toMatch(
      /Nothing says how many classes "labels" has; put "num_class_embeds" into config\.json\.$/,
    );
    expect(runtime.open()).toBe(0);
  });
  test("conditioned on text: every command says what a program can do instead", async () => {
    await writeFile(unet(), affine(["encoder_hidden_states"], ["batch", 2]));
    const sentence =
      'model/unet/model.onnx: The model needs "encoder_hidden_states" besides "sample" and "timestep", but a teacher takes a sample, a time and class labels only; in a program, importOnnx takes any inputs (see docs/onnx-import.md).';
    const data = ["--data", "toy:moons@64"];
    expect(await refusal()).toBe(sentence);
    expect(await refusal("info", at("model"))).toBe(sentence);
    expect(await refusal("evaluate", at("model"), ...data, "--out", at("out"))).toBe(sentence);
    expect(await refusal("accelerate", at("model"), "--method", "perflow", ...data, "--out", at("out"))).toBe(sentence);
  });
});

describe("config.json beside the file", () => {
  const withConfig = (config: unknown) => write(at("model/unet/config.json"), JSON.stringify(config));
  test("what is true of the file, and what says nothing, is accepted", async () => {
    for (const config of [
      { in_channels: 1, sample_size: 8, num_class_embeds: 5 },
      { in_channels: 1, sample_size: [8, 8], num_class_embeds: null },
      { in_channels: null, sample_size: null, act_fn: "silu" },
    ]) {
      await withConfig(config);
      const { model } = await loadModel(at("model"));
      expect([model.sampleShape, model.conditions.labels?.rows]).toEqual([[1, 8, 8], 5]);
    }
  });
  test.each([
    [{ sample_size: 16 }, '"sample_size": 16, but "sample" is 1 x 8 x 8'],
    [{ sample_size: [8, 12] }, '"sample_size": [8,12], but "sample" is 1 x 8 x 8'],
    [{ in_channels: 3, sample_size: 8 }, '"in_channels": 3, but "sample" is 1 x 8 x 8'],
    [{ num_class_embeds: 11 }, '"num_class_embeds": 11, but "class_labels" picks from 5 rows'],
  ])("%j contradicts the file", async (config, why) => {
    await withConfig(config);
    expect(await refusal()).toBe(
      `model/unet/model.onnx: config.json has ${why}. Take the config.json that belongs to the model, or leave "${Object.keys(config)[0]}" out.`,
    );
  });
  test("classes for a file without any; channels that an open size would take and the network does not", async () => {
    await writeFile(unet(), affine([], ["batch", 2]));
    await withConfig({ num_class_embeds: 11 });
    expect(await refusal()).toContain('"num_class_embeds": 11, but the model has no input of class labels.');
    await writeFile(unet(), affine([], ["batch", "channels"]));
    await withConfig({ in_channels: 3 });
    expect(await refusal()).toMatch(
      /model\.onnx: With the sizes of config\.json \("sample" is 3\): The node "the Add" \(Add\) does not fit its inputs: .*\[1,3\] and \[2\] do not broadcast\.$/,
    );
  });
  test("values of a wrong type, and what is no configuration", async () => {
    const name = "model/unet/config.json";
    for (const [config, why] of [
      [{ in_channels: "1" }, 'has "in_channels": "1", expected a whole number from 1 to 1048576.'],
      [{ sample_size: -8 }, 'has "sample_size": -8, expected a whole number from 1 to 1048576, or two.'],
      [{ sample_size: [8, 0] }, 'has "sample_size": [8,0], expected a whole number from 1 to 1048576, or two.'],
      [{ num_class_embeds: 2.5 }, 'has "num_class_embeds": 2.5, expected a whole number from 1 to 1048576.'],
      [[1], "is no configuration of a network: expected an object."],
    ] as const) {
      await withConfig(config);
      expect(await refusal()).toBe(`${name} ${why}`);
    }
  });
});

describe("a folder whose network is not where it is looked for", () => {
  const expected = "expected diffusion_pytorch_model.safetensors or model.onnx.";
  test("another name, only config.json, nothing", async () => {
    await rename(unet(), at("model/unet/weights.onnx"));
    expect(await refusal()).toBe(`model/unet holds weights.onnx, ${expected} Rename weights.onnx to model.onnx.`);
    await write(at("model/unet/config.json"), "{}");
    expect(await refusal("info", at("model"))).toBe(
      `model/unet holds config.json and weights.onnx, ${expected} Rename weights.onnx to model.onnx.`,
    );
    await rm(at("model/unet/weights.onnx"));
    expect(await refusal()).toBe(`model/unet holds config.json, ${expected}`);
    await rm(at("model/unet/config.json"));
    expect(await refusal()).toBe(`model/unet holds no file, ${expected}`);
    await rm(at("model/unet"), { recursive: true });
    expect(await refusal()).toBe(`model/unet holds no file, ${expected}`);
  });
  test("the arrays without the model, many files, a folder of that name, a .bin", async () => {
    await rm(unet());
    await write(at("model/unet/model.onnx_data"), "x");
    expect(await refusal()).toBe(`model/unet holds model.onnx_data, ${expected}`);
    for (const i of [1, 2, 3, 4, 5, 6]) await write(at(`model/unet/part${i}.safetensors`), "x");
    expect(await refusal()).toBe(
      `model/unet holds model.onnx_data, part1.safetensors, part2.safetensors, part3.safetensors, part4.safetensors and 2 more, ${expected}`,
    );
    await rm(at("model/unet"), { recursive: true });
    await mkdir(unet(), { recursive: true });
    expect(await refusal()).toBe(`model/unet holds model.onnx/, ${expected}`);
    await write(at("model/unet/diffusion_pytorch_model.bin"), "x");
    expect(await refusal()).toMatch(/ Convert the \.bin file first\.$/);
  });
  test("a transformer as safetensors, weights without their configuration", async () => {
    await rm(at("model/unet"), { recursive: true });
    await write(at("model/transformer/config.json"), "{}");
    expect(await refusal()).toBe("model/transformer holds config.json, expected model.onnx.");
    await write(at("model/transformer/diffusion_pytorch_model.safetensors"), "x");
    expect(await refusal()).toBe(
      "model/transformer holds config.json and diffusion_pytorch_model.safetensors, expected model.onnx. Export the network as ONNX first (see docs/onnx-import.md).",
    );
    await write(at("model/unet/diffusion_pytorch_model.safetensors"), "x");
    expect(await refusal()).toBe(
      "model/unet holds diffusion_pytorch_model.safetensors, but no config.json. Add the one that was saved with it.",
    );
  });
  test("the model in the folder itself, the part in place of the folder, no scheduler", async () => {
    expect(await refusal("info", at("model/unet"))).toBe(
      "model/unet is a part of a model, expected the folder that holds it and scheduler. Give that one.",
    );
    expect(await refusal("info", join(root, "assets/mnist-teacher/unet"))).toMatch(/unet is a part of a model, /);
    await write(at("flat/model.onnx"), await readFile(unet()));
    expect(await refusal("info", at("flat"))).toBe(
      "flat holds model.onnx itself, expected it as unet/model.onnx. Move it there.",
    );
    await rm(at("model/scheduler"), { recursive: true });
    expect(await refusal()).toBe(
      "model has no scheduler/scheduler_config.json, which says how noise is added and what the network predicts. Add the one that the model was trained with.",
    );
  });
});
