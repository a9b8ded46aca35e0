// Everything that does not need Node. In a page: `await webRuntime(ort)` with the module onnxruntime-web/wasm; see docs/browser.md.

// What a step is fed, and what networks are told.
export { type Clock, type Clocks, clocks, type Times, times } from "./clock.ts";
export { type Column, type Columns, type Cond, classCount, labelColumn, nullLabel } from "./condition.ts";
// Times, forms, predictions.
export {
  chord,
  coefficients,
  cosine,
  edm,
  eps,
  type Form,
  type FormSpec,
  formFromSpec,
  type Grid,
  karrasGrid,
  linear,
  logitNormal,
  logSnr,
  logSnrGrid,
  type Prediction,
  predictionByName,
  type Row,
  spacedGrid,
  startScale,
  subVp,
  type TimeLaw,
  table,
  tickWindows,
  transfer,
  uniformGrid,
  uniformWindows,
  ve,
  velocity,
  vPrediction,
  vp,
  type Windows,
  windowGrid,
  x0,
} from "./core/index.ts";
// How batches become trajectories to learn from.
export type { Coupling } from "./couplings/coupling.ts";
export { independent } from "./couplings/independent.ts";
export { storedPairs } from "./couplings/storedPairs.ts";
export { type WindowPairsOptions, windowPairs } from "./couplings/windowPairs.ts";
// Data.
export { arrayDataset, type Batch, type BatchStream, batches, type Dataset, imageDataset } from "./data/dataset.ts";
export { type OpenOptions, openFiles, openToy } from "./data/open.ts";
export { gridPng, sampleGrid } from "./data/png.ts";
export { readSafetensors, type StoredTensor, writeSafetensors } from "./data/safetensors.ts";
export { type FileSource, memorySource } from "./data/source.ts";
export { type ToyName, toy, toyDataset, toyNames } from "./data/toy2d.ts";
// Models.
export {
  type FolderModel,
  type FolderParts,
  type OnnxFolderParts,
  readFolder,
  readOnnxFolder,
} from "./diffusers/folder.ts";
export { type Batch as StepBatch, type Draws, drawsOf } from "./draws.ts";
export { sha256 } from "./hash.ts";
// Measuring.
export { energyDistance, frechetDistance, mmd2, rows, slicedWasserstein, wasserstein } from "./metrics/index.ts";
export { guided, inForm, type Model, networkModel, predict, type TimeInput } from "./model.ts";
export {
  buildNetwork,
  collect,
  countParams,
  flatten,
  fromConstants,
  fromExternal,
  initialize,
  type Network,
  type NetworkSpec,
  type ParamMap,
  type ParamSpec,
  type Params,
  unflatten,
} from "./nn/index.ts";
// Objectives and recipes.
export { type DistanceSpec, distance } from "./objectives/distances.ts";
export { type Regression, type RegressOptions, regress } from "./objectives/regress.ts";
// Models of others.
export {
  externalFiles,
  type ImportOptions,
  importOnnx,
  type OnnxModel,
  type OnnxParameter,
  type ParameterSource,
} from "./onnx/index.ts";
// A page's own: models from picked and fetched files, trainings in memory, pixels.
export { type DrawOptions, draw } from "./page/draw.ts";
export { freshStart, type MemoryRun, type MemoryRunOptions, type MemoryTraining, memoryRun } from "./page/memoryRun.ts";
export type { KeptModel } from "./page/memoryStore.ts";
export { type OpenedModel, openModel } from "./page/openModel.ts";
export { type Pixels, toPixels } from "./page/pixels.ts";
export { fetchedFiles, type PickedFile, pickedFiles } from "./page/sources.ts";
export { noised, type Pair, read } from "./pair.ts";
export { fold, type Key, key, normal } from "./random.ts";
export * from "./recipes/index.ts";
export { recipe } from "./recipes/recipe.ts";
export { startOf } from "./recipes/start.ts";
// Training, sampling, pairs.
export { CARD_FORMAT, type Card, describeModel, modelOf, parseCard, type SamplerSpec } from "./run/card.ts";
export { flagName } from "./run/config.ts";
export { type EvaluateOptions, type Evaluation, endsOf, evaluate, type FeatureMap } from "./run/evaluate.ts";
export { type Job, type JobEvent, runJob, type Store } from "./run/job.ts";
export { outline, stagesOf } from "./run/outline.ts";
export { type Pairs, type PairsEvent, type PairsOptions, shardCount, teacherPairs } from "./run/pairs.ts";
export { measurePaths, type Paths, type PathsOptions, pathGrid } from "./run/paths.ts";
export {
  type SampleEvent,
  type SampleOptions,
  type Sampler,
  type Samples,
  sample,
  sampleAll,
  sampler,
  samplingGrid,
} from "./run/sample.ts";
export {
  freshState,
  keptOf,
  NotFinite,
  randomWeights,
  type TrainEvent,
  type TrainOptions,
  type TrainState,
  train,
} from "./run/train.ts";
export { type Foreign, type ForeignOptions, openForeign } from "./runtime/foreign.ts";
export {
  type CompileOptions,
  createRuntime,
  type DeviceTensor,
  type Feeds,
  type Fetched,
  type Held,
  type OrtModule,
  type Program,
  type Runtime,
} from "./runtime/index.ts";
export { turn } from "./runtime/turn.ts";
export { type OrtWeb, type WebRuntime, type WebRuntimeOptions, webRuntime } from "./runtime/web.ts";
export { type SolverInGraph, solve } from "./solve.ts";
export { integrate, type Solver, solverByName, solvers } from "./solvers/index.ts";
export { version } from "./version.ts";
