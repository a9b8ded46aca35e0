// Normalizations.

import * as g from "../../graph/index.ts";
import { sizeOf, type Tensor } from "../../graph/tensor.ts";
import { at, type Call, int, maybe, number, type Rules, rule } from "../call.ts";
import { axisIn } from "../value.ts";

const perChannel = (w: Tensor, rank: number): Tensor =>
  g.reshape(w, [1, -1, ...new Array<number>(Math.max(0, rank - 2)).fill(1)]);

function batchNorm(call: Call): Tensor {
  const [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map((i) => at(call, i));
  const rank = x.shape.length;
  // One multiplication and one addition per value; the rest is as small as the channels are many.
  const slope = g.div(scale, g.sqrt(g.add(variance, number(call, "epsilon", 1e-5))));
  const offset = g.sub(bias, g.mul(mean, slope));
  return g.add(g.mul(x, perChannel(slope, rank)), perChannel(offset, rank));
}

/** Version 18 has a scale per group, 21 one per channel. */
function groupNorm(call: Call): Tensor {
  const x = at(call, 0);
  const groups = int(call, "num_groups", 1);
  const channels = x.shape[1];
  const spread = (w: Tensor): Tensor =>
    w.shape[0] === channels
      ? w
      : g.reshape(g.broadcastTo(g.reshape(w, [groups, 1]), [groups, channels / groups]), [channels]);
  return g.groupNorm(x, groups, spread(at(call, 1)), spread(at(call, 2)), number(call, "epsilon", 1e-5));
}

/** The further outputs, mean and inverse deviation, cost nothing where nobody reads them. */
function layerNorm(call: Call, x = at(call, 0), scale = at(call, 1), bias = maybe(call, 2)): Tensor[] {
  const axis = axisIn(x, int(call, "axis", -1));
  const eps = number(call, "epsilon", 1e-5);
  const tail = x.shape.slice(axis);
  const shaped = (w: Tensor): Tensor => (sizeOf(w.shape) === sizeOf(tail) ? g.reshape(w, tail) : w);
  const plain = isAll(scale, 1) ? undefined : shaped(scale);
  const axes = tail.map((_, i) => axis + i);
  const y = g.layerNorm(x, tail.length, plain, bias && shaped(bias), eps);
  return [y, g.mean(x, axes, true), g.rsqrt(g.add(g.variance(x, axes, true), eps))];
}
/** Exporters give ones and zeros to normalizations without weights. */
const isAll = ({ source }: Tensor, value: number): boolean =>
  source.kind === "constant" && source.data instanceof Float32Array && source.data.every((v) => v === value);

/** Also x + skip (+ bias), as the fourth output. */
function skipLayerNorm(call: Call): Tensor[] {
  const bias = maybe(call, 4);
  const sum = g.add(at(call, 0), at(call, 1));
  const x = bias ? g.add(sum, bias) : sum;
  return [...layerNorm(call, x, at(call, 2), maybe(call, 3)), x];
}

function rmsNorm(call: Call): Tensor {
  const x = at(call, 0);
  const dims = x.shape.length - axisIn(x, int(call, "axis", -1));
  return g.rmsNorm(x, dims, at(call, 1), number(call, "epsilon", 1e-5));
}

function lpNorm(call: Call): Tensor {
  const x = at(call, 0);
  const axes = [axisIn(x, int(call, "axis", -1))];
  const size = int(call, "p", 2) === 1 ? g.sum(g.abs(x), axes, true) : g.sqrt(g.sum(g.square(x), axes, true));
  return g.div(x, size);
}

export const norm: Rules = {
  BatchNormalization: rule("epsilon momentum spatial", batchNorm, { training_mode: [0] }),
  InstanceNormalization: rule("epsilon", (call) => {
    const [x, w, b] = [0, 1, 2].map((i) => at(call, i));
    const affine = isAll(w, 1) && isAll(b, 0) ? [] : [w, b];
    return g.groupNorm(x, x.shape[1], affine[0], affine[1], number(call, "epsilon", 1e-5));
  }),
  GroupNormalization: rule("epsilon num_groups", groupNorm, { stash_type: [1] }),
  LayerNormalization: rule("axis epsilon", (call) => layerNorm(call), { stash_type: [1] }),
  RMSNormalization: rule("axis epsilon", rmsNorm, { stash_type: [1] }),
  LpNormalization: rule("axis", lpNorm, { p: [1, 2] }),
  "com.microsoft.SkipLayerNormalization": rule("epsilon", skipLayerNorm),
};
