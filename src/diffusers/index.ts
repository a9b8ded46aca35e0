// Models of diffusers from its folders.
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
