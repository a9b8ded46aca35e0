// Checkpoints in one file, with the names of the original training code (CompVis' latent-diffusion for SD 1.x and 2.x,
// Stability's generative-models for SDXL), as the parts of a diffusers folder. Values stay where they are: names, shapes and
// slices change.
import { mapTensors, type TensorIndex, type TensorPlace } from "../data/tensorIndex.ts";

export type Part = "unet" | "vae" | "text_encoder" | "text_encoder_2";

export interface SingleFile {
  readonly parts: ReadonlyMap<Part, TensorIndex>;
  /** Names that no part uses: tables of the training program, averages, leftovers. */
  readonly ignored: readonly string[];
}

/** What the names of a part begin with. The longer of two that fit comes first. */
const prefixes: readonly (readonly [prefix: string, part: Part, change: "unet" | "vae" | "clip" | "openclip"])[] = [
  ["model.diffusion_model.", "unet", "unet"],
  ["first_stage_model.", "vae", "vae"],
  ["cond_stage_model.transformer.", "text_encoder", "clip"],
  ["conditioner.embedders.0.transformer.", "text_encoder", "clip"],
  ["conditioner.embedders.1.model.", "text_encoder_2", "openclip"],
  // SD 2.x uses the state before the last layer, so that layer is not part of the diffusers model.
  ["cond_stage_model.model.", "text_encoder", "openclip"],
  // The refiner of SDXL has only the second encoder.
  ["conditioner.embedders.0.model.", "text_encoder_2", "openclip"],
];

/** Whether tensors have the original names. */
export const isSingleFile = (index: TensorIndex): boolean =>
  [...index.tensors.keys()].some((name) => name.startsWith("model.diffusion_model."));

/** Throws an Error where the file has no U-Net under the original names. */
export function splitSingleFile(index: TensorIndex): SingleFile {
  if (!isSingleFile(index))
    throw new Error(
      `${index.name} has no tensor "model.diffusion_model.…", expected a Stable Diffusion checkpoint with its original names.`,
    );
  const ignored: string[] = [];
  const groups = new Map<Part, Map<string, TensorPlace>>();
  const changes = new Map<Part, { prefix: string; change: "unet" | "vae" | "clip" | "openclip" }>();
  for (const [name, place] of index.tensors) {
    const found = prefixes.find(([prefix]) => name.startsWith(prefix));
    if (!found) {
      ignored.push(name);
      continue;
    }
    const [prefix, part, change] = found;
    const before = changes.get(part)?.prefix ?? prefix;
    if (before !== prefix)
      throw new Error(
        `${index.name} holds ${part} twice, as ${before}… and as ${prefix}…, expected one. Get another file.`,
      );
    changes.set(part, { prefix, change });
    const group = groups.get(part) ?? new Map<string, TensorPlace>();
    groups.set(part, group.set(name.slice(prefix.length), place));
  }
  const parts = new Map<Part, TensorIndex>();
  for (const [part, tensors] of groups) {
    const { prefix, change } = changes.get(part)!;
    const old = { ...index, name: `${index.name} (${part})`, tensors };
    const rename = { unet: unetNames, vae: vaeNames, clip: clipNames, openclip: openClipNames }[change](
      [...tensors.keys()],
      prefix,
    );
    const drop = (name: string): [] => {
      ignored.push(prefix + name);
      return [];
    };
    parts.set(
      part,
      mapTensors(old, (name, place) => rename(name, place) ?? drop(name)),
    );
  }
  return { parts, ignored };
}

/** null: not a part of the model. */
type Rename = (name: string, place: TensorPlace) => readonly (readonly [string, TensorPlace])[] | null;

const resnetParts: readonly (readonly [old: string, now: string])[] = [
  ["in_layers.0", "norm1"],
  ["in_layers.2", "conv1"],
  ["emb_layers.1", "time_emb_proj"],
  ["out_layers.0", "norm2"],
  ["out_layers.3", "conv2"],
  ["skip_connection", "conv_shortcut"],
];

/** Original and present names of a U-Net's blocks with `layers` layers a level; original ones are tried in this order. */
export function unetBlocks(layers: number, levels: number): readonly (readonly [old: string, now: string])[] {
  const blocks: [string, string][] = [];
  for (let i = 0; i < levels; i++) {
    blocks.push([`input_blocks.${(i + 1) * (layers + 1)}.0.op`, `down_blocks.${i}.downsamplers.0.conv`]);
    const last = i * (layers + 1) + layers;
    // The upsampler comes after the attention, where there is one.
    for (const at of [1, 2]) blocks.push([`output_blocks.${last}.${at}.conv`, `up_blocks.${i}.upsamplers.0.conv`]);
  }
  const resnet = (old: string, now: string) => {
    for (const [a, b] of resnetParts) blocks.push([`${old}.${a}`, `${now}.${b}`]);
  };
  for (let i = 0; i < levels; i++) {
    for (let j = 0; j <= layers; j++) {
      const down = `input_blocks.${1 + i * (layers + 1) + j}`;
      const up = `output_blocks.${i * (layers + 1) + j}`;
      if (j < layers) {
        resnet(`${down}.0`, `down_blocks.${i}.resnets.${j}`);
        blocks.push([`${down}.1`, `down_blocks.${i}.attentions.${j}`]);
      }
      resnet(`${up}.0`, `up_blocks.${i}.resnets.${j}`);
      blocks.push([`${up}.1`, `up_blocks.${i}.attentions.${j}`]);
    }
  }
  resnet("middle_block.0", "mid_block.resnets.0");
  resnet("middle_block.2", "mid_block.resnets.1");
  blocks.push(
    ["middle_block.1", "mid_block.attentions.0"],
    ["input_blocks.0.0", "conv_in"],
    ["time_embed.0", "time_embedding.linear_1"],
    ["time_embed.2", "time_embedding.linear_2"],
    ["label_emb.0.0", "add_embedding.linear_1"],
    ["label_emb.0.2", "add_embedding.linear_2"],
    ["out.0", "conv_norm_out"],
    ["out.2", "conv_out"],
  );
  return blocks;
}

