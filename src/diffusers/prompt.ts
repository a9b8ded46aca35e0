// Prompts as sequences of ids for a text encoder: cut or in chunks, with or without emphasis.
import { emphasized } from "./emphasis.ts";
import { type ClipTokenizer, LONGEST_PROMPT } from "./tokenizer.ts";

export interface PromptOptions {
  /** Sequences of 75 tokens that a prompt may take; what is longer is cut. Default 1. */
  readonly chunks?: number;
  /** Reads (word), (word:1.3) and [word] as weights. Default false: brackets are text. */
  readonly emphasis?: boolean;
}

export interface Prompt {
  /** One or more sequences of `length` ids, each from start to padding. */
  readonly ids: readonly (readonly number[])[];
  /** The weight of every id, 1 for those of start, end and padding. */
  readonly weights: readonly (readonly number[])[];
  /** Tokens that were cut off. */
  readonly dropped: number;
}

/** Throws RangeError for a number of chunks or a weight that makes no sense. */
export function promptIds(
  tokenizer: ClipTokenizer,
  text: string,
  { chunks = 1, emphasis = false }: PromptOptions = {},
): Prompt {
  if (!(Number.isInteger(chunks) && chunks >= 1))
    throw new RangeError(`A prompt was given ${chunks} chunks, expected a whole number from 1.`);
  if (text.length > LONGEST_PROMPT) tokenizer.encode(text); // says so
  const room = tokenizer.length - 2;
  const parts = emphasis ? emphasized(text) : [{ text, weight: 1 }];
  const tokens: { id: number; weight: number }[] = [];
  for (const part of parts) for (const id of tokenizer.encode(part.text)) tokens.push({ id, weight: part.weight });
  const kept = tokens.slice(0, chunks * room);
  const count = Math.max(1, Math.ceil(kept.length / room));
  const sequences = Array.from({ length: count }, (_, k) => sequence(tokenizer, kept.slice(k * room, (k + 1) * room)));
  return {
    ids: sequences.map(({ ids }) => ids),
    weights: sequences.map(({ weights }) => weights),
    dropped: tokens.length - kept.length,
  };
}

function sequence(tokenizer: ClipTokenizer, tokens: readonly { id: number; weight: number }[]) {
  const filler = tokenizer.length - 2 - tokens.length;
  return {
    ids: [
      tokenizer.start,
      ...tokens.map(({ id }) => id),
      tokenizer.end,
      ...Array.from({ length: filler }, () => tokenizer.pad),
    ],
    weights: [1, ...tokens.map(({ weight }) => weight), 1, ...Array.from({ length: filler }, () => 1)],
  };
}

/** The same prompt with empty sequences behind, so that two prompts can be joined in one batch. */
export function extended(tokenizer: ClipTokenizer, prompt: Prompt, count: number): Prompt {
  const empty = sequence(tokenizer, []);
  const more = Math.max(0, count - prompt.ids.length);
  return {
    ...prompt,
    ids: [...prompt.ids, ...Array.from({ length: more }, () => empty.ids)],
    weights: [...prompt.weights, ...Array.from({ length: more }, () => empty.weights)],
  };
}

/**
 * States [L, D] of one sequence times the weights of its tokens, then scaled back to the mean that they had, as AUTOMATIC1111's
 * web UI does. Where all weights are 1, nothing changes.
 */
export function weighted(states: Float32Array, weights: readonly number[]): Float32Array {
  if (weights.every((weight) => weight === 1)) return states;
  const width = states.length / weights.length;
  const out = states.map((value, i) => value * weights[Math.floor(i / width)]);
  const mean = (x: Float32Array) => x.reduce((sum, value) => sum + value, 0) / x.length;
  const after = mean(out);
  const factor = after === 0 ? 1 : mean(states) / after;
  return out.map((value) => value * factor);
}
