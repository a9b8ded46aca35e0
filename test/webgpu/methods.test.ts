// Every method on WebGPU, with guidance, several networks, derivatives along time: wholly there, with the CPU's losses.

import { afterAll, describe, expect, it } from "vitest";
import { cosine, vPrediction } from "../../src/core/index.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { startOf } from "../../src/recipes/start.ts";
import { stepProgram } from "../../src/run/step.ts";
import type { TrainOptions } from "../../src/run/train.ts";
import { nodeRuntime, placement } from "../../src/runtime/node.ts";
import { misplaced } from "../../src/runtime/placement.ts";
import { tinyModel } from "../run/helpers.ts";
import { lossesOf, stagesOfEvery } from "../support/everyMethod.ts";
import { webgpu } from "../support/webgpu.ts";

const runtime = await webgpu();
const cpu = nodeRuntime({ threads: 1 });
const start = startOf({ ...tinyModel(cosine(), vPrediction, 3), timeInput: { scale: 1000, offset: 0 } });
const options: TrainOptions = {
  batch: 4,
  steps: 3,
  rate: { kind: "constant", peak: 1e-3, warmup: 0, final: 1 },
  ema: 0.9,
  clip: 1,
  dropLabels: 0.5,
  seed: 6,
};
afterAll(() => expect(cpu.open()).toBe(0));

if (runtime)
  describe.each(stagesOfEvery(start))("%s", (_, stages) => {
    it.each(stages.map((stage) => [stage.name, stage] as const))("%s: wholly, and as the CPU", async (_, stage) => {
      const { outputs } = stepProgram(stage, stage.players, { ...options, adamw: adamwDefaults });
      const placed = await placement(runtime, outputs);
      expect(placed.length).toBeGreaterThan(100);
      expect(misplaced(placed, "webgpu").map(({ op, node }) => `${op} (${node})`)).toEqual([]);
      const [expected, found] = [await lossesOf(stage, cpu, options), await lossesOf(stage, runtime, options)];
      expect(expected).toHaveLength(3 * 2 * stage.players.length);
      found.forEach((value, i) => {
        expect(Math.abs(value - expected[i]) / Math.abs(expected[i])).toBeLessThan(1e-3);
      });
    });
  });
