// CLIP's tokenizer from vocab.json and merges.txt (Radford et al. 2021): byte-level BPE, as transformers does it.
import { Tokenizer } from "@huggingface/tokenizers";
import * as z from "zod";
import { brief, show } from "../core/show.ts";
import { firstIssue } from "../nn/config.ts";

export interface TokenizerFiles {
  /** vocab.json, parsed. */
  readonly vocab: unknown;
  /** merges.txt. */
  readonly merges: string;
  /** tokenizer_config.json and special_tokens_map.json, parsed, where there are such: what pads, and what is special. */
  readonly config?: unknown;
  readonly specialTokens?: unknown;
  /** What messages call the folder. */
  readonly name?: string;
}

/** A word of a textual inversion, which stands for `vectors` ids in a row. */
export interface AddedToken {
  readonly token: string;
  readonly vectors: number;
}

export interface ClipTokenizer {
  /** Ids of a text without those of start and end, uncut. Throws RangeError for a text that is too long to be a prompt. */
  encode(text: string): number[];
  readonly start: number;
  readonly end: number;
  readonly pad: number;
  /** Tokens of one sequence with start and end: 77. */
  readonly length: number;
  /** Ids without the added ones, and with them. */
  readonly vocabulary: number;
  readonly size: number;
  /** The same tokenizer with a word more. Throws RangeError for a word that it knows already. */
  with(added: AddedToken): ClipTokenizer;
}

/** Characters of a prompt. 75 tokens are a few hundred; the rest would be thrown away. */
export const LONGEST_PROMPT = 200_000;

const START = "<|startoftext|>";
const END = "<|endoftext|>";

const vocabulary = z.record(z.string(), z.int().nonnegative());
const token = z.union([z.string(), z.object({ content: z.string() })]);
const declared = z.object({
  /** transformers writes 1e30 for "none". */
  model_max_length: z.number().min(3).optional(),
  bos_token: token.nullish(),
  eos_token: token.nullish(),
  pad_token: token.nullish(),
  unk_token: token.nullish(),
  do_lower_case: z.boolean().optional(),
  added_tokens_decoder: z
    .record(
      z.string(),
      z.object({ content: z.string(), normalized: z.boolean().optional(), special: z.boolean().optional() }),
    )
    .optional(),
});
type Declared = z.output<typeof declared>;

/** White space as Unicode and transformers have it; JavaScript's \s has U+FEFF too, and not U+0085. */
const SPACE = "\\p{White_Space}";
const WORDS = `'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^${SPACE}\\p{L}\\p{N}]+`;

