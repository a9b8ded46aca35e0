// Weights from files: float arrays under today's names.
import type { ParamArray } from "./params.ts";

const renames: readonly (readonly [old: string, now: string])[] = [
  ["query", "to_q"],
  ["key", "to_k"],
  ["value", "to_v"],
  ["proj_attn", "to_out.0"],
];

/** Older files name the parts of image attention differently: "attentions.0.query.weight" is "attentions.0.to_q.weight". */
export function modernName(name: string): string {
  for (const [old, now] of renames)
    if (name.includes(`.${old}.`))
      return name.replace(new RegExp(`(attentions\\.\\d+)\\.${old}\\.(weight|bias)$`), `$1.${now}.$2`);
  return name;
}

/**
 * The tensors of a safetensors file as parameters: renamed to today's names, and the 1 x 1 convolutions that some older
 * files have in attention made matrices. Throws RangeError for a tensor that is not of floats.
 */
export function toParams(
  tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: unknown }>,
): Map<string, ParamArray> {
  const params = new Map<string, ParamArray>();
  for (const [name, { shape, data }] of tensors) {
    if (!(data instanceof Float32Array))
      throw new RangeError(
        `Weight ${name} is not stored as floats; remove it or convert it to float32, float16 or bfloat16.`,
      );
    const attention = /attentions\.\d+\.(to_q|to_k|to_v|to_out\.0)\.weight$/.test(modernName(name));
    const matrix = attention && shape.length === 4 && shape[2] === 1 && shape[3] === 1;
    params.set(modernName(name), { shape: matrix ? shape.slice(0, 2) : shape, data });
  }
  return params;
}
