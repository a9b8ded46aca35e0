// Whole training steps on WebGPU: every operator runs there, and the loss curve and weights are the CPU's to float32 noise.

import { describe, expect, it } from "vitest";
import { distance } from "../../bench/distance.ts";
import { exp, input } from "../../src/graph/index.ts";
import { operator } from "../../src/graph/tensor.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { stepProgram } from "../../src/run/step.ts";
import { nodeRuntime, placement } from "../../src/runtime/node.ts";
import { misplaced, type Placed, placements } from "../../src/runtime/placement.ts";
import { follow } from "../support/curves.ts";
import { accelerations, families } from "../support/trainings.ts";
import { webgpu } from "../support/webgpu.ts";

const runtime = await webgpu();
const cpu = nodeRuntime({ threads: 1 });
const list = (placed: readonly Placed[]) => placed.map(({ op, node }) => `${op} (${node})`);

if (runtime)
  describe.each([...families, ...accelerations].map((t) => [t.name, t] as const))("%s", (name, training) => {
    it("runs wholly on the device", async () => {
      const { stage, options } = training;
      const { outputs } = stepProgram(stage, stage.players, { ...options, adamw: adamwDefaults });
      const placed = await placement(runtime, outputs);
      expect(placed.length).toBeGreaterThan(100);
      expect(list(misplaced(placed, "webgpu"))).toEqual([]);
    });

    it("has the CPU's curve", async () => {
      const [expected, found] = [await follow(training, cpu), await follow(training, runtime)];
      const [curve, end] = [distance(found.curve, expected.curve), distance(found.end, expected.end)];
      const moved = distance(training.theta, expected.end);
      const [a, b, c] = [curve, end, moved].map((x) => x.toExponential(1));
      console.log(`webgpu, ${name}: curve off by ${a}, weights by ${b}, which moved by ${c}`);
      expect(expected.curve.length).toBe(2 * training.options.steps);
      expect(moved).toBeGreaterThan(1e-2);
      // AdamW divides by the root of v: where a gradient is nearly zero its noise is as large as a step.
      expect(curve).toBeLessThan(5e-5);
      expect(end).toBeLessThan(5e-5);
    });
  });

if (runtime)
  it("gradient checkpointing runs wholly on the device too, with the curve of without", async () => {
    const training = families.find(({ name }) => name === "mlp");
    if (!training) throw new Error("There is no training of an MLP.");
    const options = { ...training.options, gradientCheckpointing: true };
    const { outputs } = stepProgram(training.stage, training.stage.players, { ...options, adamw: adamwDefaults });
    const placed = await placement(runtime, outputs);
    expect(placed.map(({ op }) => op)).toContain("If");
    expect(list(misplaced(placed, "webgpu"))).toEqual([]);
    const [expected, found] = [await follow(training, cpu), await follow({ ...training, options }, runtime)];
    expect(distance(found.curve, expected.curve)).toBeLessThan(5e-5);
  });

const determinant = operator<Record<string, never>>({
  name: "determinant",
  infer: () => [{ shape: [], dtype: "float32" }],
  emit: (to, [x]) => [to.op("Det", [x])],
  jvp: "none",
});

if (runtime)
  it("an operator without a kernel for the device is named, and refused where the device must do", async () => {
    const y = determinant([exp(input("x", [2, 2]))], {})[0];
    const placed = await placement(runtime, { y });
    expect(placed.map(({ op }) => op)).toEqual(expect.arrayContaining(["Exp", "Det"]));
    expect(list(misplaced(placed, "webgpu"))).toEqual(["Det (Det_1)"]);
    await expect(runtime.compile({ y }, { deviceOnly: true })).rejects.toThrow("webgpu cannot run this program");
  });

it("a profile in which nothing ran is refused", () => {
  expect(() => placements("[]")).toThrow("names no operator");
});
