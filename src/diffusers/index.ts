// Models of diffusers from its folders, and pipelines of their parts.

export { decideLabels, type LabelFacts, type Labels, NULL_LABEL_KEY } from "./classes.ts";
export { clipPixels, readClipPreprocessing } from "./clipPixels.ts";
export type { ControlInput } from "./denoiser.ts";
export { type FolderModel, type FolderParts, type OnnxFolderParts, readFolder, readOnnxFolder } from "./folder.ts";
export { type LatentOptions, toLatents, toPictures } from "./latents.ts";
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
export { readTextualInversion, type TextualInversion, withInversions } from "./textualInversion.ts";
export { type Image, sliced, type Tiling, tiled, tileSizes } from "./tiles.ts";
export { type ClipTokenizer, clipTokenizer, type TokenizerFiles } from "./tokenizer.ts";
