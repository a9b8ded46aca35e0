// Models of diffusers from its folders.

export { decideLabels, type LabelFacts, type Labels, NULL_LABEL_KEY } from "./classes.ts";
export { type FolderModel, type FolderParts, type OnnxFolderParts, readFolder, readOnnxFolder } from "./folder.ts";
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
