// Opening a session on a device.

import { type Device, type EmittedModel, emitModel, input, matmul, type Precision } from "../graph/index.ts";
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
  if (model.external && device === "wasm")
    throw new Error(
      `The weights of this program lie in files (${[...model.external.versions.keys()].join(", ")}), which only Node can read. Give them as constants.`,
    );
  const config: Record<string, string> = {
    ...(options.deviceOnly ? { disable_cpu_ep_fallback: "1" } : {}),
    ...((options.prepack ?? model.external === undefined) ? {} : { disable_prepacking: "1" }),
    // The model has no path of its own; ONNX Runtime takes names from here, and no absolute ones.
    ...(model.external ? { model_external_initializers_file_folder_path: model.external.folder } : {}),
  };
  const kept = keeps(device) ? model.outputs.filter((o) => options.keep?.includes(o.key)) : [];
  const session = ort.InferenceSession.create(model.bytes, {
    executionProviders: [device],
    // Of weights in files "all" would make copies of convolutions in its own layout: about twenty evaluations of a large
    // network win back what loading takes longer (docs/delta-weights.md).
    graphOptimizationLevel: options.optimization ?? (model.external ? "extended" : "all"),
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // The pattern's single block would come on top of what the first run allocated: half as much memory again, or more.
    enableMemPattern: false,
    // Fatal errors only: what fails is thrown, and said in a sentence.
    logSeverityLevel: 4,
    ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
    ...(kept.length > 0
      ? { preferredOutputLocation: Object.fromEntries(kept.map((o) => [o.name, "gpu-buffer"])) }
      : {}),
    ...(Object.keys(config).length > 0 ? { extra: { session: config } } : {}),
  });
  try {
    return await session;
  } catch (cause) {
    if (device === "cpu" || device === "wasm" || ort.sentences) throw cause;
    throw new Error(
      `The device ${device} cannot run this program: ${firstLine(cause)} Use --device cpu, or ${device === "webgpu" ? "install a driver (on Linux: Vulkan)" : `install what ONNX Runtime needs for ${device}`}.`,
      { cause },
    );
  }
}

/**
 * Throws a sentence where the device cannot be opened, or computes no float16. The CPU computes that in float32, with the
 * same roundings.
 */
export async function checkDevice(ort: OrtModule, device: Device, precision: Precision): Promise<void> {
  const x = input("x", [1, 1]);
  const model = emitModel({ y: matmul(x, x) }, device, 1, precision);
  const session = await openSession(ort, device, 1, model, {});
  try {
    await session.run({ x: new ort.Tensor("float32", Float32Array.of(1), [1, 1]) });
  } catch (cause) {
    if (precision === "float32") throw cause;
    throw new Error(
      `The device ${device} here computes no half precision (a WebGPU adapter needs shader-f16). Use --precision float32.`,
      { cause },
    );
  } finally {
    await session.release();
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
