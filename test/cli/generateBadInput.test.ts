// What fewstep generate refuses: in one sentence that names it and says what to do, with nothing written.
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeAll, expect, it } from "vitest";
import { encodePng } from "../../src/data/png.ts";
import { readSafetensors, type WritableTensor, writeSafetensors } from "../../src/data/safetensors.ts";
import { unetParams } from "../../src/nn/diffusersParams.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { randomWeights } from "../support/tinyDiffusion.ts";
import { tinyUNetKeys, writeTinyControlNet, writeTinyFolder, writeWeights } from "../support/tinyFolder.ts";
import { failure, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const weights = "unet/diffusion_pytorch_model.safetensors";
const refused = (code: 1 | 2, model: string, ...args: string[]) =>
  failure(code, "generate", at(model), "--prompt", "a", "--steps", "1", "--out", at("x.png"), ...args);

beforeAll(() => {
  writeTinyFolder(at("sd"));
  writeTinyControlNet(at("control"));
  writeTinyControlNet(at("control-xl"), { cross_attention_dim: 16 });
  const data = (n: number) => new Uint8Array(n).fill(90);
  writeFileSync(at("wide.png"), encodePng({ width: 12, height: 10, channels: 3, data: data(360) }));
  writeFileSync(at("odd.png"), encodePng({ width: 9, height: 7, channels: 3, data: data(189) }));
});
afterEach(() => expect(existsSync(at("x.png"))).toBe(false));

/** The model again, with other tensors in its U-Net. */
function changed(name: string, change: (tensors: Map<string, WritableTensor>) => void): string {
  writeTinyFolder(at(name));
  const { tensors } = readSafetensors(readFileSync(at(name, weights)), name);
  const all = new Map<string, WritableTensor>([...tensors].map(([key, t]) => [key, { ...t, dtype: "F32" as const }]));
  change(all);
  writeFileSync(at(name, weights), writeSafetensors(all));
  return name;
}
function configured(name: string, file: string, change: object | null): string {
  writeTinyFolder(at(name));
  const path = at(name, file);
  if (change === null) rmSync(path);
  else writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }));
  return name;
}

it("prompts, sizes and pictures", async () => {
  expect(await refused(2, "sd", "--negative", "a".repeat(100_000))).toBe(
    "--negative has 100000 characters, expected at most 20000; 75 tokens of it would be read. Shorten it.",
  );
  expect(await refused(2, "sd", "--width", "9")).toBe(
    "The size (--width and --height) is 9 x 8: expected multiples of 2, 8 x 8 say.",
  );
  expect(await refused(2, "sd", "--image", at("odd.png"))).toContain(
    "odd.png is 9 x 7: expected multiples of 2, 8 x 6",
  );
  expect(await refused(2, "sd", "--controlnet", at("control"), "--control", at("wide.png"))).toContain(
    "wide.png is 12 x 10, but the picture will be 8 x 8: scale it, or give --width 12 --height 10.",
  );
  expect(await refused(2, "sd", "--control", at("wide.png"))).toContain(
    "0 ControlNets (--controlnet) and 1 control pictures",
  );
  expect(
    await refused(
      1,
      "sd",
      "--controlnet",
      at("control-xl"),
      "--control",
      at("wide.png"),
      "--width",
      "12",
      "--height",
      "10",
    ),
  ).toContain("has the cross_attention_dim 16, but the model's U-Net 8: it is a ControlNet of another kind of model.");
  expect(await refused(2, "sd", "--strength", "0.5")).toBe("--strength is of --image, and none is given.");
  expect(await refused(2, "sd", "--upscale", "2")).toContain("--upscale needs --image");
  expect(await refused(2, "sd", "--sampler", "nosuch")).toContain('--sampler is "nosuch": expected one of ddim,');
  expect(await refused(2, "sd", "--sampler", "perflow")).toContain("--sampler perflow needs --prediction");
  expect(await refused(2, "sd", "--sampler", "flow-match-euler")).toContain("is for models of flow matching");
  expect(await refused(2, "sd", "--clip-skip", "3")).toBe("--clip-skip is 3, expected 0 to 2 for this model.");
}, 60_000);

