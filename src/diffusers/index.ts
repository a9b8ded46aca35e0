// Models of diffusers from its folders.
export { type FolderModel, type FolderParts, readFolder } from "./folder.ts";
export { readScheduler, type SchedulerForm } from "./scheduler.ts";