/** Throws an Error, one sentence, for files that are not those of a CLIP tokenizer. */
export function clipTokenizer(files: TokenizerFiles): ClipTokenizer {
  const name = files.name ?? "the tokenizer";
  const parsed = vocabulary.safeParse(files.vocab);
  if (!parsed.success)
    throw new Error(`vocab.json of ${name} is not a table of ids: expected words with whole numbers.`);
  const ids = parsed.data;
  const idOf = (text: string): number => {
    if (!Object.hasOwn(ids, text))
      throw new Error(`vocab.json of ${name} has no "${brief(text, 40)}"; it is not CLIP's.`);
    return ids[text];
  };
  const config = read(`tokenizer_config.json of ${name}`, files.config);
  const map = read(`special_tokens_map.json of ${name}`, files.specialTokens);
  if (config.do_lower_case === false)
    throw new Error(`tokenizer_config.json of ${name} has "do_lower_case": false, which CLIP's tokenizer has not.`);
  const contentOf = (key: "pad_token" | "unk_token") => {
    const given = config[key] ?? map[key];
    return typeof given === "object" && given !== null ? given.content : given;
  };
  const pad = contentOf("pad_token") ?? END;
  const special = new Map([
    [START, { id: idOf(START), normalized: true }],
    [END, { id: idOf(END), normalized: false }],
    [pad, { id: idOf(pad), normalized: false }],
  ]);
  for (const [id, one] of Object.entries(config.added_tokens_decoder ?? {})) {
    if (!/^\d{1,9}$/.test(id))
      throw new Error(
        `tokenizer_config.json of ${name} has an added token under "${brief(id, 40)}", expected a whole number.`,
      );
    special.set(one.content, { id: Number(id), normalized: one.normalized ?? !one.special });
  }
  const merges = files.merges.split("\n").flatMap((line, i) => {
    const text = line.trimEnd();
    if (text === "" || (i === 0 && text.startsWith("#version"))) return [];
    const parts = text.split(" ");
    if (parts.length !== 2)
      throw new Error(
        `merges.txt of ${name} has ${JSON.stringify(text.slice(0, 40))} in line ${i + 1}, expected two parts.`,
      );
    return [parts as [string, string]];
  });
  const size = Object.values(ids).reduce((most, id) => Math.max(most, id), 0) + 1;
  const length = Math.floor(Math.min(config.model_max_length ?? 77, 77));

  const make = (added: readonly AddedToken[]): ClipTokenizer => {
    let next = size;
    const firsts = new Map<number, number>();
    const own = added.flatMap(({ token, vectors }) => {
      firsts.set(next, vectors);
      return Array.from({ length: vectors }, (_, k) => ({
        id: next++,
        content: k === 0 ? token : `${token}_${k}`,
        normalized: true,
        special: false,
      }));
    });
    // Made when it is first used: it takes a good part of a second.
    let made: Tokenizer | undefined;
    const library = () => {
      made ??= new Tokenizer(
        {
          added_tokens: [
            ...[...special].map(([content, { id, normalized }]) => ({ id, content, normalized, special: true })),
            ...own,
          ],
          normalizer: {
            type: "Sequence",
            normalizers: [
              { type: "NFC" },
              { type: "Replace", pattern: { Regex: `${SPACE}+` }, content: " " },
              // Lower case goes character by character, so that the last sigma of a word is like the others.
              { type: "Replace", pattern: { String: "Σ" }, content: "σ" },
              { type: "Lowercase" },
            ],
          },
          pre_tokenizer: {
            type: "Sequence",
            pretokenizers: [
              { type: "Split", pattern: { Regex: WORDS }, behavior: "Removed", invert: true },
              { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
            ],
          },
          post_processor: null,
          decoder: null,
          model: {
            type: "BPE",
            unk_token: contentOf("unk_token") ?? END,
            continuing_subword_prefix: "",
            end_of_word_suffix: "</w>",
            fuse_unk: false,
            vocab: ids,
            merges,
          },
        },
        {},
      );
      return made;
    };
    const known = new Set([...special.keys(), ...own.map(({ content }) => content)]);
    return {
      start: idOf(START),
      end: idOf(END),
      pad: idOf(pad),
      length,
      vocabulary: size,
      size: next,
      encode(text) {
        if (text.length > LONGEST_PROMPT)
          throw new RangeError(
            `A prompt has ${text.length} characters, expected at most ${LONGEST_PROMPT}; ${length - 2} tokens are read of it.`,
          );
        const found: number[] = library().encode(text, { add_special_tokens: false }).ids;
        return firsts.size === 0
          ? found
          : found.flatMap((id) => Array.from({ length: firsts.get(id) ?? 1 }, (_, k) => id + k));
      },
      with(one) {
        const words = Array.from({ length: one.vectors }, (_, k) => (k === 0 ? one.token : `${one.token}_${k}`));
        const taken = words.find((word) => known.has(word) || Object.hasOwn(ids, word));
        if (taken !== undefined)
          throw new RangeError(
            `The word "${taken}" is in the tokenizer's vocabulary already; choose another for the textual inversion.`,
          );
        if (one.token.trim() === "" || one.vectors < 1)
          throw new RangeError(
            `A textual inversion has the word "${one.token}" and ${one.vectors} vectors, expected a word and at least one.`,
          );
        return make([...added, one]);
      },
    };
  };
  return make([]);
}

function read(name: string, value: unknown): Declared {
  const parsed = declared.safeParse(value ?? {});
  if (parsed.success) return parsed.data;
  const { key, value: found, why } = firstIssue(parsed.error, value);
  throw new Error(`${name}: "${key}" is not what was expected: ${show(found)} (${why}).`);
}
