// Models of diffusers from its folders, and pipelines of their parts.

export * from "./changes.ts";
export { type ClassFacts, decideLabels, type LabelFacts, type Labels, NULL_LABEL_KEY } from "./classes.ts";
export { clipPixels, readClipPreprocessing } from "./clipPixels.ts";
export * from "./delta.ts";
export * from "./deltaLora.ts";
export type { ControlInput } from "./denoiser.ts";
export { type ExternalFile, externalArrays, liesReady, widenedChunks } from "./externalWeights.ts";
export { type FolderModel, type FolderParts, type OnnxFolderParts, readFolder, readOnnxFolder } from "./folder.ts";
export { type LatentOptions, toLatents, toPictures } from "./latents.ts";
export * from "./lora.ts";
export {
  type Generated,
  type GenerateEvent,
  type GenerateOptions,
  type Noise,
  type Pipeline,
  pipeline,
  type SizeConditions,
} from "./pipeline.ts";
export type { Part, PipelineParts, TextPart, VaePart } from "./pipelineParts.ts";
export { latentPreview, type PreviewMap, previewMap } from "./preview.ts";
export { type Prompt, type PromptOptions, promptIds } from "./prompt.ts";
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
export { isSingleFile, type Part as PartName, type SingleFile, splitSingleFile } from "./singleFile.ts";
export { readTextualInversion, type TextualInversion, withInversions } from "./textualInversion.ts";
export { type Image, sliced, type Tiling, tiled, tileSizes } from "./tiles.ts";
export { type ClipTokenizer, clipTokenizer, type TokenizerFiles } from "./tokenizer.ts";
export { unetParameters } from "./unetParameters.ts";
export { checkWeights, chooseWeights, modernIndex, openWeights, readParams, type WeightsFile } from "./weights.ts";
