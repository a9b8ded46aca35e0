// What a low-rank training gives: the base's weights with the change in them, and the change alone as a LoRA.
import { join } from "node:path";
import { type LazyTensor, lazyChunks } from "../data/safetensors.ts";
import { type LoraModule, loraTensors, mergeLora } from "../diffusers/lora.ts";
import type { FrozenBase } from "../nn/lowRankNetwork.ts";
import { WEIGHTS_FILE } from "../nn/onnxNetwork.ts";
import { type ParamArray, type ParamSpec, unflatten } from "../nn/params.ts";
import type { Card } from "../run/card.ts";
import { modelReadme } from "../run/modelCard.ts";
import { progressOf } from "../run/modelFile.ts";
import { makeFolder, writeAtomic } from "./atomic.ts";
import type { BaseWeights } from "./baseWeights.ts";
import { writeJson, writeSafetensors } from "./files.ts";
import { CARD_FILE } from "./models.ts";

/** In diffusers' names. */
export const LORA_FILE = "lora.safetensors";

export interface LowRankResult {
  readonly base: BaseWeights;
  readonly frozen: FrozenBase;
  readonly spec: readonly ParamSpec[];
  readonly theta: Float32Array;
}

/**
 * model.safetensors, merged one tensor at a time, then the LoRA, then the card. There is no LoRA of a student that is told more
 * than its teacher: its new parameters are no change of a weight.
 */
export async function saveLowRank(
  folder: string,
  card: Card,
  { base, frozen, spec, theta }: LowRankResult,
): Promise<void> {
  await makeFolder(folder);
  const own = unflatten(spec, theta);
  const modules = new Map(modulesOf(frozen, own, base.spec).map((module) => [`${module.key}.weight`, module]));
  const factors = /\.lora_[AB]$/;
  const added = spec.filter(({ name }) => !factors.test(name));
  const values = async (name: string): Promise<Float32Array> => {
    const module = modules.get(name);
    const weight = await base.read(name);
    return module ? mergeLora(weight, [{ module, scale: 1 }]) : weight;
  };
  const lazy = [
    ...base.spec.map(({ name, shape }): LazyTensor => ({ key: name, dtype: "F32", shape, data: () => values(name) })),
    ...added.map(
      ({ name, shape }): LazyTensor => ({ key: name, dtype: "F32", shape, data: async () => own.get(name)!.data }),
    ),
  ];
  await writeAtomic(join(folder, WEIGHTS_FILE), lazyChunks(lazy, progressOf(card)));
  if (added.length === 0)
    await writeSafetensors(join(folder, LORA_FILE), loraTensors([...modules.values()], "diffusers"), {
      format: "pt",
      fewstep_card: JSON.stringify(card),
    });
  await writeJson(join(folder, CARD_FILE), card);
  await writeAtomic(join(folder, "README.md"), modelReadme(card));
}

function modulesOf(
  { change }: FrozenBase,
  own: ReadonlyMap<string, ParamArray>,
  spec: readonly ParamSpec[],
): LoraModule[] {
  const { rank, alpha, layers } = change;
  return layers.map((key) => {
    const [out, ...rest] = spec.find(({ name }) => name === `${key}.weight`)!.shape;
    const [down, up] = ["A", "B"].map((factor) => own.get(`${key}.lora_${factor}`)!.data);
    const shapes = { downShape: [rank, ...rest], upShape: [out, rank, ...rest.slice(1).map(() => 1)] };
    return { part: "unet", key, rank, alpha, down, up, ...shapes };
  });
}
