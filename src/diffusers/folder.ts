// A diffusers folder with a pixel-space UNet2DModel (unet/config.json, its weights, scheduler/scheduler_config.json) as a
// model, or one with an ONNX file. The caller reads the files.
import * as z from "zod";
import { show } from "../core/show.ts";
import { type Model, networkModel, type TimeInput } from "../model.ts";
import { buildNetwork, collect, type Network } from "../nn/network.ts";
import { describeOnnx, type OnnxConfig, type OnnxHints, onnxNetwork, WEIGHTS_FILE } from "../nn/onnxNetwork.ts";
import { flatten, type ParamMap, type ParamSpec, type Params } from "../nn/params.ts";
import { toParams } from "../nn/weights.ts";
import { type ExternalData, importOnnx, type OnnxModel } from "../onnx/index.ts";
import { type ClassFacts, withLabels, writtenLabel } from "./classes.ts";
import { readScheduler } from "./scheduler.ts";

export interface FolderParts {
  /** What messages call the folder. */
  readonly name: string;
  /** unet/config.json and scheduler/scheduler_config.json, parsed. */
  readonly unet: unknown;
  readonly scheduler: unknown;
  /** What tells whether the last row of its labels means "no class", beside unet/config.json. */
  readonly facts?: ClassFacts;
  /** The tensors of unet/diffusion_pytorch_model.safetensors. */
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: unknown }>;
}

export interface FolderModel {
  readonly network: Network;
  readonly model: Model<Params>;
  readonly timeInput: TimeInput;
  readonly params: ParamMap;
  readonly notes: readonly string[];
}

/**
 * The network is told the timestep T·t − 1, so t = 1 is the last entry of the table. `decideLabels` says which of its labels
 * mean a class, as it does on the command line; without any facts every row is one.
 * Throws an Error, one sentence, where network, scheduler or weights are not supported or do not fit each other.
 */
export function readFolder({ tensors, ...configs }: FolderParts): FolderModel {
  const described = describeFolder(configs);
  const params = toParams(tensors);
  named(`${configs.name}/unet`, () => flatten(collect(described.network), params));
  return { ...described, params };
}

/** The same from the configurations alone, before any weights are read. */
export function describeFolder({
  name,
  unet,
  scheduler,
  facts,
}: Omit<FolderParts, "tensors">): Omit<FolderModel, "params"> {
  const kind = typeof unet === "object" && unet !== null && "_class_name" in unet ? unet._class_name : "UNet2DModel";
  if (kind !== "UNet2DModel")
    throw new Error(
      `${name} holds a ${typeof kind === "string" ? kind.slice(0, 80) : show(kind)}; only folders with a UNet2DModel can be trained or sampled here.${kind === "UNet2DConditionModel" ? " Pictures from prompts: fewstep generate; a few-step student: fewstep accelerate, with the folder's path and captioned --data." : ""}`,
    );
  const network = named(`${name}/unet/config.json`, () => buildNetwork({ family: "unet2d", config: unet }));
  if (network.family === "unet2d" && network.config.in_channels !== network.config.out_channels)
    throw new Error(
      `${name}/unet/config.json has ${network.config.in_channels} channels in and ${network.config.out_channels} out (a learned variance, perhaps), expected as many out as in.`,
    );
  const { form, prediction, steps, notes } = readScheduler(scheduler, `${name}/scheduler/scheduler_config.json`);
  const timeInput = { scale: steps, offset: -1 };
  const built = { network, model: networkModel(network, form, prediction, timeInput), timeInput, notes };
  return withLabels(built, { ...facts, written: writtenLabel(unet) }, name);
}

export interface OnnxFolderParts {
  readonly name: string;
  /** Of the model inside it: "unet" or "transformer". */
  readonly part: string;
  /** model.onnx, and the files it names. */
  readonly file: Uint8Array;
  readonly externalData: ExternalData;
  /** config.json beside it, parsed, if there is one: of it only sizes and the number of classes are read. */
  readonly config: unknown;
  readonly scheduler: unknown;
  readonly facts?: ClassFacts;
}

const size = z
  .int()
  .positive()
  .max(2 ** 20);
const hintsSchema = z.object({
  in_channels: size.nullish(),
  sample_size: z.union([size, z.tuple([size, size])]).nullish(),
  num_class_embeds: size.nullish(),
});

/** What config.json says of a model, which the file may leave open or must agree with. */
function hintsFrom(config: unknown, name: string): OnnxHints {
  const parsed = hintsSchema.safeParse(config);
  if (!parsed.success) {
    const key = parsed.error.issues[0].path[0];
    if (key === undefined) throw new Error(`${name} is no configuration of a network: expected an object.`);
    const value = show(Object(config)[key]);
    throw new Error(
      `${name} has "${String(key)}": ${value}, expected a whole number from 1 to ${2 ** 20}${key === "sample_size" ? ", or two" : ""}.`,
    );
  }
  const { in_channels, sample_size, num_class_embeds } = parsed.data;
  return {
    channels: in_channels ?? undefined,
    size: typeof sample_size === "number" ? [sample_size, sample_size] : (sample_size ?? undefined),
    classes: num_class_embeds ?? undefined,
  };
}

/** The same for a folder with an ONNX file in place of the network's weights, as Hugging Face's exporters write it. */
export function readOnnxFolder({
  name,
  part,
  file,
  externalData,
  config,
  scheduler,
  facts,
}: OnnxFolderParts): FolderModel {
  const path = `${name}/${part}/model.onnx`;
  const hints = hintsFrom(config, `${name}/${part}/config.json`);
  const { network, params } = named(path, () => {
    const imported = importOnnx(file, { externalData });
    const spec = describeOnnx(imported, hints);
    const network = onnxNetwork(spec, imported.detached(WEIGHTS_FILE));
    const used = parametersOf(network, imported, spec);
    const names = new Set(used.map((p) => p.name));
    const params = new Map(imported.parameters.flatMap((p) => (names.has(p.name) ? [[p.name, { ...p }]] : [])));
    return { network, params };
  });
  const { form, prediction, steps, notes } = readScheduler(scheduler, `${name}/scheduler/scheduler_config.json`);
  const timeInput = { scale: steps, offset: -1 };
  const own: string[] = [];
  if (network.fixedBatch !== null)
    own.push(
      `${path} takes ${network.fixedBatch} sample${network.fixedBatch === 1 ? "" : "s"} at once: larger batches are computed in parts. An export with a batch of any size, and as many times, is faster.`,
    );
  if (network.wholeTimes)
    own.push(`${path} takes whole timesteps only: times between them are rounded. An export with floats is exact.`);
  const model = networkModel(network, form, prediction, timeInput);
  const built = { network, model, timeInput, params, notes: [...notes, ...own] };
  return withLabels(built, { ...facts, written: writtenLabel(config) }, name);
}

/** Those that the network uses. Where sizes come from config.json, what does not fit them is put down to it. */
function parametersOf(network: Network, model: OnnxModel, { sample, sampleShape }: OnnxConfig): ParamSpec[] {
  const shape = model.inputs.find(({ name }) => name === sample)?.shape.slice(1) ?? [];
  if (shape.every((d) => typeof d === "number")) return collect(network);
  const said = `With the sizes of config.json ("${sample}" is ${sampleShape.join(" x ")})`;
  return named(said, () => collect(network));
}

/** Puts the file in front of a message that cannot know it. */
function named<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new Error(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
