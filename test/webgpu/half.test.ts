// --precision float16 on WebGPU: products and convolutions in half precision, everything else and the state in float32.

import { describe, expect, it } from "vitest";
import { distance } from "../../bench/distance.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { firstLossScale } from "../../src/optim/lossScale.ts";
import { stepProgram } from "../../src/run/step.ts";
import { freshState } from "../../src/run/train.ts";
import { nodeRuntime, placement } from "../../src/runtime/node.ts";
import { misplaced } from "../../src/runtime/placement.ts";
import { follow } from "../support/curves.ts";
import { accelerations, families, type Training } from "../support/trainings.ts";
import { webgpuHalf } from "../support/webgpu.ts";

const runtime = await webgpuHalf();
const cpu = nodeRuntime({ threads: 1 });
const half = (t: Training): Training => ({ ...t, options: { ...t.options, precision: "float16" } });
const scaled = (t: Training, value: number) => ({ ...freshState(t.stage), scale: { ...firstLossScale, value } });

if (runtime) {
  describe.each([...families, ...accelerations].map((t) => [t.name, t] as const))("%s in half precision", (name, t) => {
    it("runs wholly on the device", async () => {
      const options = { ...t.options, adamw: adamwDefaults, scaleLoss: true };
      const placed = await placement(runtime, stepProgram(t.stage, t.stage.players, options).outputs, {
        precision: "float16",
      });
      expect(placed.filter(({ op }) => op === "Cast").length).toBeGreaterThan(10);
      expect(misplaced(placed, "webgpu")).toEqual([]);
    });

    it("has the curve of float32, to half precision", async () => {
      // A scale at which none of these gradients overflows, so that both take the same steps.
      const [expected, found] = [await follow(t, cpu), await follow(half(t), runtime, scaled(t, 2 ** 4))];
      const [curve, end] = [distance(found.curve, expected.curve), distance(found.end, expected.end)];
      const moved = distance(t.theta, expected.end);
      const [a, b, c] = [curve, end, moved].map((x) => x.toExponential(1));
      console.log(`webgpu, ${name}, float16: curve off by ${a}, weights by ${b}, which moved by ${c}`);
      expect(found.skipped).toBe(0);
      // Rounding to 2^-11 must show, or nothing was computed in half precision.
      expect(curve).toBeGreaterThan(1e-6);
      expect(curve).toBeLessThan(1e-2);
      expect(end).toBeLessThan(0.2 * moved);
    });
  });

  it("steps whose gradient overflows are left out, and the scale halves until it fits", async () => {
    const t = families[0];
    const options = { ...t.options, steps: 20, saveEvery: 20 };
    const { curve, end, skipped } = await follow(half({ ...t, options }), runtime, scaled(t, 2 ** 20));
    const norms = curve.filter((_, i) => i % 2 === 1);
    expect(skipped).toBeGreaterThan(2);
    expect(skipped).toBeLessThan(20);
    expect(norms.filter((norm) => !Number.isFinite(norm)).length).toBe(skipped);
    expect(curve.filter((_, i) => i % 2 === 0).every(Number.isFinite)).toBe(true);
    expect(distance(t.theta, end)).toBeGreaterThan(1e-2);
  });
}
