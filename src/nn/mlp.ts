// A residual network for points: two-dimensional data and other small vectors.

import { z } from "zod";
import { add, silu, type Tensor } from "../graph/index.ts";
import { width as features, few, readConfig } from "./config.ts";
import { sinusoid, timestepMlp } from "./embed.ts";
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
});

export type MlpConfig = Readonly<z.output<typeof schema>>;

export const readMlpConfig = (config: unknown): MlpConfig => readConfig("mlp", schema, config);

/** x [B, dim], tau [B] in 0 to 1000, labels [B] int64 exactly when there are classes. Result [B, dim]. */
export function mlp(
  { dim, width, depth, classes }: MlpConfig,
  p: Params,
  x: Tensor,
  tau: Tensor,
  labels?: Tensor,
): Tensor {
  let cond = timestepMlp(p, "time_embedding", sinusoid(tau, width), width);
  if (classes !== null && labels) cond = add(cond, embedding(p, "class_embedding", labels, classes + 1, width));
  const signal = silu(cond);
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
