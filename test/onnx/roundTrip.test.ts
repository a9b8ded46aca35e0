// Our own networks, written as ONNX and imported again: the same outputs and the same gradients.
import { expect, test } from "vitest";
import { emitModel, grad, input, mean, square, type Tensor } from "../../src/graph/index.ts";
import { buildNetwork, type NetworkSpec } from "../../src/nn/network.ts";
import {
  collectParams,
  countParams,
  fromConstants,
  fromTensors,
  type ParamMap,
  type Params,
  unflatten,
} from "../../src/nn/params.ts";
import { unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { importOnnx } from "../../src/onnx/index.ts";
import type { Feeds } from "../../src/runtime/index.ts";
import { normals, randomTheta } from "../nn/helpers.ts";
import { distance, evaluate } from "./helpers.ts";

interface Case {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly feeds: Feeds;
  readonly build: (p: Params) => Tensor;
}

const BATCH = 2;

function networkCase(spec: NetworkSpec): Case {
  const network = buildNetwork(spec);
  const shape = [BATCH, ...network.sampleShape];
  const labels = network.conditions.labels && input("labels", [BATCH], "int64");
  const inputs = { x: input("x", shape), tau: input("tau", [BATCH]), ...(labels ? { labels } : {}) };
  return {
    inputs,
    feeds: { x: normals(1, shape), tau: Float32Array.of(7, 801), labels: BigInt64Array.of(1n, 0n) },
    build: (p) => network.apply(p, inputs.x, inputs.tau, labels ? { labels } : {}),
  };
}

function conditionCase(): Case {
  const config = readUNet2DConditionConfig({
    sample_size: 8,
    block_out_channels: [8, 16],
    down_block_types: ["CrossAttnDownBlock2D", "DownBlock2D"],
    up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D"],
    layers_per_block: 1,
    norm_num_groups: 4,
    attention_head_dim: 2,
    cross_attention_dim: 12,
  });
  const inputs = { x: input("x", [BATCH, 4, 8, 8]), tau: input("tau", [BATCH]), text: input("text", [BATCH, 5, 12]) };
  return {
    inputs,
    feeds: { x: normals(1, [BATCH, 4, 8, 8]), tau: Float32Array.of(7, 801), text: normals(2, [BATCH, 5, 12]) },
    build: (p) => unet2dCondition(config, p, inputs.x, inputs.tau, { context: inputs.text }),
  };
}

const cases: readonly (readonly [string, () => Case])[] = [
  ["mlp", () => networkCase({ family: "mlp", config: { width: 16, depth: 2, classes: 2 } })],
  [
    "dit",
    () => networkCase({ family: "dit", config: { channels: 2, size: 8, width: 16, depth: 2, heads: 2, classes: 3 } }),
  ],
  [
    "unet2d",
    () =>
      networkCase({
        family: "unet2d",
        config: {
          sample_size: 8,
          in_channels: 1,
          out_channels: 1,
          block_out_channels: [8, 16],
          down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
          up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
          layers_per_block: 1,
          norm_num_groups: 4,
          attention_head_dim: 8,
          num_class_embeds: 3,
        },
      }),
  ],
  ["unet2dCondition", conditionCase],
];

test.each(cases)("%s", async (_, make) => {
  const { inputs, feeds, build } = make();
  const spec = collectParams(build);
  const weights: ParamMap = unflatten(spec, randomTheta(spec, 5));
  expect(countParams(spec)).toBeGreaterThan(1000);
  const derivatives = (output: Tensor, tensors: ReadonlyMap<string, Tensor>) => ({
    output,
    ...Object.fromEntries(grad(mean(square(output)), [...tensors.values()]).map((d, i) => [`d${i}`, d])),
  });
  const tensors = new Map(spec.map(({ name, shape }) => [`w.${name}`, input(`w.${name}`, shape)]));
  const source = fromTensors(new Map([...tensors].map(([name, x]) => [name.slice(2), x])));
  const data = Object.fromEntries([...weights].map(([name, { data }]) => [`w.${name}`, data]));
  const wanted = await evaluate(derivatives(build(source), tensors), { ...feeds, ...data });

  // Gradients that are zero but for rounding (of keys' biases) are compared with a thousandth of the largest one.
  const gradients = Object.entries<Float32Array>(wanted).filter(([key]) => key !== "output");
  const floor = 1e-3 * Math.max(...gradients.map(([, d]) => d.reduce((m, v) => Math.max(m, Math.abs(v)), 0)));

  // Weights as inputs of the file.
  const open = importOnnx(emitModel({ output: build(source) }, "cpu").bytes, { weights: () => false });
  const given = Object.fromEntries([...Object.entries(inputs), ...tensors]);
  const used = Object.fromEntries(open.inputs.map(({ name }) => [name, given[name]]));
  const again = open.apply(() => {
    throw new Error("no weights were stored");
  }, used);
  const first = await evaluate(derivatives(again.output, tensors), { ...feeds, ...data });
  for (const [key, values] of Object.entries(wanted))
    expect(distance(first[key as "output"], values, floor), key).toBeLessThan(1e-6);

  // Weights as constants of the file, which are its parameters: found again by their contents.
  const closed = importOnnx(emitModel({ output: build(fromConstants(weights)) }, "cpu").bytes);
  const names = new Map(
    spec.map(({ name }, i) => {
      const { data, shape } = weights.get(name)!;
      const same = closed.parameters.filter(
        (p) => `${p.shape}` === `${shape}` && p.data.every((v, k) => v === data[k]),
      );
      expect(same, name).toHaveLength(1);
      return [same[0].name, i] as const;
    }),
  );
  const own = new Map(closed.parameters.map((p) => [p.name, input(`p.${p.name}`, p.shape)]));
  const stored = Object.fromEntries(closed.parameters.map((p) => [`p.${p.name}`, p.data]));
  const { output } = closed.apply((name) => own.get(name)!, inputs);
  const second = await evaluate(derivatives(output, own), { ...feeds, ...stored });
  expect(distance(second.output, wanted.output)).toBeLessThan(1e-6);
  [...own.keys()].forEach((name, i) => {
    const index = names.get(name);
    if (index === undefined) return;
    expect(distance(second[`d${i}` as "output"], wanted[`d${index}` as "output"], floor), name).toBeLessThan(1e-6);
  });
});
