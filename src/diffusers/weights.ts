// The weights of a part of a diffusers folder as they lie on disk: which files they are, and whether they fit a network.
import { floatsOf } from "../data/safetensors.ts";
import type { RangeSource } from "../data/source.ts";
import { indexFile, indexShards, mapTensors, readTensor, someOf, type TensorIndex } from "../data/tensorIndex.ts";
import type { ParamArray, ParamSpec } from "../nn/params.ts";
import { modernName } from "../nn/weights.ts";

/** How diffusers and transformers call the files of a part. */
const stems = ["diffusion_pytorch_model", "model"] as const;

export interface WeightsFile {
  /** A .safetensors file, or the index of several. */
  readonly file: string;
  /** "fp16" and the like; none for the plain one. */
  readonly variant?: string;
}

/** What of these names in one folder are weights: whole files and indexes of shards. */
export function weightsAmong(names: readonly string[]): WeightsFile[] {
  const found: WeightsFile[] = [];
  for (const name of names) {
    const match =
      /^(diffusion_pytorch_model|model)(?:\.([\w-]+))?\.safetensors$/.exec(name) ??
      /^(diffusion_pytorch_model|model)\.safetensors\.index(?:\.([\w-]+))?\.json$/.exec(name);
    // Shards are called model-00001-of-00004.safetensors, or with a variant model.fp16-00001-of-00003.safetensors.
    if (match && !/-\d+-of-\d+$/.test(match[2] ?? "")) found.push({ file: name, variant: match[2] });
  }
  return found.sort((a, b) => Number(a.file.endsWith(".json")) - Number(b.file.endsWith(".json")));
}

/**
 * Which weights of a part to read: those of the variant, or without one the plain ones, or the only variant there is.
 * Throws an Error that says what is there and what to do. `folder`: the part, for messages.
 */
export function chooseWeights(folder: string, names: readonly string[], variant?: string): WeightsFile {
  const all = weightsAmong(names);
  const chosen = all.find((w) => w.variant === variant);
  if (chosen) return chosen;
  const variants = [...new Set(all.map((w) => w.variant ?? "the plain one"))];
  if (variant === undefined && variants.length === 1) return all[0];
  if (all.length > 0)
    throw new Error(
      `${folder} holds weights of the variants ${variants.join(", ")}, expected ${variant ?? "one alone"}. Name one of them.`,
    );
  const advice = names.some((name) => name.endsWith(".bin"))
    ? " Convert the .bin file to safetensors first."
    : names.some((name) => /-\d+-of-\d+\.safetensors$/.test(name))
      ? " There are shards without their index: get the .safetensors.index.json file too."
      : "";
  throw new Error(
    `${folder} holds ${names.length === 0 ? "no file" : someOf(names)}, expected ${stems[0]}.safetensors, ${stems[1]}.safetensors or the index of several.${advice}`,
  );
}

/** Opens the weights in `folder` of a source ("unet", or "" for the source itself): headers only. Throws as `chooseWeights`. */
export async function openWeights(source: RangeSource, folder: string, variant?: string): Promise<TensorIndex> {
  const prefix = folder === "" ? "" : `${folder}/`;
  const names = (await source.list())
    .filter((name) => name.startsWith(prefix) && !name.slice(prefix.length).includes("/"))
    .map((name) => name.slice(prefix.length))
    .sort();
  const { file } = chooseWeights(folder === "" ? source.name : `${source.name}/${folder}`, names, variant);
  return file.endsWith(".json") ? indexShards(source, prefix + file) : indexFile(source, prefix + file);
}

/** Under today's names, and the 1 x 1 convolutions of older attention as the matrices they are. */
export const modernIndex = (index: TensorIndex): TensorIndex =>
  mapTensors(index, (old, place) => {
    const name = modernName(old);
    const { shape } = place;
    const square = /attentions\.\d+\.(to_q|to_k|to_v|to_out\.0)\.weight$/.test(name);
    const matrix = square && shape.length === 4 && shape[2] === 1 && shape[3] === 1;
    return [[name, matrix ? { ...place, shape: shape.slice(0, 2) } : place]];
  });

const floats: ReadonlySet<string> = new Set(["F16", "BF16", "F32", "F64"]);

export interface Misfits {
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  /** "name [have], expected [want]" */
  readonly misshapen: readonly string[];
  /** "name as I64" */
  readonly notFloats: readonly string[];
}

/** How weights differ from what a network asks for, in its order. */
export function misfits(
  spec: readonly Pick<ParamSpec, "name" | "shape">[],
  tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly dtype: string }>,
): Misfits {
  const wanted = new Set(spec.map(({ name }) => name));
  const missing: string[] = [];
  const misshapen: string[] = [];
  const notFloats: string[] = [];
  for (const { name, shape } of spec) {
    const have = tensors.get(name);
    if (!have) missing.push(name);
    else if (have.shape.join() !== shape.join()) misshapen.push(`${name} [${have.shape}], expected [${shape}]`);
    else if (!floats.has(have.dtype)) notFloats.push(`${name} as ${have.dtype}`);
  }
  return { missing, misshapen, notFloats, extra: [...tensors.keys()].filter((name) => !wanted.has(name)) };
}

/** A leftover that old checkpoints carry beside their weights. */
const leftover = (name: string): boolean => /(^|\.)position_ids$/.test(name);

/** Throws an Error that lists what is missing, misshapen, no floats, or more than the network has. */
export function checkWeights(spec: readonly Pick<ParamSpec, "name" | "shape">[], index: TensorIndex): void {
  const { missing, extra, misshapen, notFloats } = misfits(spec, index.tensors);
  const more = extra.filter((name) => !leftover(name));
  const found = [
    missing.length > 0 && `${missing.length} of its ${spec.length} tensors are missing (${someOf(missing)})`,
    misshapen.length > 0 && `${misshapen.length} have other shapes (${someOf(misshapen)})`,
    notFloats.length > 0 && `${notFloats.length} are no floats (${someOf(notFloats)})`,
    more.length > 0 && `it holds ${more.length} that the network does not have (${someOf(more)})`,
  ].filter((text) => text !== false);
  if (found.length > 0)
    throw new Error(
      `${index.name} does not fit its config.json: ${found.join("; ")}. Get the two that belong together.`,
    );
}

/** The named tensors in memory as float32, one after the other. Throws an Error for one that is not of floats. */
export async function readParams(
  index: TensorIndex,
  names: Iterable<string> = index.tensors.keys(),
): Promise<Map<string, ParamArray>> {
  const params = new Map<string, ParamArray>();
  for (const name of names) {
    const tensor = await readTensor(index, name);
    params.set(name, { shape: tensor.shape, data: floatsOf(new Map([[name, tensor]]), name) });
  }
  return params;
}
