// Configurations of a few bytes that ask for much are refused at once, with key and value.
import { describe, expect, test } from "vitest";
import { readScheduler } from "../../src/diffusers/index.ts";
import { createScheduler } from "../../src/diffusers/schedulers/index.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";

const deep = (levels: number): unknown => JSON.parse("[".repeat(levels) + "]".repeat(levels));

/** The message, which is short, and costs no time. */
function message(make: () => unknown): string {
  const cpu = process.cpuUsage();
  try {
    make();
  } catch (error) {
    const { user, system } = process.cpuUsage(cpu);
    expect((user + system) / 1e6, "seconds of the processor").toBeLessThan(2);
    const text = error instanceof Error ? error.message : String(error);
    expect(text.length, text).toBeLessThanOrEqual(500);
    expect(text).not.toMatch(/undefined|Maximum call stack|Invalid (typed )?array length/);
    return text;
  }
  throw new Error("It was accepted.");
}

describe("networks", () => {
  test.each<[string, string, unknown, RegExp]>([
    ["layers", "unet2d", { layers_per_block: 2 ** 31 }, /"layers_per_block": 2147483648 is not supported/],
    ["channels", "unet2d", { block_out_channels: [1e9, 1e9, 1e9, 1e9] }, /"block_out_channels.0": 1000000000/],
    ["levels", "unet2d", { block_out_channels: new Array(5000).fill(32) }, /"block_out_channels": \[32,32/],
    [
      "no level",
      "unet2d",
      { block_out_channels: [], down_block_types: [], up_block_types: [] },
      /"block_out_channels": \[\]/,
    ],
    ["a size", "unet2d", { sample_size: 1e8 }, /"sample_size": 100000000/],
    ["blocks", "mlp", { depth: 1e8 }, /"depth": 100000000/],
    ["depth", "dit", { depth: 1e8 }, /"depth": 100000000/],
    ["patches", "dit", { size: 1e7, patch: 1 }, /"size": 10000000/],
    ["a deep value", "mlp", { width: deep(20000) }, /"width": \[\[\[…\]\]\] is not supported/],
    ["a deep unknown key", "mlp", { magic: deep(20000) }, /"magic"/],
    ["a long key", "mlp", { ["k".repeat(1e5)]: 1 }, /"…kkk/],
    ["a long string", "mlp", { width: "w".repeat(1e5) }, /100000 characters/],
  ])("%s", (_, family, config, expected) =>
    expect(message(() => collect(buildNetwork({ family, config })))).toMatch(expected));

  test("sizes that are allowed one by one, together too many", () => {
    const wide = { family: "mlp", config: { width: 2 ** 20, depth: 256 } };
    expect(message(() => collect(buildNetwork(wide)))).toMatch(/more than 17179869184 parameters/);
    const deepest = {
      layers_per_block: 256,
      block_out_channels: new Array(8).fill(32),
      down_block_types: new Array(8).fill("AttnDownBlock2D"),
      up_block_types: new Array(8).fill("AttnUpBlock2D"),
      sample_size: 2 ** 14,
    };
    expect(message(() => collect(buildNetwork({ family: "unet2d", config: deepest })))).toMatch(
      /more than 4000 arrays/,
    );
  });
  test("text-conditioned networks", () => {
    expect(message(() => readUNet2DConditionConfig({ transformer_layers_per_block: 1e9 }))).toMatch(
      /"transformer_layers_per_block": 1000000000/,
    );
    expect(message(() => readUNet2DConditionConfig({ cross_attention_dim: 1e12 }))).toMatch(/"cross_attention_dim"/);
  });
});

describe("schedulers", () => {
  const ddpm = { _class_name: "DDPMScheduler" };
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["a class that is nested", { _class_name: deep(20000) }, /\[\[\[…\]\]\]/],
    ["a class that every object has", { _class_name: "constructor" }, /constructor/],
    ["no class", {}, /_class_name/],
    ["a table", { ...ddpm, num_train_timesteps: 1e9 }, /num_train_timesteps.*1000000000.*100000/],
    ["no table", { ...ddpm, num_train_timesteps: 0.5 }, /num_train_timesteps.*0.5/],
    ["betas", { ...ddpm, trained_betas: new Array(200000).fill(0.1) }, /trained_betas.*200000 values/],
    ["betas that are none", { ...ddpm, trained_betas: ["a", deep(10000)] }, /trained_betas/],
    ["a nested option", { ...ddpm, prediction_type: deep(20000) }, /prediction_type/],
  ])("%s", (_, config, expected) => {
    expect(message(() => readScheduler(config))).toMatch(expected);
    expect(message(() => createScheduler(config, 10))).toMatch(expected);
  });
  test("steps, orders", () => {
    expect(message(() => createScheduler(ddpm, 1e9))).toMatch(/1000000000. Expected a whole number from 1 to 100000/);
    expect(message(() => createScheduler({ _class_name: "UniPCMultistepScheduler", solver_order: 1e6 }, 4))).toMatch(
      /solver_order.*1000000/,
    );
  });
});
