// A residual network for points: two-dimensional data and other small vectors.

import * as z from "zod";
import type { Cond } from "../condition.ts";
import { add, silu, type Tensor } from "../graph/index.ts";
import { width as features, few, readConfig } from "./config.ts";
import { sinusoid, timeEmbedding } from "./embed.ts";
import { embedding, layerNorm, linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";
import { block } from "./remat.ts";

const schema = z.object({
  /** Numbers in one sample. */
  dim: features.default(2),
  width: features.default(128),
  /** Residual blocks. */
  depth: few.default(4),
  /** Classes, or null for none; label `classes` means "no label". */
  classes: features.nullable().default(null),
  /** Width of the embedded guidance, where a method tells it; see MethodConditions. */
  guidance: features.nullable().default(null),
  span: z.boolean().default(false),
});

export type MlpConfig = Readonly<z.output<typeof schema>>;

export const readMlpConfig = (config: unknown): MlpConfig => readConfig("mlp", schema, config);

/** x [B, dim], tau [B] in 0 to 1000, labels [B] int64 exactly when there are classes. Result [B, dim]. */
export function mlp(c: MlpConfig, p: Params, x: Tensor, tau: Tensor, cond: Cond): Tensor {
  const { dim, width, depth, classes } = c;
  let embedded = timeEmbedding(p, tau, cond, width, c, (t) => sinusoid(t, width));
  if (classes !== null) embedded = add(embedded, embedding(p, "class_embedding", cond.labels, classes + 1, width));
  const signal = silu(embedded);
  let h = linear(p, "input", x, width);
  for (let i = 0; i < depth; i++) {
    const name = `blocks.${i}`;
    h = block(p, () => {
      const inner = add(
        linear(p, `${name}.linear_1`, layerNorm(p, `${name}.norm`, h), width),
        linear(p, `${name}.condition`, signal, width),
      );
      return seen(p, name, add(h, linear(p, `${name}.linear_2`, silu(inner), width)));
    });
  }
  return linear(p, "output", silu(layerNorm(p, "norm_out", h)), dim, { init: "zeros" });
}
