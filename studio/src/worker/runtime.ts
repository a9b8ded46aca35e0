// ONNX Runtime in this worker.
import { createRuntime, type OrtModule, type Runtime } from "fewstep/browser";
import * as ort from "onnxruntime-web/wasm";
import type { DeviceInfo } from "./protocol.ts";

export async function openRuntime(): Promise<{ runtime: Runtime; info: DeviceInfo; ort: OrtModule }> {
  ort.env.wasm.numThreads = 1;
  const runtime = createRuntime(ort as unknown as OrtModule, "wasm", 1);
  return {
    ort: ort as unknown as OrtModule,
    runtime,
    info: { device: "Wasm", threads: 1, isolated: self.crossOriginIsolated === true },
  };
}
