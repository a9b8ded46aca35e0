// A start whose network is told more than its teacher's: the same weights, and new ones that change nothing at first.

import { inForm, networkModel } from "../model.ts";
import type { MethodConditions } from "../nn/embed.ts";
import { initialize } from "../nn/initialize.ts";
import { collect, toldMore } from "../nn/network.ts";
import { flatten, fromConstants, unflatten } from "../nn/params.ts";
import type { Key } from "../random.ts";
import type { Start } from "./recipe.ts";

/** Throws a RangeError for a network whose inside is not ours. */
export function told(start: Start, more: Partial<MethodConditions>, seed: Key): Start {
  const network = toldMore(start.network, more);
  const spec = collect(network);
  const own = unflatten(start.spec, start.theta);
  const fresh = unflatten(spec, initialize(spec, seed));
  const arrays = new Map([...fresh].map(([name, array]) => [name, own.get(name) ?? array]));
  const { form, native, prediction, own: predicts } = start.model;
  const read = networkModel(network, native ?? form, predicts ?? prediction, start.timeInput);
  return {
    ...start,
    network,
    model: native ? inForm(read, form) : read,
    spec,
    theta: flatten(spec, arrays),
    params: fromConstants(arrays),
  };
}
