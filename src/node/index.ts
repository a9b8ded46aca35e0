// fewstep/node: everything of fewstep/browser, ONNX Runtime in Node, and files on disk.
export * from "../browser.ts";
export { type NodeRuntimeOptions, nodeRuntime, placement } from "../runtime/node.ts";
export { misplaced, type Placed } from "../runtime/placement.ts";
export { openData, openSafetensors, readSafetensors as readSafetensorsFile, type SafetensorsFile } from "./files.ts";
export { loadModel, outlineModel, saveModel } from "./models.ts";
