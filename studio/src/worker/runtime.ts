// ONNX Runtime in this worker.
import { type WebRuntime, webRuntime } from "fewstep/browser";
import * as ort from "onnxruntime-web/wasm";
import type { DeviceInfo } from "./protocol.ts";

/** One thread: these networks are small, and more need a page that is cross-origin isolated. */
const THREADS = 1;

export async function openRuntime(): Promise<{ runtime: WebRuntime; info: DeviceInfo }> {
  const runtime = await webRuntime(ort, { threads: THREADS });
  return { runtime, info: { device: "Wasm", threads: runtime.threads, notes: runtime.notes } };
}
