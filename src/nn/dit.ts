// Diffusion transformer with adaLN-Zero (Peebles and Xie 2023, section 3.2).

import * as z from "zod";
import type { Cond } from "../condition.ts";
import {
  add,
  attention,
  constant,
  gelu,
  layerNorm,
  mul,
  reshape,
  silu,
  split,
  type Tensor,
  transpose,
} from "../graph/index.ts";
import { width as features, few, pixels, readConfig, refused } from "./config.ts";
import { sinusoid, timeEmbedding } from "./embed.ts";
import { embedding, linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";
import { block } from "./remat.ts";

const schema = z.object({
  channels: features.default(3),
  /** Height and width in pixels. */
  size: z.union([pixels, z.tuple([pixels, pixels])]).default(32),
  /** Side of a patch in pixels. */
  patch: pixels.default(2),
  width: features.default(192),
  depth: few.default(6),
  heads: few.default(3),
  /** Hidden width of the feed-forward part over width. */
  mlpRatio: z.number().positive().default(4),
  positions: z.enum(["sincos", "learned"]).default("sincos"),
  /** Classes, or null for none; label `classes` means "no label". */
  classes: features.nullable().default(null),
  /** Width of the embedded guidance, where a method tells it; see MethodConditions. */
  guidance: features.nullable().default(null),
  span: z.boolean().default(false),
});

export type DitConfig = Readonly<z.output<typeof schema>>;

export function readDitConfig(config: unknown): DitConfig {
  const c = readConfig("dit", schema, config);
  const [h, w] = ditSize(c);
  if (h % c.patch || w % c.patch) throw refused("dit", "size", c.size, `it must be a multiple of patch = ${c.patch}`);
  if (c.width % c.heads) throw refused("dit", "width", c.width, `it must be a multiple of heads = ${c.heads}`);
  if (c.width % 4) throw refused("dit", "width", c.width, "it must be a multiple of 4");
  return c;
}

export const ditSize = ({ size }: DitConfig): readonly [number, number] =>
  typeof size === "number" ? [size, size] : size;

/** x [B, channels, H, W], tau [B] in 0 to 1000, labels [B] int64 exactly when there are classes. Result as x. */
export function dit(c: DitConfig, p: Params, x: Tensor, tau: Tensor, cond: Cond): Tensor {
  const [rows, columns] = ditSize(c).map((n) => n / c.patch);
  let h = linear(p, "patch_embedding", patchify(x, c.patch), c.width);
  h = add(h, positions(c, p, rows, columns));
  let embedded = timeEmbedding(p, tau, cond, c.width, c, (t) => sinusoid(t, 256));
  if (c.classes !== null)
    embedded = add(embedded, embedding(p, "class_embedding", cond.labels, c.classes + 1, c.width, { normal: 0.02 }));
  const signal = silu(embedded);
  for (let i = 0; i < c.depth; i++) {
    const name = `blocks.${i}`;
    h = seen(
      p,
      name,
      block(p, () => transformer(c, p, name, h, signal)),
    );
  }
  const [shift, scale] = modulation(p, "final.modulation", signal, c.width, 2);
  h = linear(p, "final.linear", modulate(h, shift, scale), c.channels * c.patch ** 2, { init: "zeros" });
  return unpatchify(h, c.channels, rows, columns, c.patch);
}

function transformer(c: DitConfig, p: Params, name: string, x: Tensor, signal: Tensor): Tensor {
  const m = modulation(p, `${name}.modulation`, signal, c.width, 6);
  const attended = add(x, mul(m[2], selfAttention(c, p, `${name}.attention`, modulate(x, m[0], m[1]))));
  const inner = Math.round(c.width * c.mlpRatio);
  const hidden = gelu(linear(p, `${name}.mlp.linear_1`, modulate(attended, m[3], m[4]), inner), "tanh");
  return add(attended, mul(m[5], linear(p, `${name}.mlp.linear_2`, hidden, c.width)));
}

function selfAttention({ heads, width }: DitConfig, p: Params, name: string, x: Tensor): Tensor {
  const [batch, length] = x.shape;
  const headDim = width / heads;
  const qkv = transpose(
    reshape(linear(p, `${name}.qkv`, x, 3 * width), [batch, length, 3, heads, headDim]),
    [2, 0, 3, 1, 4],
  );
  const [q, k, v] = split(qkv, [1, 1, 1], 0).map((part) => reshape(part, [batch, heads, length, headDim]));
  const y = transpose(attention(q, k, v, { scale: 1 / Math.sqrt(headDim) }), [0, 2, 1, 3]);
  return linear(p, `${name}.proj`, reshape(y, [batch, length, width]), width);
}

/** `parts` tensors [B, 1, width], all zero at the start: each block begins as the identity (adaLN-Zero). */
function modulation(p: Params, name: string, signal: Tensor, width: number, parts: number): Tensor[] {
  const all = linear(p, name, signal, parts * width, { init: "zeros" });
  const image = reshape(all, [all.shape[0], 1, parts * width]);
  return [...split(image, Array<number>(parts).fill(width), 2)];
}

const modulate = (x: Tensor, shift: Tensor, scale: Tensor): Tensor =>
  add(mul(layerNorm(x, 1, undefined, undefined, 1e-6), add(scale, 1)), shift);

/** [B, C, H, W] to [B, patches, C patch patch]. */
function patchify(x: Tensor, patch: number): Tensor {
  const [batch, channels, height, width] = x.shape;
  const [rows, columns] = [height / patch, width / patch];
  const cut = transpose(reshape(x, [batch, channels, rows, patch, columns, patch]), [0, 2, 4, 1, 3, 5]);
  return reshape(cut, [batch, rows * columns, channels * patch * patch]);
}

function unpatchify(x: Tensor, channels: number, rows: number, columns: number, patch: number): Tensor {
  const cut = transpose(reshape(x, [x.shape[0], rows, columns, channels, patch, patch]), [0, 3, 1, 4, 2, 5]);
  return reshape(cut, [x.shape[0], channels, rows * patch, columns * patch]);
}

function positions(c: DitConfig, p: Params, rows: number, columns: number): Tensor {
  const shape = [1, rows * columns, c.width];
  if (c.positions === "learned") return p("positions", shape, { normal: 0.02 });
  // Half of the width for the row, half for the column, each [sin | cos] (MAE, He et al. 2021).
  const quarter = c.width / 4;
  const table = new Float32Array(rows * columns * c.width);
  for (let r = 0; r < rows; r++)
    for (let col = 0; col < columns; col++)
      for (let i = 0; i < quarter; i++) {
        const at = (r * columns + col) * c.width + i;
        const frequency = 10000 ** (-i / quarter);
        table[at] = Math.sin(r * frequency);
        table[at + quarter] = Math.cos(r * frequency);
        table[at + 2 * quarter] = Math.sin(col * frequency);
        table[at + 3 * quarter] = Math.cos(col * frequency);
      }
  return constant(table, shape);
}
