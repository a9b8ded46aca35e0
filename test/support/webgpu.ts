// The WebGPU device for tests: the graphics card or software adapter that the Vulkan loader finds (Mesa's lavapipe, from
// Mesa 23 on), or else SwiftShader, the software adapter of Debian's chromium package.

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { add, input } from "../../src/graph/index.ts";
import type { Program, Runtime } from "../../src/runtime/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const swiftShader = "/usr/lib/chromium/vk_swiftshader_icd.json";

/** The loader reads these once in a process, so what it finds by itself is tried in another. */
function useSwiftShaderWhereNeeded(): void {
  process.env.XDG_RUNTIME_DIR ??= "/tmp";
  if (process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES || !existsSync(swiftShader)) return;
  try {
    const script = fileURLToPath(new URL("webgpuProbe.ts", import.meta.url));
    execFileSync(process.execPath, ["--import", "tsx", script], { stdio: "ignore", timeout: 60_000 });
  } catch {
    Object.assign(process.env, { VK_ICD_FILENAMES: swiftShader, VK_DRIVER_FILES: swiftShader });
  }
}

/** Stays open: ONNX Runtime forgets its compiled shaders, the slow part on a software adapter, with the last session. */
let anchor: Program | undefined;

/** Why there is no adapter; null where there is one. */
async function missing(): Promise<string | null> {
  try {
    useSwiftShaderWhereNeeded();
    anchor = await nodeRuntime({ device: "webgpu" }).compile({ y: add(input("x", [1]), 1) });
    const { y } = await anchor.run({ x: Float32Array.of(1) });
    return y.data[0] === 2 ? null : `1 + 1 is ${y.data[0]} there`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * A runtime on WebGPU; null, loudly, where there is no adapter, so that a caller declares no tests that would pass
 * without having run: one test is skipped in their place. With CI=true that is a failure.
 */
export async function webgpu(): Promise<Runtime | null> {
  const why = anchor ? null : await missing();
  if (why === null) return nodeRuntime({ device: "webgpu" });
  absent("ON WEBGPU", "there is a WebGPU adapter", why);
  return null;
}

/** The same for an adapter that computes float16. */
export async function webgpuHalf(): Promise<Runtime | null> {
  const runtime = await webgpu();
  try {
    await runtime?.supports("float16");
    return runtime;
  } catch (error) {
    absent("IN HALF PRECISION", "there is a WebGPU adapter with shader-f16", String(error));
    return null;
  }
}

/** A test that is skipped under a name that says what was not tested, and fails with CI=true. */
function absent(what: string, needed: string, why: string): void {
  const advice = "Debian 13, Ubuntu 24.04: apt-get install mesa-vulkan-drivers (Debian 12: from bookworm-backports).";
  console.warn(`NOT TESTED ${what}: ${needed} is not true here (${why}). ${advice}`);
  it.skipIf(process.env.CI !== "true")(`NOT TESTED ${what}: ${needed}`, () => {
    expect.fail(`CI needs this: ${needed} (${why}). ${advice}`);
  });
}