function unetNames(names: readonly string[]): Rename {
  // The first downsampler comes after the layers of the first level; each level but the last has one.
  const downsamplers = names
    .flatMap((name) => /^input_blocks\.(\d+)\.0\.op\.weight$/.exec(name)?.[1] ?? [])
    .map(Number);
  const layers = downsamplers.length > 0 ? Math.min(...downsamplers) - 1 : 2;
  const blocks = unetBlocks(layers, downsamplers.length + 1);
  return (name, place) => {
    const found = blocks.find(([old]) => name.startsWith(`${old}.`));
    return found ? [[found[1] + name.slice(found[0].length), place]] : null;
  };
}

const vaeParts: readonly (readonly [RegExp, string])[] = [
  [/\.down\.(\d+)\.block\./, ".down_blocks.$1.resnets."],
  [/\.down\.(\d+)\.downsample\./, ".down_blocks.$1.downsamplers.0."],
  [/\.mid\.block_1\./, ".mid_block.resnets.0."],
  [/\.mid\.block_2\./, ".mid_block.resnets.1."],
  [/\.mid\.attn_1\.norm\./, ".mid_block.attentions.0.group_norm."],
  [/\.mid\.attn_1\.([qkv])\./, ".mid_block.attentions.0.to_$1."],
  [/\.mid\.attn_1\.proj_out\./, ".mid_block.attentions.0.to_out.0."],
  [/\.nin_shortcut\./, ".conv_shortcut."],
  [/\.norm_out\./, ".conv_norm_out."],
];

function vaeNames(names: readonly string[]): Rename {
  const levels = 1 + Math.max(0, ...names.flatMap((name) => /^decoder\.up\.(\d+)\./.exec(name)?.[1] ?? []).map(Number));
  return (name, place) => {
    if (!/^(encoder|decoder|quant_conv|post_quant_conv)\./.test(name)) return null;
    // The decoder's levels are counted from the image, in diffusers from the latents.
    const turned = name.replace(
      /^decoder\.up\.(\d+)\.(block|upsample)\./,
      (_, level: string, what: string) =>
        `decoder.up_blocks.${levels - 1 - Number(level)}.${what === "block" ? "resnets" : "upsamplers.0"}.`,
    );
    const now = vaeParts.reduce((text, [old, part]) => text.replace(old, part), turned);
    const matrix = now.includes(".attentions.") && place.shape.length === 4;
    return [[now, matrix ? { ...place, shape: place.shape.slice(0, 2) } : place]];
  };
}

const clipNames = (): Rename => (name, place) =>
  /(^|\.)position_ids$/.test(name) ? null : [[name.startsWith("text_model.") ? name : `text_model.${name}`, place]];

const layerParts: readonly (readonly [old: string, now: string])[] = [
  ["attn.out_proj", "self_attn.out_proj"],
  ["ln_1", "layer_norm1"],
  ["ln_2", "layer_norm2"],
  ["mlp.c_fc", "mlp.fc1"],
  ["mlp.c_proj", "mlp.fc2"],
];

function openClipNames(names: readonly string[], prefix: string): Rename {
  const second = prefix.startsWith("conditioner.");
  const last = Math.max(-1, ...names.flatMap((name) => /resblocks\.(\d+)\./.exec(name)?.[1] ?? []).map(Number));
  return (name, place) => {
    const layer = /^transformer\.resblocks\.(\d+)\.(.+)$/.exec(name);
    if (layer) {
      const now = `text_model.encoder.layers.${layer[1]}`;
      if (!second && Number(layer[1]) === last) return null;
      const joint = /^attn\.in_proj_(weight|bias)$/.exec(layer[2]);
      if (joint)
        return ["q_proj", "k_proj", "v_proj"].map((part, i) => [
          `${now}.self_attn.${part}.${joint[1]}`,
          third(place, i),
        ]);
      const found = layerParts.find(([old]) => layer[2].startsWith(`${old}.`));
      return found ? [[`${now}.${found[1]}${layer[2].slice(found[0].length)}`, place]] : null;
    }
    if (name === "token_embedding.weight") return [["text_model.embeddings.token_embedding.weight", place]];
    if (name === "positional_embedding") return [["text_model.embeddings.position_embedding.weight", place]];
    if (name.startsWith("ln_final.")) return [[`text_model.final_layer_norm.${name.slice(9)}`, place]];
    if (name === "text_projection" && second)
      return [["text_projection.weight", { ...place, shape: [...place.shape].reverse(), transposed: true }]];
    return null;
  };
}

/** One of three equal parts of the first axis: consecutive bytes. */
function third(place: TensorPlace, i: number): TensorPlace {
  const [rows, ...rest] = place.shape;
  if (rows % 3 !== 0) throw new Error(`A joint projection has ${rows} rows, expected a multiple of 3.`);
  const bytes = (place.end - place.start) / 3;
  const start = place.start + i * bytes;
  return { ...place, shape: [rows / 3, ...rest], start, end: start + bytes };
}
