// fewstep in Node: everything of fewstep/browser, and a runtime on onnxruntime-node.
export * from "./browser.ts";
export { type NodeRuntimeOptions, nodeRuntime, placement } from "./runtime/node.ts";
export { misplaced, type Placed } from "./runtime/placement.ts";
