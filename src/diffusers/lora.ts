// Low-rank updates of weights (LoRA, Hu et al. 2021) in the names of diffusers and of kohya's scripts:
// W + scale·(alpha / rank)·up·down. A module without alpha has alpha = rank.
import { brief, show } from "../core/show.ts";
import { floatsOf, type StoredTensor, type WritableTensor } from "../data/safetensors.ts";
import { readTensor, someOf, type TensorIndex } from "../data/tensorIndex.ts";
import type { Shaped } from "./delta.ts";
import { type Part, unetBlocks } from "./singleFile.ts";

export type LoraPart = Exclude<Part, "vae">;

export interface LoraModule {
  readonly part: LoraPart;
  /** The file's name of it: with dots in diffusers' files, with underscores in kohya's. */
  readonly key: string;
  readonly rank: number;
  readonly alpha: number;
  /** [rank, in]; a convolution's kernel counts as part of in. */
  readonly down: Float32Array;
  /** [out, rank] */
  readonly up: Float32Array;
  readonly downShape: readonly number[];
  readonly upShape: readonly number[];
}

const kohyaParts: Readonly<Record<string, LoraPart>> = {
  unet: "unet",
  te: "text_encoder",
  te1: "text_encoder",
  te2: "text_encoder_2",
};

interface Named {
  readonly part: LoraPart;
  readonly key: string;
  readonly what: "down" | "up" | "alpha";
}

/** What a tensor of a LoRA file is; undefined for other kinds of adapters. */
function named(name: string): Named | undefined {
  const kohya = /^lora_(unet|te|te1|te2)_(.+)\.(?:lora_(down|up)\.weight|(alpha))$/.exec(name);
  if (kohya) return { part: kohyaParts[kohya[1]], key: kohya[2], what: (kohya[3] ?? kohya[4]) as Named["what"] };
  const rest = name.replace(/^base_model\.model\./, "");
  const [, part = "unet", path] = /^(?:(unet|text_encoder_2|text_encoder)\.)?(.+)$/.exec(rest) ?? [];
  const found = /^(.+?)\.(?:lora_(A|B)(?:\.\w+)?\.weight|lora(?:_linear_layer)?\.(down|up)\.weight|(alpha))$/.exec(
    path,
  );
  const old = /^(.+?)\.processor\.(to_q|to_k|to_v|to_out)_lora\.(down|up)\.weight$/.exec(path);
  if (old)
    return {
      part: part as LoraPart,
      key: `${old[1]}.${old[2]}${old[2] === "to_out" ? ".0" : ""}`,
      what: old[3] as "down",
    };
  if (!found) return undefined;
  const what = found[2] === "A" ? "down" : found[2] === "B" ? "up" : (found[3] ?? found[4]);
  return { part: part as LoraPart, key: found[1], what: what as Named["what"] };
}

/**
 * The modules of a file. Throws an Error for tensors that are no part of a LoRA (other adapters: LoHa, LoKr, DoRA), for
 * halves without the other, and for factors that do not fit each other.
 */
