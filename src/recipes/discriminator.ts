// A discriminator that looks at the features of a network, at samples that are noised (diffusion-GAN, Wang et al. 2022).

import { times } from "../clock.ts";
import type { Draws } from "../draws.ts";
import { add, concat, mul, type Tensor } from "../graph/index.ts";
import { features, headSpec, heads, middleFeatures } from "../nn/features.ts";
import { initialize } from "../nn/initialize.ts";
import { oneSample } from "../nn/network.ts";
import type { ParamSpec, Params } from "../nn/params.ts";
import { discriminatorLoss, generatorLoss } from "../objectives/adversarial.ts";
import { noised, read } from "../pair.ts";
import type { Key } from "../random.ts";
import { CRITIC, inside } from "./critics.ts";
import type { NetModel, Start, Table } from "./recipe.ts";

export interface Discriminator {
  /** Of the heads. */
  readonly spec: readonly ParamSpec[];
  readonly start: Float32Array;
  /** Logits [B, 1] of x, noised at a time and with a noise of these names. */
  judge(
    p: { network: Params; heads: Params },
    x: Tensor,
    at: { t: string; noise: string },
    prefix: string,
    draws: Draws,
  ): readonly Tensor[];
}

/** Heads on the features of a network. `named`: where they look; default: its middle. */
export function discriminator(start: Start, model: NetModel, named: readonly string[], seed: Key): Discriminator {
  const names = named.length > 0 ? named : middleFeatures(start.network);
  if (!names)
    throw new RangeError(
      "An ONNX file does not say what is computed inside, and a discriminator looks there. Use another method.",
    );
  const spec = headSpec(model, start.spec, names, times(1), ...oneSample(model));
  const see = features(model, names);
  return {
    spec,
    start: initialize(spec, seed),
    judge(p, sample, at, prefix, draws) {
      const t = draws.clock(at.t, inside);
      const state = read(noised(t, sample, draws.normal(at.noise)), (time) => model.form.at(time));
      const logits = heads(
        p.heads,
        names,
        see(p.network, draws.note(`state_${at.noise}`, state), t, draws.cond("full", prefix)),
      );
      draws.note(`logits_${at.noise}`, concat(logits, 1));
      return logits;
    },
  };
}

/**
 * The discriminator of DMD2: on the critic's own features, logistic, the mean of its heads as the one logit that it is
 * there. Its parameters are part of the critic's.
 */
export function ownDiscriminator(start: Start, named: readonly string[], seed: Key) {
  const own = discriminator(start, start.model, named, seed);
  const logit = (table: Table, x: Tensor, t: string, noise: string, draws: Draws): readonly Tensor[] => {
    const logits = own.judge({ network: table(CRITIC), heads: table(CRITIC) }, x, { t, noise }, "", draws);
    const sum = logits.reduce((a, b) => add(a, b));
    return [mul(sum, 1 / logits.length)];
  };
  return {
    ...own,
    /** What the student loses where its samples x are told from data [B]. */
    fooled: (table: Table, x: Tensor, draws: Draws): Tensor =>
      draws.note("losses_gan", generatorLoss("logistic", logit(table, x, "t_gan", "noise_gan", draws))),
    /** Its own loss on the student's samples x and on data [B]. */
    told(table: Table, x: Tensor, draws: Draws): Tensor {
      const ofFake = logit(table, x, "critic_t_gan", "critic_noise_fake", draws);
      const ofReal = logit(table, draws.data("x"), "critic_t_gan", "critic_noise_real", draws);
      return draws.note("discriminator", draws.note("losses_gan", discriminatorLoss("logistic", ofFake, ofReal)));
    },
  };
}
