// `fewstep --device webgpu`: a teacher and a student, from the command line.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fewstep, onlyRun, scratch } from "../cli/fewstep.ts";
import { webgpu } from "../support/webgpu.ts";

const tmp = scratch();
const device = await webgpu();

async function losses(run: string): Promise<number[]> {
  const lines = (await readFile(join(run, "log.jsonl"), "utf8")).trim().split("\n");
  return lines.map((line) => JSON.parse(line) as { loss?: number }).flatMap(({ loss }) => loss ?? []);
}

const tiny = ["--data", "toy:moons", "--images", "128", "--batch", "16", "--preview-every", "0"];

const half = [...tiny, "--precision", "float16", "--width", "16", "--depth", "1", "--out"];

it("--precision float16 trains on the CPU", async () => {
  const trained = await fewstep("train", ...half, tmp.at("cpu"));
  expect(trained.code, trained.err).toBe(0);
  const options = JSON.parse(await readFile(join(await onlyRun(tmp.at("cpu")), "options.json"), "utf8"));
  expect(options.precision).toBe("float16");
});

if (device)
  it("--precision float16 has the CPU's losses, or is refused before a run begins", async () => {
    const { code, err } = await fewstep("--device", "webgpu", "train", ...half, tmp.at("webgpu"));
    // SwiftShader has no shader-f16; an adapter that has it trains.
    if (code !== 0) {
      expect(err).toContain("computes no half precision (a WebGPU adapter needs shader-f16). Use --precision float32.");
      expect(existsSync(tmp.at("webgpu"))).toBe(false);
      return;
    }
    const trained = await fewstep("train", ...half, tmp.at("cpu"));
    expect(trained.code, trained.err).toBe(0);
    const [cpu, gpu] = await Promise.all([
      losses(await onlyRun(tmp.at("cpu"))),
      losses(await onlyRun(tmp.at("webgpu"))),
    ]);
    expect(gpu.length).toBe(cpu.length);
    gpu.forEach((loss, i) => {
      expect(Math.abs(loss - cpu[i])).toBeLessThan(2e-2 * cpu[i]);
    });
  });

if (device)
  it("trains a teacher and accelerates it, with the losses of the CPU", async () => {
    const curves: number[][] = [];
    for (const name of ["cpu", "webgpu"]) {
      const go = async (...args: string[]) => {
        const { code, err } = await fewstep("--device", name, ...args);
        expect(code, err).toBe(0);
      };
      const teachers = tmp.at(name, "teachers");
      const students = tmp.at(name, "students");
      await go("train", ...tiny, "--width", "16", "--depth", "1", "--out", teachers);
      const teacher = await onlyRun(teachers);
      const method = ["--method", "perflow", "--windows", "2", "--teacher-steps", "2"];
      await go("accelerate", teacher, ...method, ...tiny, "--out", students);
      curves.push([...(await losses(teacher)), ...(await losses(await onlyRun(students)))]);
    }
    const [cpu, gpu] = curves;
    expect(cpu.length).toBe(16);
    expect(gpu.length).toBe(16);
    gpu.forEach((loss, i) => {
      expect(Math.abs(loss - cpu[i]), `loss ${i}: ${loss}, on the CPU ${cpu[i]}`).toBeLessThan(1e-4 * cpu[i]);
    });
  });
