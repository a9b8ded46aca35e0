// ONNX Runtime in Node.

import * as ort from "onnxruntime-node";
import type { Device } from "../graph/index.ts";
import { createRuntime, type OrtModule, type Runtime } from "./runtime.ts";

export interface NodeRuntimeOptions {
  device?: Exclude<Device, "wasm">;
  /** Threads of one operator; default: the machine's cores. */
  threads?: number;
}

export function nodeRuntime({ device = "cpu", threads = 0 }: NodeRuntimeOptions = {}): Runtime {
  const supported = ort.listSupportedBackends().map((b) => b.name);
  if (!supported.includes(device))
    throw new Error(`This build of onnxruntime-node has no device "${device}". It has: ${supported.join(", ")}.`);
  return createRuntime(ort as unknown as OrtModule, device, threads);
}
