// Prompts as what a U-Net is conditioned on: the states of one text encoder (SD 1, SD 2) or of two (SDXL).
import { input } from "../graph/index.ts";
import { clipText, poolingIndex } from "../nn/clipText.ts";
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

/**
 * The states of prompts. null is the missing negative prompt: the empty text, or zeros where the parts say so.
 * SD: the last state after the final norm. SDXL: both encoders' states before their last layers, side by side, and the
 * second one's projected pooled state.
 */
export async function textConditions(
  sessions: Sessions,
  parts: PipelineParts,
  prompts: readonly (string | null)[],
  options: PromptOptions,
): Promise<TextConditions> {
  const { text } = parts;
  const two = text.length === 2;
  const zeros = parts.zerosForEmptyPrompt ?? two;
  const read = text.map((part) => prompts.map((prompt) => promptIds(part.tokenizer, prompt ?? "", options)));
  const chunks = Math.max(...read.flat().map(({ ids }) => ids.length));
  const encoded: Encoded[] = [];
  for (const [k, part] of text.entries()) {
    const whole = read[k].map((prompt) => extended(part.tokenizer, prompt, chunks));
    encoded.push(await encode(sessions, part, `text.${k}`, whole, two));
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
  penultimate: boolean,
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
      states: penultimate ? output.hidden[output.hidden.length - 2] : output.last,
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