export async function readLora(index: TensorIndex): Promise<LoraModule[]> {
  const modules = new Map<string, { part: LoraPart; key: string } & Partial<Record<Named["what"], StoredTensor>>>();
  const strange: string[] = [];
  for (const name of index.tensors.keys()) {
    const one = named(name);
    if (!one) {
      strange.push(name);
      continue;
    }
    const id = `${one.part} ${one.key}`;
    const module = modules.get(id) ?? { part: one.part, key: one.key };
    modules.set(id, { ...module, [one.what]: await readTensor(index, name) });
  }
  if (strange.length > 0)
    throw new Error(
      `${index.name} holds ${someOf(strange)}, which is no part of a plain LoRA in diffusers' or kohya's names. Adapters of other kinds (LoHa, LoKr, DoRA) are not read: convert it first.`,
    );
  if (modules.size === 0) throw new Error(`${index.name} holds no tensors, expected a LoRA.`);
  const alphas = adapterAlphas(index.metadata);
  return [...modules.values()].map(({ part, key, down, up, alpha }) => {
    if (!down || !up)
      throw new Error(
        `${index.name} has ${down ? "no up" : "no down"} matrix for "${brief(key)}". Get the file again.`,
      );
    const rank = down.shape[0];
    if (up.shape.length < 2 || up.shape[1] !== rank || up.shape.slice(2).some((n) => n !== 1))
      throw new Error(
        `${index.name}: the factors of "${brief(key)}" are ${show(up.shape)} and ${show(down.shape)}, expected [out, rank] and [rank, in].`,
      );
    const values = (tensor: StoredTensor) => floatsOf(new Map([[key, tensor]]), key);
    const scale = alpha ? values(alpha)[0] : (alphas(part, key) ?? rank);
    if (!Number.isFinite(scale))
      throw new Error(
        `${index.name} has the alpha ${scale} for "${brief(key)}", expected a number. Get the file again.`,
      );
    return {
      ...{ part, key, rank, down: values(down), up: values(up), downShape: down.shape, upShape: up.shape },
      alpha: scale,
    };
  });
}

/** Newer files of diffusers keep alpha in their metadata, for all modules and for some by name. */
function adapterAlphas(metadata: TensorIndex["metadata"]): (part: LoraPart, key: string) => number | undefined {
  let settings: Readonly<Record<string, unknown>> = {};
  try {
    const parsed: unknown = JSON.parse(metadata.lora_adapter_metadata ?? "{}");
    if (typeof parsed === "object" && parsed !== null) settings = Object.fromEntries(Object.entries(parsed));
  } catch {
    throw new Error('The "lora_adapter_metadata" of the file is not JSON. Get the file again.');
  }
  return (part, key) => {
    const pattern = settings[`${part}.alpha_pattern`];
    const own = typeof pattern === "object" && pattern !== null ? new Map(Object.entries(pattern)).get(key) : undefined;
    const alpha: unknown = own ?? settings[`${part}.lora_alpha`];
    return typeof alpha === "number" ? alpha : undefined;
  };
}

export interface LoraMatch {
  /** Weight name to the modules that change it, by part. */
  readonly targets: ReadonlyMap<LoraPart, ReadonlyMap<string, readonly LoraModule[]>>;
  /** Modules whose names or sizes fit no weight, in words. */
  readonly unmatched: readonly string[];
}

type Weights = ReadonlyMap<string, Shaped>;

/** Finds the weights of the modules. Throws an Error where none is found. `name`: the LoRA, for messages. */
export function matchLora(
  modules: readonly LoraModule[],
  parts: ReadonlyMap<LoraPart, Weights>,
  name = "The LoRA",
): LoraMatch {
  const targets = new Map<LoraPart, Map<string, LoraModule[]>>();
  const unmatched: string[] = [];
  const lookUps = new Map([...parts].map(([part, weights]) => [part, keysOf(part, weights)]));
  for (const module of modules) {
    const { part, key, up, down, rank } = module;
    const weight = lookUps.get(part)?.get(key.replaceAll(".", "_"));
    const shape = weight === undefined ? undefined : parts.get(part)?.get(weight)?.shape;
    if (weight === undefined || !shape) unmatched.push(`${part}.${key}`);
    else if (up.length / rank !== shape[0] || (up.length / rank) * (down.length / rank) !== product(shape))
      unmatched.push(`${part}.${key} (${up.length / rank} x ${down.length / rank}, the weight is [${shape}])`);
    else {
      const ofPart = targets.get(part) ?? new Map<string, LoraModule[]>();
      targets.set(part, ofPart.set(weight, [...(ofPart.get(weight) ?? []), module]));
    }
  }
  if (targets.size === 0)
    throw new Error(
      `${name} fits no weight of this model: none of its ${modules.length} modules was found (${someOf(unmatched)}). Give a LoRA for a model of this architecture.`,
    );
  return { targets, unmatched };
}

