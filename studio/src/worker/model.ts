// Models as they come from the page: files by their names.
import { memorySource, type OpenedModel, openModel } from "fewstep/browser";
import type { ModelFiles } from "./protocol.ts";

/** Throws an Error, one sentence, for files that are no model or do not fit each other. */
export const openFiles = ({ name, files }: ModelFiles): Promise<OpenedModel> => openModel(memorySource(files, name));