it("tensors that are missing, too many, of other shapes, or cut off", async () => {
  const one = "conv_out.bias";
  changed("missing", (tensors) => tensors.delete(one));
  expect(await refused(1, "missing")).toMatch(
    /does not fit its config\.json: 1 of its \d+ tensors are missing \(conv_out\.bias\)\. Get the two/,
  );
  changed("extra", (tensors) => tensors.set("more", tensors.get(one)!));
  expect(await refused(1, "extra")).toContain("it holds 1 that the network does not have (more)");
  changed("misshapen", (tensors) => tensors.set(one, { dtype: "F32", shape: [5], data: new Float32Array(5) }));
  expect(await refused(1, "misshapen")).toContain("1 have other shapes (conv_out.bias [5], expected [4])");
  changed("cut", () => {});
  const bytes = readFileSync(at("cut", weights));
  writeFileSync(at("cut", weights), bytes.subarray(0, bytes.length - 40));
  expect(await refused(1, "cut")).toContain("diffusion_pytorch_model.safetensors");
  changed("outside", () => {});
  rmSync(at("outside", weights));
  writeFileSync(
    at("outside/unet/diffusion_pytorch_model.safetensors.index.json"),
    JSON.stringify({ weight_map: { [one]: "../../sd/unet/diffusion_pytorch_model.safetensors" } }),
  );
  expect(await refused(1, "outside")).toContain("expected the name of a .safetensors file in its own folder");
}, 60_000);

it("classes, values and parts of other models", async () => {
  configured("class", "unet/config.json", { _class_name: "SD3Transformer2DModel" });
  expect(await refused(1, "class")).toMatch(/unet is a SD3Transformer2DModel, expected UNet2DConditionModel\.$/);
  configured("value", "vae/config.json", { act_fn: "spline" });
  expect(await refused(1, "value")).toMatch(/vae\/config\.json: AutoencoderKL: "act_fn": "spline" is not supported/);
  configured("scheduler", "scheduler/scheduler_config.json", { _class_name: "NoScheduler" });
  expect(await refused(2, "scheduler")).toContain('Unknown scheduler "NoScheduler"');
  configured("no-vae", "vae/config.json", null);
  expect(await refused(1, "no-vae")).toContain("has no vae/config.json, which generating needs");
  configured("no-words", "tokenizer/vocab.json", null);
  expect(await refused(1, "no-words")).toContain("tokenizer has no vocab.json with merges.txt and no tokenizer.json");
  writeTinyFolder(at("inpaint"), { unet: { in_channels: 9 } });
  expect(await refused(1, "inpaint")).toContain("takes 9 channels, 4 of them latents: it is for inpainting");
  configured("flux", "model_index.json", {
    _class_name: "FluxPipeline",
    transformer: ["diffusers", "FluxTransformer2DModel"],
  });
  expect(await refused(1, "flux")).toContain("is a model with a transformer (FluxPipeline)");
  expect(await refused(1, "nowhere")).toContain(
    "does not exist, expected a diffusers folder or a .safetensors checkpoint",
  );
  expect(await refused(1, "wide.png")).toContain("is no .safetensors file");
}, 60_000);

it("deltas of another base and LoRAs that match nothing", async () => {
  const other = readUNet2DConditionConfig({ ...tinyUNetKeys, block_out_channels: [8, 16] });
  writeWeights(at("delta.safetensors"), randomWeights(unetParams(other), 3));
  expect(await refused(1, "sd", "--delta", at("delta.safetensors"))).toContain("is not a delta of a model like");
  const init = "default" as const;
  const lora = [
    { name: "unet.nothing.to_q.lora_A.weight", shape: [2, 8], init },
    { name: "unet.nothing.to_q.lora_B.weight", shape: [8, 2], init },
  ];
  writeWeights(at("lora.safetensors"), randomWeights(lora, 3));
  expect(await refused(1, "sd", "--lora", `${at("lora.safetensors")}:0.5`)).toContain("fits no weight of this model");
  expect(await refused(2, "sd", "--lora", `${at("lora.safetensors")}:500`)).toContain(
    "expected a number from -100 to 100",
  );
}, 60_000);