/** Weights by the key of their module with underscores, under present and (for U-Nets) original names. */
function keysOf(part: LoraPart, weights: Weights): Map<string, string> {
  const keys = new Map<string, string>();
  const names = [...weights.keys()].filter((name) => name.endsWith(".weight")).map((name) => name.slice(0, -7));
  const add = (key: string, name: string) => keys.set(key.replaceAll(".", "_"), `${name}.weight`);
  if (part === "unet") {
    // Scripts for SDXL call the blocks as its original code does.
    const levels = 1 + Math.max(0, ...names.flatMap((n) => /^down_blocks\.(\d+)\./.exec(n)?.[1] ?? []).map(Number));
    const resnets = names
      .flatMap((n) => /^down_blocks\.\d+\.(?:resnets|attentions)\.(\d+)\./.exec(n)?.[1] ?? [])
      .map(Number);
    for (const [old, now] of unetBlocks(1 + Math.max(0, ...resnets), levels))
      for (const name of names) if (name === now || name.startsWith(`${now}.`)) add(old + name.slice(now.length), name);
  }
  for (const name of names) {
    // Older files of diffusers leave the ".0" of to_out away.
    if (name.endsWith(".to_out.0")) add(name.slice(0, -2), name);
    // Text encoders with and without their prefix.
    add(name.replace(/^text_model\./, ""), name);
    add(name, name);
  }
  return keys;
}

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** W + scale·(alpha / rank)·up·down, for one module after the other. The sums are float64, rounded once. */
export function mergeLora(
  weights: Float32Array,
  modules: readonly { readonly module: LoraModule; readonly scale: number }[],
): Float32Array {
  const sum = Float64Array.from(weights);
  for (const { module, scale } of modules) addUpdate(sum, module, scale);
  return Float32Array.from(sum);
}

/** The update alone, [out, in]. */
export function loraUpdate(module: LoraModule, scale = 1): Float64Array {
  const out = new Float64Array((module.up.length / module.rank) * (module.down.length / module.rank));
  addUpdate(out, module, scale);
  return out;
}

function addUpdate(sum: Float64Array, { up, down, rank, alpha }: LoraModule, scale: number): void {
  const rows = up.length / rank;
  const columns = down.length / rank;
  if (rows * columns !== sum.length)
    throw new RangeError(`A LoRA of ${rows} x ${columns} does not fit ${sum.length} weights.`);
  const factor = (scale * alpha) / rank;
  for (let r = 0; r < rows; r++)
    for (let k = 0; k < rank; k++) {
      const u = factor * up[r * rank + k];
      if (u === 0) continue;
      for (let c = 0, at = r * columns, from = k * columns; c < columns; c++) sum[at++] += u * down[from++];
    }
}

export type LoraNaming = "diffusers" | "kohya";

/** Modules as the tensors of a file; alpha is written where it is not the rank (kohya's: always). */
export function loraTensors(
  modules: readonly LoraModule[],
  naming: LoraNaming,
  dtype: "F32" | "F16" = "F32",
): Map<string, WritableTensor> {
  const tensors = new Map<string, WritableTensor>();
  const two = modules.some(({ part }) => part === "text_encoder_2");
  const short = { unet: "unet", text_encoder: two ? "te1" : "te", text_encoder_2: "te2" };
  for (const { part, key, rank, alpha, up, down, upShape, downShape } of modules) {
    const kohya = `lora_${short[part]}_${key.replaceAll(".", "_")}`;
    const [a, b] = naming === "kohya" ? ["lora_down", "lora_up"] : ["lora_A", "lora_B"];
    const base = naming === "kohya" ? kohya : `${part}.${key}`;
    tensors.set(`${base}.${a}.weight`, { dtype, shape: downShape, data: down });
    tensors.set(`${base}.${b}.weight`, { dtype, shape: upShape, data: up });
    if (naming === "kohya" || alpha !== rank)
      tensors.set(`${base}.alpha`, { dtype: "F32", shape: [], data: Float32Array.of(alpha) });
  }
  return tensors;
}
