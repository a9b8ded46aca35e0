// Gradient checkpointing of whole networks: the same loss and gradient, block by block.

import { afterAll, describe, expect, it } from "vitest";
import { emitModel, grad, input, mse, type Outputs, type Tensor } from "../../src/graph/index.ts";
import { initialize } from "../../src/nn/initialize.ts";
import { buildNetwork } from "../../src/nn/network.ts";
import { collectParams, fromParts, inputVector, type Params, tapped, within } from "../../src/nn/params.ts";
import { rematerialized } from "../../src/nn/remat.ts";
import { unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { key, normal } from "../../src/random.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

interface Example {
  readonly name: string;
  /** How many blocks are computed again. */
  readonly blocks: number;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  apply(p: Params, x: Readonly<Record<string, Tensor>>): Tensor;
}

const example = (name: string, family: string, blocks: number, config: object): Example => {
  const net = buildNetwork({ family, config });
  return {
    name,
    blocks,
    shapes: { x: [2, ...net.sampleShape], tau: [2] },
    apply: (p, i) => net.apply(p, i.x, i.tau, {}),
  };
};

const unet = { sample_size: 8, block_out_channels: [8, 16], layers_per_block: 1, norm_num_groups: 4 };
const text = readUNet2DConditionConfig({
  ...unet,
  down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
  up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
  transformer_layers_per_block: [2, 1],
  attention_head_dim: 2,
  cross_attention_dim: 6,
});

const examples: Example[] = [
  example("mlp", "mlp", 4, { width: 16 }),
  example("dit", "dit", 3, { size: 8, width: 16, depth: 3, heads: 2 }),
  // Down: 2 residual blocks, 1 attention; middle: 2 and 1; up: 4, 2, and 1 upsampling.
  example("unet2d", "unet2d", 13, {
    ...unet,
    down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
    up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
    attention_head_dim: 8,
  }),
  // One residual block more for each change of size, none of them a plain upsampling.
  example("unet2d that changes size in residual blocks", "unet2d", 10, {
    ...unet,
    down_block_types: ["ResnetDownsampleBlock2D", "DownBlock2D"],
    up_block_types: ["UpBlock2D", "ResnetUpsampleBlock2D"],
    add_attention: false,
  }),
  // Down: 2 residual blocks, 2 transformer layers; middle: 2 and 1; up: 4, 2·2, and 1 upsampling.
  {
    name: "unet2dCondition",
    blocks: 16,
    shapes: { x: [2, 4, 8, 8], tau: [2], context: [2, 3, 6] },
    apply: (p, i) => unet2dCondition(text, p, i.x, i.tau, { context: i.context }),
  },
];

function program(
  { apply, shapes }: Example,
  remat: boolean,
): { outputs: Outputs; feeds: Record<string, Float32Array> } {
  const inputs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, input(name, shape)]));
  const spec = collectParams((p) => apply(p, inputs));
  const theta = inputVector("theta", spec);
  const params = fromParts(spec, theta);
  const y = apply(remat ? rematerialized(params) : params, inputs);
  const loss = mse(y, input("target", y.shape));
  // Starting values are zero in places, which would hide errors.
  const start = initialize(spec, key(5)).map((v, i) => v + 0.05 * Math.sin(i));
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const feeds = Object.fromEntries(Object.entries(shapes).map(([n, s]) => [n, normal(key(n.length), size(s))]));
  const [dx, ...gradient] = grad(loss, [inputs.x, ...theta]);
  return {
    outputs: { loss, gradient, dx },
    feeds: { ...feeds, tau: Float32Array.of(20, 700), target: normal(key(9), size(y.shape)), theta: start },
  };
}

async function results(one: Example, remat: boolean): Promise<Record<string, Float32Array>> {
  const { outputs, feeds } = program(one, remat);
  const compiled = await runtime.compile(outputs);
  const fetched = await compiled.run(feeds);
  await compiled.dispose();
  return Object.fromEntries(Object.entries(fetched).map(([name, { data }]) => [name, data as Float32Array]));
}

describe("networks with gradient checkpointing", () => {
  for (const one of examples)
    it(`${one.name}: the same loss and gradient`, async () => {
      const want = await results(one, false);
      const have = await results(one, true);
      for (const [name, data] of Object.entries(want)) {
        const scale = data.reduce((top, v) => Math.max(top, Math.abs(v)), 0);
        const worst = data.reduce((top, v, i) => Math.max(top, Math.abs(v - have[name][i])), 0);
        expect(scale).toBeGreaterThan(0);
        expect(worst / scale, name).toBeLessThan(1e-5);
      }
    });

  for (const one of examples)
    it(`${one.name}: every block is computed again, and none where the switch is off`, () => {
      const [off, on] = [false, true].map((remat) => emitModel(program(one, remat).outputs, "cpu").counts.get("If"));
      expect([off, on]).toEqual([undefined, one.blocks]);
    });

  it("the switch survives a prefix and an observer", () => {
    const p = rematerialized((_, shape) => input("w", shape));
    expect(within(p, "encoder.").remat).toBe(true);
    expect(tapped(p, () => {}).remat).toBe(true);
  });
});
