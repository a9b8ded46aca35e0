// A small convolutional classifier, whose last hidden layer serves as features for Frechet and kernel distances.

import * as z from "zod";
import { reshape, silu, type Tensor } from "../graph/index.ts";
import { readConfig } from "./config.ts";
import { conv2d, groupNorm, linear } from "./layers.ts";
import { type Params, seen } from "./params.ts";

const count = z.int().positive();

const schema = z.object({
  channels: count.default(1),
  /** Height and width in pixels. */
  size: count.default(28),
  /** Channels of the convolutions; each but the first halves the size. Multiples of 8. */
  widths: z.array(count.multipleOf(8)).min(1).default([16, 32, 64]),
  features: count.default(64),
  classes: count.default(10),
});

export type ClassifierConfig = Readonly<z.output<typeof schema>>;

export const readClassifierConfig = (config: unknown): ClassifierConfig => readConfig("classifier", schema, config);

/** x [B, channels, size, size] in [-1, 1] to features [B, features] and logits [B, classes]. */
export function classifier(c: ClassifierConfig, p: Params, x: Tensor): { features: Tensor; logits: Tensor } {
  let h = x;
  c.widths.forEach((out, i) => {
    h = silu(groupNorm(p, `norms.${i}`, conv2d(p, `convs.${i}`, h, { out, stride: i === 0 ? 1 : 2 }), 8, 1e-5));
  });
  const flat = reshape(h, [h.shape[0], h.shape[1] * h.shape[2] * h.shape[3]]);
  const features = seen(p, "features", silu(linear(p, "hidden", flat, c.features)));
  return { features, logits: linear(p, "output", features, c.classes) };
}
