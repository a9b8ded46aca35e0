// What a safetensors file is, from its header alone: the names and shapes of its tensors, and its metadata.
import type { SafetensorsHeader } from "../data/safetensorsHeader.ts";
import { samplesMark } from "../node/outputs.ts";

export interface TensorFile {
  readonly kind: "state" | "samples" | "pairs" | "lora" | "delta" | "weights";
  /** In a sentence without a subject: "a LoRA of rank 64 for 192 layers". */
  readonly text: string;
  readonly tensors: number;
  readonly values: number;
  /** Of a state. */
  readonly step?: number;
  /** Of a LoRA; the largest where layers differ. */
  readonly rank?: number;
  /** Layers that a LoRA changes. */
  readonly layers?: number;
  /** What it belongs to, as the file says or its shapes show. */
  readonly base?: string;
}

/** The first factor of a LoRA, [rank, in, …]: of kohya's scripts, of PEFT and diffusers, of older diffusers. */
const down = /(\.lora_down|\.lora_A(\.[^.]+)?|[._]lora\.down|\.lora_linear_layer\.down)\.weight$/;

/** `file` is the name of the file: a plain difference of weights says nothing of itself but, perhaps, that. */
export function tensorFile({ entries, metadata }: SafetensorsHeader, file: string): TensorFile {
  const values = [...entries.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const common = { tensors: entries.size, values };
  if (/^fewstep-state-[123]$/.test(metadata.format ?? "")) {
    const weights = [...entries].filter(([name]) => name === "theta" || name.endsWith(".theta"));
    const count = weights.reduce((sum, [, { shape }]) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const stage = Number(metadata.stage ?? 0) > 0 ? ` of stage ${Number(metadata.stage) + 1}` : "";
    const step = /^\d{1,15}$/.test(metadata.step ?? "") ? Number(metadata.step) : undefined;
    const after = step === undefined ? "that does not say its step" : `after step ${step}${stage}`;
    return { ...common, kind: "state", step, text: `the state of a run ${after}, for ${grouped(count)} parameters` };
  }
  if (Object.entries(samplesMark).every(([key, value]) => metadata[key] === value)) {
    const shape = entries.get("x")?.shape ?? [];
    const text = `${grouped(shape[0] ?? 0)} samples of the shape ${shape.slice(1).join(" x ")}, with their noise and labels`;
    return { ...common, kind: "samples", text };
  }
  if (metadata.sha256 !== undefined && ["x", "noise"].every((name) => entries.has(name)))
    return { ...common, kind: "pairs", text: `${grouped(entries.get("x")?.shape[0] ?? 0)} teacher pairs` };
  const base = baseOf({ entries, metadata });
  const of = base === undefined ? "" : ` of ${base}`;
  const ranks = [...entries].flatMap(([name, { shape }]) => (down.test(name) && shape.length > 0 ? [shape[0]] : []));
  if (ranks.length > 0) {
    const [least, most] = [Math.min(...ranks), Math.max(...ranks)];
    const rank = least === most ? `rank ${most}` : `ranks ${least} to ${most}`;
    const text = `a LoRA${of} of ${rank} for ${ranks.length} layers`;
    return { ...common, kind: "lora", rank: most, layers: ranks.length, base, text };
  }
  if (/(^|[-_ ])delta\b/i.test(metadata.format ?? "") || /(^|[-_. ])delta([-_. ]|$)/i.test(file)) {
    const text = `differences of weights${of}: ${entries.size} tensors with ${grouped(values)} values`;
    return { ...common, kind: "delta", base, text };
  }
  return { ...common, kind: "weights", base, text: `${entries.size} tensors with ${grouped(values)} values` };
}

/** What trainers write into their files, else the width of what a Stable Diffusion network attends to. */
function baseOf({ entries, metadata }: SafetensorsHeader): string | undefined {
  for (const key of ["base", "base_model", "ss_sd_model_name", "ss_base_model_version", "modelspec.architecture"])
    if (metadata[key]) return metadata[key];
  for (const [name, { shape }] of entries) {
    if (!/attn2[._]to_[kv]/.test(name)) continue;
    if (!down.test(name) && !/to_[kv]\.weight$/.test(name)) continue;
    const known = { 768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL" } as const;
    return (known as Readonly<Record<number, string>>)[shape[1]];
  }
  return undefined;
}

const grouped = (n: number) => n.toLocaleString("en-US");
