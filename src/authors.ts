// fewstep/recipes: every recipe, and what one of your own is made of beside fewstep/core and fewstep/graph. See
// examples/ownRecipe.ts, and CONTRIBUTING.md for one that is to become part of fewstep.

/** Options are schemas of this zod: one of another version does not fit. */
export { z } from "zod";
export type { Clock, MovingClock } from "./clock.ts";
export { type Column, type Columns, type Cond, canBeGuided, classCount, labelColumn, nullLabel } from "./condition.ts";
export type { Coupling } from "./couplings/coupling.ts";
export { independent } from "./couplings/independent.ts";
export { storedPairs } from "./couplings/storedPairs.ts";
export { type WindowPairsOptions, windowPairs } from "./couplings/windowPairs.ts";
export type { CondKind, Draws } from "./draws.ts";
export { guided, inForm, type Model, networkModel, predict, type TimeInput } from "./model.ts";
export { middleFeatures } from "./nn/features.ts";
export {
  buildNetwork,
  type Network,
  type NetworkSpec,
  type ParamMap,
  type ParamSpec,
  type Params,
} from "./nn/index.ts";
export { type Distance, type DistanceSpec, distance } from "./objectives/distances.ts";
export { meanOfSample, type Regression, type RegressOptions, regress } from "./objectives/regress.ts";
export type { AdamWOptions } from "./optim/adamw.ts";
export { dataRow, noised, noiseRow, type Pair, type RowAt, read, straightRow } from "./pair.ts";
export { fold, type Key, key } from "./random.ts";
export * from "./recipes/index.ts";
export {
  atTimes,
  blindAtNoise,
  distanceOf,
  evenly,
  option,
  passes,
  perWindow,
  type Regressing,
  regressing,
  stageOf,
  student,
} from "./recipes/parts.ts";
export { KEPT, type Need, type PairSource, recipe, type Source, STUDENT } from "./recipes/recipe.ts";
export { startOf } from "./recipes/start.ts";
export type { SamplerSpec } from "./run/card.ts";
export { type SolverInGraph, solve } from "./solve.ts";
