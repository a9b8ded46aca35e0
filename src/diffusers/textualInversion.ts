// Textual inversion (Gal et al. 2022): the vectors of a new word for a text encoder, from the files that are in use.
import { brief, listed, show } from "../core/show.ts";
import type { StoredTensor } from "../data/safetensors.ts";
import { readSafetensors } from "../data/safetensors.ts";
import { isTensor, readTorchFile, type TorchValue } from "../data/torchFile.ts";
import type { ClipTextConfig } from "../nn/clipConfig.ts";
import { withTokens } from "../nn/clipText.ts";
import type { ParamMap } from "../nn/params.ts";
import type { ClipTokenizer } from "./tokenizer.ts";

export interface TextualInversion {
  readonly token: string;
  /** One or several, each as wide as the text encoder. */
  readonly vectors: readonly Float32Array[];
}

interface Table {
  readonly shape: readonly number[];
  readonly data: unknown;
}

/**
 * A file of one of the usual kinds: safetensors with one entry named after the word, or named `emb_params` (the word is then
 * `token`, or the file's name); torch.save of the former, or of `string_to_param["*"]` and `name`.
 * Throws an Error, one sentence, for anything else.
 */
export function readTextualInversion(bytes: Uint8Array, file: string, token?: string): TextualInversion {
  const base = file.replace(/^.*[/\\]/, "").replace(/\.(safetensors|pt|bin)$/i, "");
  if (/\.(pt|bin)$/i.test(file)) return fromTorch(readTorchFile(bytes, file), file, base, token);
  return fromSafetensors(readSafetensors(bytes, file).tensors, file, base, token);
}

/** SDXL's files hold vectors for both of its text encoders. */
const both = ["clip_l", "clip_g"] as const;

/**
 * The inversion for each text encoder of a model, from one file. Throws an Error, one sentence, for a file of another kind
 * of model.
 */
export function readTextualInversions(
  bytes: Uint8Array,
  file: string,
  encoders: 1 | 2,
  token?: string,
): TextualInversion[] {
  if (encoders === 1) return [readTextualInversion(bytes, file, token)];
  const tensors = /\.(pt|bin)$/i.test(file) ? new Map<string, StoredTensor>() : readSafetensors(bytes, file).tensors;
  if (!both.every((name) => tensors.has(name)))
    throw new Error(
      `${file} holds vectors for one text encoder, but this model has two; expected ${both.join(" and ")} in one file.`,
    );
  const base = file.replace(/^.*[/\\]/, "").replace(/\.safetensors$/i, "");
  return both.map((name) => ({ token: token ?? base, vectors: rows(tensors.get(name)!, file) }));
}

function fromSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  file: string,
  base: string,
  token: string | undefined,
): TextualInversion {
  const params = tensors.get("emb_params");
  if (params) return { token: token ?? base, vectors: rows(params, file) };
  if (tensors.size !== 1)
    throw new Error(
      `${brief(file)} holds ${listed([...tensors.keys()], 4) || "nothing"}, expected one entry named after its word, or emb_params.`,
    );
  const [[name, table]] = tensors;
  return { token: token ?? name, vectors: rows(table, file) };
}

function fromTorch(value: TorchValue, file: string, base: string, token: string | undefined): TextualInversion {
  if (!(value instanceof Map)) throw new Error(`${file} is no textual inversion: expected a dictionary.`);
  const byString = value.get("string_to_param");
  if (byString instanceof Map) {
    const table = byString.get("*");
    if (!isTensor(table)) throw new Error(`${file} has no tensor string_to_param["*"].`);
    const named = value.get("name");
    return { token: token ?? (typeof named === "string" && named !== "" ? named : base), vectors: rows(table, file) };
  }
  const entries = [...value];
  if (entries.length !== 1 || typeof entries[0][0] !== "string" || !isTensor(entries[0][1]))
    throw new Error(`${file} is no textual inversion: expected one word with its tensor, or string_to_param.`);
  return { token: token ?? entries[0][0], vectors: rows(entries[0][1], file) };
}

function rows({ shape, data }: Table, file: string): Float32Array[] {
  if (!(data instanceof Float32Array) || shape.length < 1 || shape.length > 2 || data.length === 0)
    throw new Error(`${file} has a table of shape ${show(shape)}, expected floats of [width] or [vectors, width].`);
  const width = shape[shape.length - 1];
  return Array.from({ length: data.length / width }, (_, k) => data.slice(k * width, (k + 1) * width));
}

/** A tokenizer and a text encoder that know the words, in the order given: ids follow those that are there. */
export function withInversions(
  tokenizer: ClipTokenizer,
  encoder: { readonly config: ClipTextConfig; readonly params: ParamMap },
  inversions: readonly TextualInversion[],
): { tokenizer: ClipTokenizer; config: ClipTextConfig; params: ParamMap } {
  if (encoder.config.vocab_size !== tokenizer.size)
    throw new RangeError(
      `The tokenizer has ${tokenizer.size} ids, but the text encoder has ${encoder.config.vocab_size}: they do not belong together.`,
    );
  const known = inversions.reduce((t, { token, vectors }) => t.with({ token, vectors: vectors.length }), tokenizer);
  const grown = withTokens(
    encoder.config,
    encoder.params,
    inversions.flatMap(({ vectors }) => vectors),
  );
  return { tokenizer: known, ...grown };
}
