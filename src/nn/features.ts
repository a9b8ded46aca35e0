// What a network computes inside: named activations, and a discriminator's small heads on them.

import type { Clock } from "../clock.ts";
import type { Cond } from "../condition.ts";
import { mean, reshape, silu, type Tensor, transpose } from "../graph/index.ts";
import type { Model } from "../model.ts";
import { linear } from "./layers.ts";
import type { Network } from "./network.ts";
import { collectParams, type ParamSpec, type Params, tapped, within } from "./params.ts";

/** Activations [B, channels, …] of a network under these names, at x. Throws a RangeError for a name that is not there. */
export function features(
  model: Model<Params>,
  names: readonly string[],
): (p: Params, x: Tensor, clock: Clock, cond: Cond) => readonly Tensor[] {
  return (p, x, clock, cond) => {
    const seen = new Map<string, Tensor>();
    model.apply(
      tapped(p, (name, value) => seen.set(name, value)),
      x,
      clock,
      cond,
    );
    return names.map((name) => {
      const found = seen.get(name);
      if (found) return found;
      const some = [...seen.keys()].filter((n) => n.split(".").length <= 2).slice(0, 12);
      throw new RangeError(`The network has no feature "${name}"; it has ${some.join(", ")} and what is inside them.`);
    });
  };
}

/** Where a discriminator looks unless told: the middle of a network. Undefined for one whose inside is not ours. */
export function middleFeatures({ family, config }: Network): readonly string[] | undefined {
  if (family === "onnx" || family === "exact") return undefined;
  if ("depth" in config) return [`blocks.${family === "dit" ? Math.floor(config.depth / 2) : config.depth - 1}`];
  return ["mid_block"];
}

/**
 * One number per sample and feature [B, features]: linear, SiLU, linear at every position, averaged over positions.
 * Parameters "heads.<feature>.linear_1", ".linear_2".
 */
export function heads(p: Params, names: readonly string[], values: readonly Tensor[]): readonly Tensor[] {
  return names.map((name, i) => {
    const rows = positions(values[i]);
    const own = within(p, `heads.${name}.`);
    const hidden = silu(linear(own, "linear_1", rows, rows.shape[2]));
    return reshape(mean(linear(own, "linear_2", hidden, 1), [1, 2]), [rows.shape[0], 1]);
  });
}

/** [B, C, …] as [B, positions, C]; what a transformer computes lies like that already. */
function positions(x: Tensor): Tensor {
  const [batch, channels] = x.shape;
  if (x.shape.length === 2) return reshape(x, [batch, 1, channels]);
  if (x.shape.length === 3) return x;
  return transpose(reshape(x, [batch, channels, -1]), [0, 2, 1]);
}

/** Parameters of the heads on these features, by shapes seen on a batch of one. */
export function headSpec(
  model: Model<Params>,
  spec: readonly ParamSpec[],
  names: readonly string[],
  clock: Clock,
  x: Tensor,
  cond: Cond,
): readonly ParamSpec[] {
  const known = new Set(spec.map(({ name }) => name));
  return collectParams((p) => heads(p, names, features(model, names)(p, x, clock, cond))).filter(
    ({ name }) => !known.has(name),
  );
}
