// Prompts as what a U-Net is conditioned on: the states of one text encoder (SD 1, SD 2) or of two (SDXL).

import type { Tensor } from "../graph/index.ts";
import { input } from "../graph/index.ts";
import type { ClipTextConfig } from "../nn/clipConfig.ts";
import { type ClipTextOutput, clipText, finalNorm, poolingIndex } from "../nn/clipText.ts";
import type { Params } from "../nn/params.ts";
import type { PipelineParts, TextPart } from "./pipelineParts.ts";
import { extended, type Prompt, type PromptOptions, promptIds, weighted } from "./prompt.ts";
import type { Sessions } from "./sessions.ts";

/** Row-major, of any shape. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface TextConditions {
  /** [prompts, L, D], L the tokens of all chunks. */
  readonly context: Values;
  /** SDXL: [prompts, projection_dim]. */
  readonly pooled?: Values;
  /** Tokens that were cut off each prompt, by its first tokenizer. */
  readonly dropped: readonly number[];
}

export interface TextOptions extends PromptOptions {
  /** SDXL: what the second encoder reads instead, one for each prompt. */
  readonly second?: readonly (string | null)[];
  /** Layers of the text encoders that are left out at the end. Default 0. */
  readonly clipSkip?: number;
}

/**
 * The states of prompts. null is the missing negative prompt: the empty text, or zeros where the parts say so.
 * SD: the last state after the final norm. SDXL: both encoders' states before their last layers, side by side, and the
 * second one's projected pooled state.
 */
export async function textConditions(
  sessions: Sessions,
  parts: PipelineParts,
  prompts: readonly (string | null)[],
  options: TextOptions,
): Promise<TextConditions> {
  const { text } = parts;
  const two = text.length === 2;
  const { second, clipSkip = 0 } = options;
  if (second && !two) throw new RangeError("A second prompt was given, but this model has one text encoder.");
  for (const { config } of text)
    if (!(Number.isInteger(clipSkip) && clipSkip >= 0 && clipSkip < config.num_hidden_layers))
      throw new RangeError(
        `${clipSkip} layers of a text encoder are to be left out, expected 0 to ${config.num_hidden_layers - 1}.`,
      );
  const zeros = parts.zerosForEmptyPrompt ?? two;
  const read = text.map((part, k) =>
    ((k === 1 && second) || prompts).map((prompt) => promptIds(part.tokenizer, prompt ?? "", options)),
  );
  const chunks = Math.max(...read.flat().map(({ ids }) => ids.length));
  const encoded: Encoded[] = [];
  for (const [k, part] of text.entries()) {
    const whole = read[k].map((prompt) => extended(part.tokenizer, prompt, chunks));
    const states = (output: ClipTextOutput) => statesOf(part, output, two, clipSkip);
    encoded.push(await encode(sessions, part, `text.${k}.${clipSkip}`, whole, states));
  }
  const length = chunks * text[0].tokenizer.length;
  const width = encoded.reduce((sum, { width }) => sum + width, 0);
  const context = new Float32Array(prompts.length * length * width);
  for (let row = 0; row < prompts.length * length; row++) {
    let at = row * width;
    if (zeros && prompts[Math.floor(row / length)] === null) continue;
    for (const { states, width: own } of encoded) {
      context.set(states.subarray(row * own, (row + 1) * own), at);
      at += own;
    }
  }
  const dropped = read[0].map((prompt) => prompt.dropped);
  const conditions = { context: { shape: [prompts.length, length, width], data: context }, dropped };
  if (!two) return conditions;
  const { pooled, pooledWidth } = encoded[1];
  if (!pooled) throw new RangeError("The second text encoder of an SDXL model has no projection, which it needs.");
  const kept = pooled.map((value, i) => (zeros && prompts[Math.floor(i / pooledWidth)] === null ? 0 : value));
  return { ...conditions, pooled: { shape: [prompts.length, pooledWidth], data: kept } };
}

/** SD: the last state, with the final norm. SDXL: the one before, without. */
function statesOf(
  { config, params }: { readonly config: ClipTextConfig; readonly params: Params },
  { hidden, last }: ClipTextOutput,
  two: boolean,
  skip: number,
): Tensor {
  if (two) return hidden[hidden.length - 2 - skip];
  return skip === 0 ? last : finalNorm(config, params, hidden[hidden.length - 1 - skip]);
}

interface Encoded {
  /** [prompts, chunks, tokens, width]. */
  readonly states: Float32Array;
  readonly width: number;
  /** [prompts, pooledWidth]: of each prompt's first chunk. */
  readonly pooled?: Float32Array;
  readonly pooledWidth: number;
}

async function encode(
  sessions: Sessions,
  { config, params, tokenizer }: TextPart,
  key: string,
  prompts: readonly Prompt[],
  statesOf: (output: ClipTextOutput) => Tensor,
): Promise<Encoded> {
  const sequences = prompts.flatMap(({ ids }) => ids);
  const weights = prompts.flatMap((prompt) => prompt.weights);
  const batch = sequences.length;
  const program = await sessions.get(`${key}.${batch}`, () => {
    const output = clipText(
      config,
      params,
      input("ids", [batch, tokenizer.length], "int64"),
      input("pooledAt", [batch], "int64"),
    );
    return {
      states: statesOf(output),
      pooled: output.projected ?? output.pooled,
    };
  });
  const { states, pooled } = await program.run({
    ids: BigInt64Array.from(sequences.flat(), BigInt),
    pooledAt: poolingIndex(config, sequences),
  });
  const size = tokenizer.length * config.hidden_size;
  const all = (states.data as Float32Array).slice();
  weights.forEach((one, k) => {
    all.set(weighted(all.subarray(k * size, (k + 1) * size), one), k * size);
  });
  const chunks = batch / prompts.length;
  const pooledWidth = pooled.shape[1];
  const first = (pooled.data as Float32Array).filter((_, i) => Math.floor(i / pooledWidth) % chunks === 0);
  return {
    states: all,
    width: config.hidden_size,
    pooledWidth,
    ...(config.projected ? { pooled: first } : {}),
  };
}
