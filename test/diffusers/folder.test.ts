import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { classCount, labelColumn, nullLabel } from "../../src/condition.ts";
import { readSafetensors } from "../../src/data/safetensors.ts";
import { type FolderParts, readFolder, readScheduler } from "../../src/diffusers/index.ts";

const folder = resolve(import.meta.dirname, "../../assets/mnist-teacher");
const json = (path: string) => JSON.parse(readFileSync(join(folder, path), "utf8"));
const { tensors } = readSafetensors(readFileSync(join(folder, "unet/diffusion_pytorch_model.safetensors")));
const parts: FolderParts = {
  name: "teacher",
  unet: json("unet/config.json"),
  scheduler: json("scheduler/scheduler_config.json"),
  tensors,
};

test("the MNIST teacher: table form, eps, timesteps 0 to 999, labels 0 to 10", () => {
  const { network, model, timeInput, params, notes } = readFolder(parts);
  expect(model.form.spec).toEqual({
    kind: "table",
    between: "logSnr",
    schedule: "scaled_linear",
    betaStart: 0.00085,
    betaEnd: 0.012,
    steps: 1000,
    zeroSnr: false,
  });
  expect(model.prediction.name).toBe("eps");
  expect(timeInput).toEqual({ scale: 1000, offset: -1 });
  expect(network.sampleShape).toEqual([1, 28, 28]);
  expect(network.conditions).toEqual({ labels: labelColumn(11) });
  expect(params.size).toBe(tensors.size);
  expect(notes).toEqual([]);
});

test("its labels are decided by the rule of the command line", () => {
  const read = (written: object, facts?: FolderParts["facts"]) => {
    const { _null_label, ...unet } = parts.unet as Record<string, unknown>;
    const { network, model, notes } = readFolder({ ...parts, unet: { ...unet, ...written }, facts });
    expect(network.conditions).toEqual(model.conditions);
    return [classCount(model.conditions), nullLabel(model.conditions), notes.length];
  };
  expect(read({})).toEqual([11, null, 1]);
  expect(read({ _null_label: 10 })).toEqual([10, 10, 0]);
  expect(read({ _null_label: null })).toEqual([11, null, 0]);
  expect(read({}, { nullClass: true })).toEqual([10, 10, 0]);
  expect(read({}, { dataClasses: 10 })).toEqual([10, 10, 0]);
  expect(read({}, { dataClasses: 11 })).toEqual([11, null, 0]);
  expect(() => read({}, { dataClasses: 5 })).toThrow(/nothing tells whether the last row means "no class"/);
});

describe("schedulers", () => {
  const ddpm = { _class_name: "DDPMScheduler" };
  test("missing keys take the class's defaults", () => {
    expect(readScheduler(ddpm).form.alphasCumprod[0]).toBeCloseTo(1 - 0.0001, 12);
    expect(readScheduler({ _class_name: "LCMScheduler" }).form.alphasCumprod[0]).toBeCloseTo(1 - 0.00085, 12);
  });
  test("v prediction with zero terminal SNR, and betas in the file", () => {
    const zero = readScheduler({ ...ddpm, prediction_type: "v_prediction", rescale_betas_zero_snr: true });
    expect(zero.form.at(1)).toEqual([0, 1]);
    expect(zero.prediction.name).toBe("v");
    const short = readScheduler({ ...ddpm, trained_betas: [0.1, 0.2, 0.4] });
    expect(short.steps).toBe(3);
    expect(short.form.at(1)[0] ** 2).toBeCloseTo(0.9 * 0.8 * 0.6, 12);
  });
  test("clipping is noted", () => {
    expect(readScheduler({ ...ddpm, clip_sample: true }).notes).toEqual([
      "scheduler_config.json has clip_sample: here samples are not clipped on the way.",
    ]);
  });
  test.each([
    [{ _class_name: "FlowMatchEulerDiscreteScheduler" }, /FlowMatchEulerDiscreteScheduler, whose noise levels are not/],
    [{ _class_name: "ScoreSdeVeScheduler" }, /ScoreSdeVeScheduler/],
    [{}, /has no "_class_name"/],
    [{ ...ddpm, prediction_type: "flow" }, /"prediction_type": "flow".*epsilon, sample, v_prediction/],
    [{ ...ddpm, beta_schedule: "sigmoid" }, /"beta_schedule": "sigmoid".*scaled_linear/],
    [{ ...ddpm, beta_start: "small" }, /"beta_start": "small"/],
    [{ ...ddpm, trained_betas: 3 }, /"trained_betas": 3/],
    [{ ...ddpm, rescale_betas_zero_snr: true }, /says nothing about the data at the last timestep/],
    [[], /expected an object/],
  ])("%j is refused", (config, message) => expect(() => readScheduler(config)).toThrow(message));
});

test.each<[string, Partial<FolderParts>, RegExp]>([
  ["another class", { unet: { _class_name: "UNet2DConditionModel" } }, /teacher holds a UNet2DConditionModel/],
  ["an unknown key", { unet: { ...(parts.unet as object), magic: 3 } }, /teacher\/unet\/config.json: .*"magic": 3/],
  ["a learned variance", { unet: { ...(parts.unet as object), out_channels: 2 } }, /1 channels in and 2 out/],
  [
    "another width",
    { unet: { ...(parts.unet as object), block_out_channels: [24, 32, 64] } },
    /teacher\/unet: .*shape/,
  ],
  ["no weights", { tensors: new Map() }, /teacher\/unet: The weights lack/],
])("%s is refused", (_, change, message) => expect(() => readFolder({ ...parts, ...change })).toThrow(message));
