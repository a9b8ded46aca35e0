// transformers' CLIPTextModel and CLIPTextModelWithProjection under their parameter names.
import { add, embedding as gather, reshape, sliceAxis, type Tensor } from "../graph/index.ts";
import type { ClipTextConfig } from "./clipConfig.ts";
import { clipLayers } from "./clipLayers.ts";
import { embedding, layerNorm, linear } from "./layers.ts";
import { type ParamArray, type Params, seen } from "./params.ts";

export interface ClipTextOutput {
  /** [B, L, D] before the first layer and after each, without the final norm. */
  readonly hidden: readonly Tensor[];
  /** [B, L, D]: the last of them after the final norm. */
  readonly last: Tensor;
  /** [B, D]: `last` where each sequence is pooled. */
  readonly pooled: Tensor;
  /** [B, projection_dim] of a model with projection. */
  readonly projected?: Tensor;
}

/** ids int64 [B, L], L at most max_position_embeddings; pooledAt int64 [B]: what `poolingIndex` gives for them. */
export function clipText(c: ClipTextConfig, p: Params, ids: Tensor, pooledAt: Tensor): ClipTextOutput {
  const [batch, length] = ids.shape;
  if (length > c.max_position_embeddings)
    throw new RangeError(
      `A sequence has ${length} tokens, but this text encoder has ${c.max_position_embeddings} positions; cut or split it.`,
    );
  const tokens = embedding(
    p,
    "text_model.embeddings.token_embedding",
    reshape(ids, [batch * length]),
    c.vocab_size,
    c.hidden_size,
    { normal: 0.02 },
  );
  const start = add(reshape(tokens, [batch, length, c.hidden_size]), positions(c, p, length));
  const hidden = clipLayers(c, p, "text_model.encoder", start, true);
  const last = finalNorm(c, p, hidden[hidden.length - 1]);
  const pooled = seen(p, "pooler", gather(reshape(last, [batch * length, c.hidden_size]), pooledAt));
  return {
    hidden,
    last,
    pooled,
    ...(c.projected ? { projected: linear(p, "text_projection", pooled, c.projection_dim, { bias: false }) } : {}),
  };
}

/** The norm behind the last layer, for a state [B, L, D] of any layer (clip skip). */
export const finalNorm = (c: ClipTextConfig, p: Params, x: Tensor): Tensor =>
  layerNorm(p, "text_model.final_layer_norm", x, c.layer_norm_eps);

function positions(c: ClipTextConfig, p: Params, length: number): Tensor {
  const table = p("text_model.embeddings.position_embedding.weight", [c.max_position_embeddings, c.hidden_size], {
    normal: 0.02,
  });
  return sliceRows(table, length);
}

const sliceRows = (table: Tensor, rows: number): Tensor =>
  rows === table.shape[0] ? table : sliceAxis(table, 0, 0, rows);

/**
 * Where each sequence of ids [B, L] is pooled, as rows of [B L, D]: at the first end-of-text id, or, for the many published
 * configurations whose eos_token_id is a wrong 2, at the first of the largest id.
 * Throws RangeError for an id outside the vocabulary: a shorter list than `sequences` never comes back.
 */
export function poolingIndex(c: ClipTextConfig, sequences: readonly (readonly number[])[]): BigInt64Array {
  return BigInt64Array.from(sequences, (ids, b) => {
    const strange = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < c.vocab_size));
    if (strange !== undefined)
      throw new RangeError(
        `Token id ${strange} is not in the text encoder's vocabulary of ${c.vocab_size}; were its embeddings added?`,
      );
    const end = c.eos_token_id === 2 ? Math.max(...ids) : c.eos_token_id;
    return BigInt(b * ids.length + Math.max(0, ids.indexOf(end)));
  });
}

/** What encoders whose files carry it do not need: the numbers of the positions. */
const leftover = /(^|\.)position_ids$/;

/** The tensors of a text or vision encoder's file without `position_ids`, which old files carry. */
export const withoutPositionIds = <T>(tensors: ReadonlyMap<string, T>): Map<string, T> =>
  new Map([...tensors].filter(([name]) => !leftover.test(name)));

/** The encoder with further rows in its table of token embeddings (textual inversion), each of hidden_size values. */
export function withTokens(
  c: ClipTextConfig,
  params: ReadonlyMap<string, ParamArray>,
  vectors: readonly Float32Array[],
): { config: ClipTextConfig; params: Map<string, ParamArray> } {
  const name = "text_model.embeddings.token_embedding.weight";
  const table = params.get(name);
  if (!table) throw new RangeError(`Parameter ${name} is missing from the text encoder's weights.`);
  const wrong = vectors.find((vector) => vector.length !== c.hidden_size);
  if (wrong)
    throw new RangeError(
      `A textual inversion has vectors of width ${wrong.length}, but the text encoder's is ${c.hidden_size}; it belongs to another kind of model.`,
    );
  const data = new Float32Array(table.data.length + vectors.length * c.hidden_size);
  data.set(table.data);
  vectors.forEach((vector, i) => {
    data.set(vector, table.data.length + i * c.hidden_size);
  });
  const vocab_size = c.vocab_size + vectors.length;
  return {
    config: { ...c, vocab_size },
    params: new Map(params).set(name, { shape: [vocab_size, c.hidden_size], data }),
  };
}
