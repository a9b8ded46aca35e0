// Opening a session on a device.

import type { Device, EmittedModel } from "../graph/index.ts";
import type { CompileOptions, OrtModule, OrtSession } from "./runtime.ts";

/** Whether outputs can stay on the device from one run to the next. */
export const keeps = (device: Device): boolean => device === "webgpu";

/** Throws an Error with a sentence where the device cannot run the model. */
export async function openSession(
  ort: OrtModule,
  device: Device,
  threads: number,
  model: EmittedModel,
  options: CompileOptions,
): Promise<OrtSession> {
  const kept = keeps(device) ? model.outputs.filter((o) => options.keep?.includes(o.key)) : [];
  const session = ort.InferenceSession.create(model.bytes, {
    executionProviders: [device],
    graphOptimizationLevel: options.optimization ?? "all",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // The pattern's single block would come on top of what the first run allocated: half as much memory again, or more.
    enableMemPattern: false,
    logSeverityLevel: 3,
    ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
    ...(kept.length > 0
      ? { preferredOutputLocation: Object.fromEntries(kept.map((o) => [o.name, "gpu-buffer"])) }
      : {}),
    ...(options.deviceOnly ? { extra: { session: { disable_cpu_ep_fallback: "1" } } } : {}),
  });
  try {
    return await session;
  } catch (cause) {
    if (device === "cpu" || device === "wasm") throw cause;
    throw new Error(
      `The device ${device} cannot run this program: ${firstLine(cause)} Use --device cpu, or install what ONNX Runtime needs for ${device}.`,
      { cause },
    );
  }
}

/** What a native error says, without its stack, colors and source files. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const line = text
    .split("\n")[0]
    .replace(/.*(\/onnxruntime_src\/\S+|was false\.)\s*/, "")
    .trim();
  return /[.!?]$/.test(line) ? line : `${line}.`;
}
