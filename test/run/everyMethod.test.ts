// Every method on a U-Net with labels, in half precision with gradient checkpointing: the losses of float32 without.

import { afterAll, describe, expect, it } from "vitest";
import { cosine, vPrediction } from "../../src/core/index.ts";
import { networkModel } from "../../src/model.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork, collect } from "../../src/nn/network.ts";
import { key } from "../../src/random.ts";
import { startOf } from "../../src/recipes/start.ts";
import type { TrainOptions } from "../../src/run/train.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { lossesOf, stagesOfEvery } from "../support/everyMethod.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const network = buildNetwork({
  family: "unet2d",
  config: {
    sample_size: 4,
    in_channels: 1,
    out_channels: 1,
    block_out_channels: [4, 8],
    layers_per_block: 1,
    down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
    up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
    attention_head_dim: 4,
    norm_num_groups: 2,
    num_class_embeds: 4,
  },
});
const spec = collect(network).map((s) => ({ ...s, init: { normal: 0.2 } }));
const timeInput = { scale: 1000, offset: 0 };
const model = networkModel(network, cosine(), vPrediction, timeInput);
const start = startOf({ model, network, timeInput, spec, theta: initialize(spec, key(7)) });
const options: TrainOptions = {
  batch: 2,
  steps: 2,
  rate: { kind: "constant", peak: 1e-3, warmup: 0, final: 1 },
  ema: 0.9,
  clip: 1,
  dropLabels: 0.5,
  seed: 6,
};

describe.each(
  stagesOfEvery(start).map(([name, stages]) => [name, stages[stages.length - 1]] as const),
)("%s", (name, stage) => {
  it("in its last stage", async () => {
    const full = await lossesOf(stage, runtime, options);
    const half = await lossesOf(stage, runtime, { ...options, gradientCheckpointing: true, precision: "float16" });
    const off = Math.max(...half.map((value, i) => Math.abs(value - full[i]) / Math.abs(full[i])));
    console.log(`${name}: losses and norms off by ${off.toExponential(1)} in float16`);
    expect(full).toHaveLength(2 * 2 * stage.players.length);
    // Differences of two predictions (swiftbrush: 2e-2) lose the digits that these have in common.
    expect(off).toBeLessThan(5e-2);
  });
});
