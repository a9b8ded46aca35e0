// fewstep in Node: everything of fewstep/browser, and a runtime on onnxruntime-node.
export * from "./browser.ts";
export { type NodeRuntimeOptions, nodeRuntime } from "./runtime/node.ts";
