// Methods with several networks, derivatives along time and guided solves on WebGPU: wholly there, with the CPU's losses.

import { describe, expect, it } from "vitest";
import { classCount } from "../../src/condition.ts";
import { cosine, vPrediction } from "../../src/core/index.ts";
import { sizeOf, type TensorData } from "../../src/graph/index.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { fold, key, normal, randint } from "../../src/random.ts";
import { dmd, lcm, meanflow } from "../../src/recipes/index.ts";
import type { Stage } from "../../src/recipes/recipe.ts";
import { startOf } from "../../src/recipes/start.ts";
import { columnsOf, stepProgram } from "../../src/run/step.ts";
import { freshState, type TrainOptions, train } from "../../src/run/train.ts";
import type { Runtime } from "../../src/runtime/index.ts";
import { nodeRuntime, placement } from "../../src/runtime/node.ts";
import { misplaced } from "../../src/runtime/placement.ts";
import { tinyModel } from "../run/helpers.ts";
import { webgpu } from "../support/webgpu.ts";

const runtime = await webgpu();
const cpu = nodeRuntime({ threads: 1 });
const start = startOf({ ...tinyModel(cosine(), vPrediction, 3), timeInput: { scale: 1000, offset: 0 } });
const seed = key(4);
const methods: Readonly<Record<string, () => Generator<Stage, void, never>>> = {
  dmd: () => dmd.stages(start, dmd.options.parse({ guidance: 2, gan: 0.1, regression: 0.5 }), seed),
  meanflow: () => meanflow.stages(start, meanflow.options.parse({ guidance: 2 }), seed),
  lcm: () => lcm.stages(start, lcm.options.parse({ embedding: 8 }), seed),
};
const options: TrainOptions = {
  batch: 4,
  steps: 3,
  rate: { kind: "constant", peak: 1e-3, warmup: 0, final: 1 },
  ema: 0.9,
  clip: 1,
  dropLabels: 0.5,
  seed: 6,
};

/** Random values for every column that the stage has. */
const dataOf = (stage: Stage) => (step: number) =>
  Object.fromEntries(
    Object.entries(columnsOf(stage)).map(([name, { shape, dtype }]): [string, TensorData] => {
      const [own, count] = [fold(key(8), name, step), options.batch * sizeOf(shape)];
      const classes = classCount(stage.model.conditions);
      return [name, dtype === "int64" ? BigInt64Array.from(randint(own, count, classes), BigInt) : normal(own, count)];
    }),
  );
async function losses(stage: Stage, on: Runtime): Promise<number[]> {
  const found: number[] = [];
  for await (const event of train(stage, dataOf(stage), on, freshState(stage), options))
    if (event.kind === "step") for (const { loss, norm } of Object.values(event.players)) found.push(loss, norm);
  return found;
}

if (runtime)
  describe.each(Object.keys(methods))("%s", (name) => {
    const { value: stage } = methods[name]().next();
    if (!stage) throw new Error(`${name} has no stage.`);
    it("runs wholly on the device", async () => {
      const { outputs } = stepProgram(stage, stage.players, { ...options, adamw: adamwDefaults });
      const placed = await placement(runtime, outputs);
      expect(placed.length).toBeGreaterThan(100);
      expect(misplaced(placed, "webgpu").map(({ op, node }) => `${op} (${node})`)).toEqual([]);
    });
    it("has the CPU's losses and norms", async () => {
      const [expected, found] = [await losses(stage, cpu), await losses(stage, runtime)];
      expect(expected).toHaveLength(3 * 2 * stage.players.length);
      found.forEach((value, i) => {
        expect(Math.abs(value - expected[i]) / Math.abs(expected[i])).toBeLessThan(1e-3);
      });
    });
  });
