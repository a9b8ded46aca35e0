// `fewstep --device webgpu`: a teacher and a student, from the command line.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fewstep, onlyRun, scratch } from "../cli/fewstep.ts";
import { webgpu } from "../support/webgpu.ts";

const tmp = scratch();

async function losses(run: string): Promise<number[]> {
  const lines = (await readFile(join(run, "log.jsonl"), "utf8")).trim().split("\n");
  return lines.map((line) => JSON.parse(line) as { loss?: number }).flatMap(({ loss }) => loss ?? []);
}

if (await webgpu())
  it("trains a teacher and accelerates it, with the losses of the CPU", async () => {
    const tiny = ["--data", "toy:moons", "--images", "128", "--batch", "16", "--preview-every", "0"];
    const curves: number[][] = [];
    for (const device of ["cpu", "webgpu"]) {
      const go = async (...args: string[]) => {
        const { code, err } = await fewstep("--device", device, ...args);
        expect(code, err).toBe(0);
      };
      const teachers = tmp.at(device, "teachers");
      const students = tmp.at(device, "students");
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
