// Models of diffusers from its folders; their weights as they lie on disk; deltas and LoRAs.
export * from "./changes.ts";
export { decideLabels, type LabelFacts, type Labels, NULL_LABEL_KEY } from "./classes.ts";
export * from "./delta.ts";
export * from "./deltaLora.ts";
export { type ExternalFile, externalArrays, liesReady, widenedChunks } from "./externalWeights.ts";
export { type FolderModel, type FolderParts, type OnnxFolderParts, readFolder, readOnnxFolder } from "./folder.ts";
export * from "./lora.ts";
export { type Change, rewritten } from "./rewrite.ts";
export { readScheduler, type SchedulerForm } from "./scheduler.ts";
export {
  createScheduler,
  type DiffusersScheduler,
  type RunOptions,
  runScheduler,
  type SamplingOptions,
  type SchedulerConfig,
  type SchedulerName,
  schedulerNames,
} from "./schedulers/index.ts";
export { isSingleFile, type Part, type SingleFile, splitSingleFile } from "./singleFile.ts";
export { unetParameters } from "./unetParameters.ts";
export { checkWeights, chooseWeights, modernIndex, openWeights, readParams, type WeightsFile } from "./weights.ts";
