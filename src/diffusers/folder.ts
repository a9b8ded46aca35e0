// A diffusers folder with a pixel-space UNet2DModel (unet/config.json, its weights, scheduler/scheduler_config.json) as a
// model. The caller reads the files.
import { type Model, networkModel, type TimeInput } from "../model.ts";
import { buildNetwork, collect, type Network } from "../nn/network.ts";
import { flatten, type ParamMap, type Params } from "../nn/params.ts";
import { toParams } from "../nn/weights.ts";
import { readScheduler } from "./scheduler.ts";

export interface FolderParts {
  /** What messages call the folder. */
  readonly name: string;
  /** unet/config.json and scheduler/scheduler_config.json, parsed. */
  readonly unet: unknown;
  readonly scheduler: unknown;
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
 * The network is told the timestep T·t − 1, so t = 1 is the last entry of the table.
 * Throws an Error, one sentence, where network, scheduler or weights are not supported or do not fit each other.
 */
export function readFolder({ name, unet, scheduler, tensors }: FolderParts): FolderModel {
  const kind = typeof unet === "object" && unet !== null && "_class_name" in unet ? unet._class_name : "UNet2DModel";
  if (kind !== "UNet2DModel")
    throw new Error(`${name} holds a ${String(kind)}; only folders with a UNet2DModel can be trained or sampled here.`);
  const network = named(`${name}/unet/config.json`, () => buildNetwork({ family: "unet2d", config: unet }));
  if (network.family === "unet2d" && network.config.in_channels !== network.config.out_channels)
    throw new Error(
      `${name}/unet/config.json has ${network.config.in_channels} channels in and ${network.config.out_channels} out (a learned variance, perhaps), expected as many out as in.`,
    );
  const { form, prediction, steps, notes } = readScheduler(scheduler, `${name}/scheduler/scheduler_config.json`);
  const timeInput = { scale: steps, offset: -1 };
  const params = toParams(tensors);
  named(`${name}/unet`, () => flatten(collect(network), params));
  return { network, model: networkModel(network, form, prediction, timeInput), timeInput, params, notes };
}

/** Puts the file in front of a message that cannot know it. */
function named<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new Error(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
