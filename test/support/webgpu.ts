// The WebGPU device for tests: a graphics card where ONNX Runtime finds one, or SwiftShader, the software adapter of
// Debian's chromium package.

import { existsSync } from "node:fs";
import { expect, it } from "vitest";
import { add, input } from "../../src/graph/index.ts";
import type { Program, Runtime } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const swiftShader = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** Read by the Vulkan loader when the first session opens. */
export const webgpuEnvironment: Readonly<Record<string, string>> =
  process.env.VK_ICD_FILENAMES || !existsSync(swiftShader)
    ? {}
    : {
        VK_ICD_FILENAMES: swiftShader,
        VK_DRIVER_FILES: swiftShader,
        XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? "/tmp",
      };

/** Stays open: ONNX Runtime forgets its compiled shaders, the slow part on a software adapter, with the last session. */
let anchor: Program | undefined;

/** Why there is no adapter; null where there is one. */
async function missing(): Promise<string | null> {
  try {
    anchor = await nodeRuntime({ device: "webgpu" }).compile({ y: add(input("x", [1]), 1) });
    const { y } = await anchor.run({ x: Float32Array.of(1) });
    return y.data[0] === 2 ? null : `1 + 1 is ${y.data[0]} there`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * A runtime on WebGPU; null, loudly, where there is no adapter, so that a caller declares no tests that would pass
 * without having run. With CI=true that is a failure.
 */
export async function webgpu(): Promise<Runtime | null> {
  Object.assign(process.env, webgpuEnvironment);
  const why = anchor ? null : await missing();
  if (why === null) return nodeRuntime({ device: "webgpu" });
  it("there is a WebGPU adapter", () => {
    console.warn(
      `NOT TESTED ON WEBGPU: there is no adapter here (${why}). Debian: apt-get install chromium libvulkan1.`,
    );
    expect(process.env.CI, "CI needs a WebGPU adapter").not.toBe("true");
  });
  return null;
}
