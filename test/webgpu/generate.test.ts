// `fewstep --device webgpu generate`: the CPU's pictures, from the command line.
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { floatsOf, readSafetensors } from "../../src/data/safetensors.ts";
import { fewstep, scratch } from "../cli/fewstep.ts";
import { writeTinyFolder } from "../support/tinyFolder.ts";
import { webgpu } from "../support/webgpu.ts";

const { at } = scratch();

if (await webgpu())
  it.each([
    ["SD", false],
    ["SDXL", true],
  ])("%s: pictures are the CPU's", { timeout: 300_000 }, async (_, xl) => {
    const model = writeTinyFolder(at("model"), { xl });
    const pictures: Float32Array[] = [];
    for (const device of ["cpu", "webgpu"]) {
      const save = at(`${device}.safetensors`);
      const args = [
        "--prompt",
        "a cat",
        "--steps",
        "3",
        "--guidance",
        "3",
        "--out",
        at(`${device}.png`),
        "--save",
        save,
      ];
      const { code, err } = await fewstep("--device", device, "generate", model, ...args);
      expect(code, err).toBe(0);
      pictures.push(floatsOf(readSafetensors(readFileSync(save), save).tensors, "pictures"));
    }
    const [cpu, gpu] = pictures;
    const worst = gpu.reduce((most, value, i) => Math.max(most, Math.abs(value - cpu[i])), 0);
    // A level of 255 is 8e-3.
    expect(worst).toBeLessThan(2e-3);
    expect(Math.max(...cpu) - Math.min(...cpu)).toBeGreaterThan(0.1);
  });
