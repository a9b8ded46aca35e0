// The U-Net cases of a golden file.
import { join } from "node:path";
import { floatsOf } from "../../src/data/safetensors.ts";
import { concat, type Tensor } from "../../src/graph/index.ts";
import { fromConstants, type ParamMap, tapped } from "../../src/nn/params.ts";
import { type UNetCondition, unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { compare, type Given, type GoldenParts, given, weightsIn } from "./cases.ts";
import { baseOf, type GoldenFile, goldenTensors, largestDifference, readJson } from "./folders.ts";

export interface UNetCase {
  readonly id: string;
  readonly sample: string;
  readonly sample_parts?: readonly string[];
  readonly encoder_hidden_states: string;
  readonly text_embeds?: string;
  readonly time_ids?: string;
  readonly class_labels?: string;
  readonly timesteps: readonly number[];
  readonly output: string;
  readonly activations?: Readonly<Record<string, string>>;
}

export interface UNet {
  readonly config: UNet2DConditionConfig;
  readonly weights: ParamMap;
}

/** The U-Net of a golden file, or of the model that it is an add-on to. */
export function unetOf(one: GoldenFile<GoldenParts>, name = "unet"): UNet {
  const folder = join(baseOf(one), name);
  return { config: readUNet2DConditionConfig(readJson(folder, "config.json")), weights: weightsIn(folder) };
}

/** What an add-on gives to the U-Net: its conditions, and golden tensors of its own to compare. */
export interface AddOn {
  readonly condition?: Partial<UNetCondition>;
  readonly outputs?: Readonly<Record<string, Tensor>>;
}

/** Runs one case; the errors of its output and of every listed activation. */
export async function unetErrors(
  one: GoldenFile<GoldenParts>,
  { config, weights }: UNet,
  c: UNetCase,
  runtime: Runtime,
  addOn: (from: Given, x: Tensor, tau: Tensor, context: Tensor) => AddOn = () => ({}),
): Promise<Map<string, number>> {
  const tensors = goldenTensors(one);
  const from = given(tensors);
  const outputs: Record<string, Tensor> = {};
  const wanted = c.activations ?? {};
  const params = tapped(fromConstants(weights), (name, x) => {
    if (name in wanted) outputs[wanted[name]] = x;
  });
  const optional = (name: string | undefined) => (name === undefined ? undefined : from.take(name));
  const whole = from.take(c.sample);
  const x = c.sample_parts ? joined(from, c.sample_parts, c.sample, floatsOf(tensors, c.sample)) : whole;
  if (c.sample_parts) delete from.feeds[c.sample];
  const tau = from.feed("tau", [whole.shape[0]], Float32Array.from(c.timesteps));
  const context = from.take(c.encoder_hidden_states);
  const { condition, outputs: more } = addOn(from, x, tau, context);
  outputs[c.output] = unet2dCondition(config, params, x, tau, {
    context,
    textEmbeds: optional(c.text_embeds),
    timeIds: optional(c.time_ids),
    labels: optional(c.class_labels),
    ...condition,
  });
  Object.assign(outputs, more);
  const unseen = Object.keys(wanted).filter((name) => !(wanted[name] in outputs));
  if (unseen.length) throw new Error(`No activation is named ${unseen.join(", ")}.`);
  return compare(one, outputs, from.feeds, runtime);
}

/** The network's input from its parts, which must be the whole. */
function joined(from: Given, parts: readonly string[], name: string, whole: Float32Array): Tensor {
  const x = concat(
    parts.map((part) => from.take(part)),
    1,
  );
  const [batch, channels, height, width] = x.shape;
  const size = height * width;
  const data = new Float32Array(batch * channels * size);
  for (let b = 0, at = 0; b < batch; b++)
    for (const part of parts) {
      const values = from.feeds[part] as Float32Array;
      const each = values.length / batch;
      data.set(values.subarray(b * each, (b + 1) * each), at);
      at += each;
    }
  if (largestDifference(data, whole) !== 0) throw new Error(`${name} is not ${parts.join(", ")} joined.`);
  return x;
}
