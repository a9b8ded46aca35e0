import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { cores, nodeRuntime } from "../../src/runtime/node.ts";

it("counts cores, not hyperthreads", () => {
  const folder = mkdtempSync(join(tmpdir(), "fewstep-cores-"));
  try {
    for (const [cpu, siblings] of ["0,2", "0,2"].entries()) {
      mkdirSync(join(folder, `cpu${cpu}`, "topology"), { recursive: true });
      writeFileSync(join(folder, `cpu${cpu}`, "topology", "thread_siblings_list"), `${siblings}\n`);
    }
    mkdirSync(join(folder, "cpufreq"));
    expect(cores(folder)).toBe(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("leaves it to ONNX Runtime where the system does not say", () => {
  expect(cores("/there/is/no/such/folder")).toBe(0);
});

it("gives a runtime the cores that this process may use", () => {
  expect(cores()).toBeLessThanOrEqual(availableParallelism());
  expect(nodeRuntime().threads).toBe(cores());
  expect(nodeRuntime({ threads: 3 }).threads).toBe(3);
});
