// Attention.

import { attentionInPieces } from "./attentionPieces.ts";
import type { Tensor } from "./tensor.ts";

export interface AttentionOptions {
  /** Default 1/√(head size). */
  scale?: number;
  /** bool: keep where true; float: added to the scores. Broadcasts to [B, heads, Lq, Lk]. */
  mask?: Tensor;
  /** Keep key ≤ query. */
  causal?: boolean;
}

/**
 * softmax(q kᵀ·scale + mask) v; q [B, heads, Lq, d], k [B, heads, Lk, d], v [B, heads, Lk, dv]. Large scores are never
 * held as a whole: see attentionPieces.ts.
 */
export const attention = (q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor =>
  attentionInPieces(q, k, v, options);
