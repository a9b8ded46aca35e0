// What a delta or a LoRA makes of a model's weights, as functions of one tensor each: for files that are written again, and
// for weights that are merged when they are loaded.
import { readTensor, type TensorIndex } from "../data/tensorIndex.ts";
import {
  type BlockScales,
  checkBlocks,
  checkFit,
  type Fit,
  fitOf,
  type MergeRule,
  mergeDelta,
  scaleOf,
} from "./delta.ts";
import { type LoraModule, type LoraPart, matchLora, mergeLora } from "./lora.ts";
import type { Change } from "./rewrite.ts";
import type { Part } from "./singleFile.ts";

/** By part and by name. */
export type Changes = ReadonlyMap<Part, ReadonlyMap<string, Change>>;

/** All of these, one after the other where they change the same tensor. */
export function joinChanges(lists: readonly Changes[]): Changes {
  const all = new Map<Part, Map<string, Change>>();
  for (const list of lists)
    for (const [part, ofPart] of list) {
      const joined = all.get(part) ?? new Map<string, Change>();
      all.set(part, joined);
      for (const [name, change] of ofPart) {
        const before = joined.get(name);
        joined.set(name, before ? async (values) => change(await before(values)) : change);
      }
    }
  return all;
}

export interface DeltaUse {
  /** Default 1. */
  readonly scale?: number;
  readonly blocks?: BlockScales;
  /** Default fp32. */
  readonly rule?: MergeRule;
  /** Only what fits; default: all of it, or an error. */
  readonly partly?: boolean;
}

/** Values of a delta as they are stored: float64 stays. Throws an Error for one that is no floats. */
export async function deltaValues(index: TensorIndex, name: string): Promise<Float32Array | Float64Array> {
  const { data, dtype } = await readTensor(index, name);
  if (data instanceof Float32Array || data instanceof Float64Array) return data;
  throw new Error(`"${name}" of ${index.name} is stored as ${dtype}, expected floats.`);
}

/** Throws an Error for a delta that does not fit, RangeError for a block that there is not. */
export function deltaChanges(
  base: TensorIndex,
  delta: TensorIndex,
  { scale = 1, blocks = new Map(), rule = "fp32", partly = false }: DeltaUse = {},
): { readonly changes: Changes; readonly fit: Fit } {
  const fit = fitOf(base.tensors, delta.tensors);
  checkFit(fit, { base: base.name, delta: delta.name }, partly);
  checkBlocks(fit.fitting, blocks);
  const change = (name: string): Change => {
    const own = { scale: scaleOf(name, scale, blocks), rule };
    return async (values) => mergeDelta(values, await deltaValues(delta, name), own);
  };
  return { fit, changes: new Map([["unet", new Map(fit.fitting.map((name) => [name, change(name)]))]]) };
}

/** Throws an Error for a LoRA that fits nothing; what of it does not is returned in words. `name`: the LoRA, for messages. */
export function loraChanges(
  parts: ReadonlyMap<Part, TensorIndex>,
  modules: readonly LoraModule[],
  scale = 1,
  name?: string,
): { readonly changes: Changes; readonly unmatched: readonly string[] } {
  const weights = new Map(
    [...parts].flatMap(([part, { tensors }]): [LoraPart, TensorIndex["tensors"]][] =>
      part === "vae" ? [] : [[part, tensors]],
    ),
  );
  const { targets, unmatched } = matchLora(modules, weights, name);
  const change =
    (list: readonly LoraModule[]): Change =>
    (values) =>
      mergeLora(
        values,
        list.map((module) => ({ module, scale })),
      );
  const changes = new Map(
    [...targets].map(([part, ofPart]) => [part, new Map([...ofPart].map(([key, list]) => [key, change(list)]))]),
  );
  return { changes, unmatched };
}
