// What the tests in Chromium call: it is bundled into their page.

import * as ort from "onnxruntime-web/webgpu";
import { freshState, train } from "../../src/run/train.ts";
import { type WebRuntime, type WebRuntimeOptions, webRuntime } from "../../src/runtime/web.ts";
import { families } from "../support/trainings.ts";

async function losses(runtime: WebRuntime, name: string, onStep: () => void = () => {}): Promise<number[]> {
  const training = families.find((t) => t.name === name);
  if (!training) throw new Error(`There is no training "${name}".`);
  const { stage, data, options } = training;
  const found: number[] = [];
  for await (const event of train(stage, data, runtime, freshState(stage), options))
    if (event.kind === "step") {
      found.push(event.loss, event.norm);
      onStep();
    }
  return found;
}

export const inPage = {
  async facts(options: WebRuntimeOptions) {
    const { device, threads, notes } = await webRuntime(ort, options);
    return { device, threads, notes, secure: isSecureContext, subtle: crypto.subtle !== undefined };
  },
  async losses(options: WebRuntimeOptions, name: string) {
    const runtime = await webRuntime(ort, options);
    return { found: await losses(runtime, name), device: runtime.device, notes: runtime.notes, open: runtime.open() };
  },
  /** What a training says whose device is taken away. */
  async lost(name: string) {
    const runtime = await webRuntime(ort, { device: "webgpu" });
    const device = (await ort.env.webgpu.device) as unknown as { destroy(): void };
    const said = losses(runtime, name, () => device.destroy());
    return said.then(
      () => "it went on",
      (error: unknown) => String(error),
    );
  },
};
export type InPage = typeof inPage;
