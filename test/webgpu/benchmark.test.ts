// The benchmark's networks on WebGPU. Full batches take minutes on a software adapter: npm run bench:engine -- --device
// webgpu runs those.

import { describe, expect, it } from "vitest";
import { curveDistance } from "../../bench/agree.ts";
import { openCase, program } from "../../bench/cases.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { webgpu, webgpuHalf } from "../support/webgpu.ts";

const runtime = await webgpu();
const half = await webgpuHalf();
const cpu = nodeRuntime({ threads: 1 });

if (runtime)
  describe.each([
    ["demo-unet", 2],
    ["unet", 1],
    ["dit", 1],
    ["mlp", 1024],
  ] as const)("the benchmark's %s", (name, batch) => {
    it("is accepted at its own batch with the CPU refused", async () => {
      const c = openCase(name);
      const compiled = await runtime.compile(program(c, "step", c.weights()), { deviceOnly: true });
      await compiled.dispose();
    });

    it(`has the CPU's curve at batch ${batch}`, async () => {
      const c = openCase(name, batch);
      const off = await curveDistance(cpu, runtime, { c, theta: c.weights(), precision: "float32" });
      console.log(`webgpu, the benchmark's ${name} at batch ${batch}: curve off by ${off.toExponential(1)}`);
      expect(off).toBeLessThan(1e-5);
    });

    if (half)
      it(`has it in half precision at batch ${batch}`, async () => {
        const c = openCase(name, batch);
        const off = await curveDistance(cpu, half, { c, theta: c.weights(), precision: "float16" });
        console.log(`webgpu, float16, the benchmark's ${name} at batch ${batch}: curve off by ${off.toExponential(1)}`);
        expect(off).toBeLessThan(1e-2);
        expect(off).toBeGreaterThan(1e-6);
      });
  });
