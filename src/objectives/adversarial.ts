// Adversarial losses of a discriminator with several heads: logits [B, 1] each, positive for real.

import { add, mul, neg, relu, reshape, softplus, sub, type Tensor } from "../graph/index.ts";

/** "hinge-relu" is "hinge" with a student that stops pushing where it is believed. */
export type GanKind = "hinge" | "hinge-relu" | "logistic";

/** softplus(D(fake)) + softplus(−D(real)), or relu(1 + D(fake)) + relu(1 − D(real)): [B]. */
export function discriminatorLoss(kind: GanKind, fake: readonly Tensor[], real: readonly Tensor[]): Tensor {
  const [ofFake, ofReal] =
    kind === "logistic"
      ? [softplus, (d: Tensor) => softplus(neg(d))]
      : [(d: Tensor) => relu(add(1, d)), (d: Tensor) => relu(sub(1, d))];
  return add(overHeads(fake, ofFake), overHeads(real, ofReal));
}

/** softplus(−D), −D or relu(1 − D): [B]. */
export function generatorLoss(kind: GanKind, fake: readonly Tensor[]): Tensor {
  if (kind === "logistic") return overHeads(fake, (d) => softplus(neg(d)));
  return overHeads(fake, kind === "hinge" ? neg : (d) => relu(sub(1, d)));
}

/** What a discriminator loses that answers 0 to everything. */
export const knowsNothing = (kind: GanKind): number => (kind === "logistic" ? 2 * Math.LN2 : 2);

/** The mean over heads [B]. */
function overHeads(logits: readonly Tensor[], f: (logit: Tensor) => Tensor): Tensor {
  const sum = logits.map(f).reduce((a, b) => add(a, b));
  return reshape(mul(sum, 1 / logits.length), [sum.shape[0]]);
}
