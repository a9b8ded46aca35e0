// The U-Net cases of a golden model folder (tiny-sd15, tiny-sdxl).
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { floatsOf, readSafetensors, type StoredTensor } from "../../src/data/safetensors.ts";
import { input, type Tensor } from "../../src/graph/index.ts";
import { fromConstants, type ParamMap, tapped } from "../../src/nn/params.ts";
import { unet2dCondition } from "../../src/nn/unet2dCondition.ts";
import { readUNet2DConditionConfig, type UNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { toParams } from "../../src/nn/weights.ts";
import type { Feeds, Runtime } from "../../src/runtime/index.ts";
import { goldenRoots } from "../support/golden.ts";

interface UNetCase {
  readonly id: string;
  readonly sample: string;
  readonly encoder_hidden_states: string;
  readonly text_embeds?: string;
  readonly time_ids?: string;
  readonly timesteps: readonly number[];
  readonly output: string;
  readonly activations?: Readonly<Record<string, string>>;
}

interface TensorNote {
  readonly rms: number;
  readonly max_abs: number;
}

export interface Training {
  readonly lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weight_decay: number;
  readonly losses: readonly number[];
  readonly grad_l2_norm: number;
  readonly grad_l2_norm_per_parameter: Readonly<Record<string, number>>;
  readonly tensors: {
    readonly noisy_latents: string;
    readonly noise: string;
    readonly timesteps: string;
    readonly encoder_hidden_states: string;
    readonly gradients: Readonly<Record<string, string>>;
    readonly after_three_steps: Readonly<Record<string, string>>;
  };
}

export interface UNetGolden {
  readonly config: UNet2DConditionConfig;
  readonly weights: ParamMap;
  readonly cases: readonly UNetCase[];
  readonly training?: Training;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly notes: Readonly<Record<string, TensorNote>>;
}

/** The golden folders of that name. */
export const modelFolders = (name: string): string[] =>
  goldenRoots()
    .map((root) => join(root, name))
    .filter((folder) => existsSync(join(folder, "unet/config.json")));

/**
 * Prints how many cases ran. Throws if none of the cases in `folders` ran, or if there is nothing golden at all; golden
 * roots that hold other things are not asked for these.
 */
export function reportCases(name: string, kind: string, folders: readonly string[], ran: number): void {
  const anything = goldenRoots().some((root) => existsSync(root) && readdirSync(root).length > 0);
  if (ran === 0 && (folders.length > 0 || !anything))
    throw new Error(`No ${kind} case of ${name} ran; looked in ${goldenRoots().join(" and ")}.`);
  console.log(`${name}: ${ran} ${kind} cases from ${folders.length} folders`);
}

export function readUNetGolden(folder: string): UNetGolden {
  const golden = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
  return {
    config: readUNet2DConditionConfig(JSON.parse(readFileSync(join(folder, "unet/config.json"), "utf8"))),
    weights: toParams(tensorsIn(join(folder, "unet/diffusion_pytorch_model.safetensors"))),
    cases: golden.unet.cases,
    training: golden.training,
    tensors: tensorsIn(join(folder, "golden.safetensors")),
    notes: golden.tensors,
  };
}

export const tensorsIn = (file: string): ReadonlyMap<string, StoredTensor> =>
  readSafetensors(readFileSync(file), file).tensors;

/** Runs one case; the largest difference to the golden values over their rms, for the output and every activation. */
export async function unetErrors(golden: UNetGolden, one: UNetCase, runtime: Runtime): Promise<Map<string, number>> {
  const feeds: Record<string, Float32Array> = { tau: Float32Array.from(one.timesteps) };
  const given = (key: "sample" | "encoder_hidden_states" | "text_embeds" | "time_ids"): Tensor | undefined => {
    const name = one[key];
    if (name === undefined) return undefined;
    feeds[key] = floatsOf(golden.tensors, name);
    return input(key, golden.tensors.get(name)!.shape);
  };
  const outputs: Record<string, Tensor> = {};
  const wanted = one.activations ?? {};
  const params = tapped(fromConstants(golden.weights), (name, x) => {
    if (name in wanted) outputs[wanted[name]] = x;
  });
  const x = given("sample")!;
  outputs[one.output] = unet2dCondition(golden.config, params, x, input("tau", [x.shape[0]]), {
    context: given("encoder_hidden_states")!,
    textEmbeds: given("text_embeds"),
    timeIds: given("time_ids"),
  });
  const unseen = Object.keys(wanted).filter((name) => !(wanted[name] in outputs));
  if (unseen.length) throw new Error(`No activation is named ${unseen.join(", ")}.`);
  return compare(golden, outputs, feeds, runtime, "rms");
}

/** Compiles and runs; the largest difference of every output to the golden tensor of its name, relative to its note. */
export async function compare(
  golden: UNetGolden,
  outputs: Readonly<Record<string, Tensor>>,
  feeds: Feeds,
  runtime: Runtime,
  relativeTo: keyof TensorNote,
): Promise<Map<string, number>> {
  const program = await runtime.compile(outputs);
  const fetched = await program.run(feeds);
  await program.dispose();
  return new Map(
    Object.keys(outputs).map((name) => [
      name,
      largestDifference(fetched[name].data as Float32Array, floatsOf(golden.tensors, name)) /
        golden.notes[name][relativeTo],
    ]),
  );
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new RangeError(`Expected ${b.length} values, got ${a.length}.`);
  return a.reduce((worst, value, i) => Math.max(worst, Number.isFinite(value) ? Math.abs(value - b[i]) : Infinity), 0);
}
