// fewstep in Node: load a model, train, accelerate, sample, evaluate, compare. The parts behind these verbs are in fewstep/recipes and
// fewstep/node; what needs no Node is in fewstep/browser.

export type { CallEvent, CallOptions } from "./node/call.ts";
export type { PlanInput } from "./node/compare/planSchema.ts";
export type { Compared } from "./node/compare.ts";
export type { Report } from "./node/evaluationReport.ts";
export { Interrupted, UsageError } from "./node/failure.ts";
export type { LoadedModel } from "./node/models.ts";
export type { Drawn, SaveOptions } from "./node/sample.ts";
export {
  type AccelerateRequest,
  accelerate,
  type CompareRequest,
  compare,
  type EvaluateRequest,
  evaluate,
  type LoadOptions,
  load,
  type MethodName,
  type MethodOptions,
  type ReadyModel,
  type SampleRequest,
  type SampleSet,
  type Sampling,
  sample,
  type TrainedModel,
  type TrainingRequest,
  type TrainRequest,
  train,
} from "./node/verbs.ts";
export * from "./recipes/index.ts";
export { version } from "./version.ts";
