import { afterAll, expect, test } from "vitest";
import { chord, linear, table, uniformGrid, uniformWindows, velocity, vp } from "../../src/core/index.ts";
import { add, constant, mul } from "../../src/graph/index.ts";
import type { Params } from "../../src/nn/params.ts";
import type { NetModel } from "../../src/recipes/recipe.ts";
import { measurePaths, pathGrid } from "../../src/run/paths.ts";
import { sampler } from "../../src/run/sample.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { ddim } from "../../src/solvers/index.ts";

const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

const none: Params = () => {
  throw new Error("No parameters are needed.");
};
const flow = (apply: NetModel["apply"]): NetModel => ({
  form: linear(),
  prediction: velocity,
  sampleShape: [2],
  conditions: {},
  apply,
});

test("a flow whose velocity is constant along paths is straight and first-order; one that turns is not", async () => {
  // x(t) = x1·(1 + (1 - t)) has dx/dt = -x1 = -x/(2 - t).
  const straight = flow((_, x, clock) =>
    mul(
      x,
      clock.column((t) => -1 / (2 - t), 2),
    ),
  );
  const bent = flow((_, x, clock) =>
    mul(
      x,
      clock.column((t) => -2 + 4 * t, 2),
    ),
  );
  const measure = async (model: NetModel) => {
    const ready = await sampler(model, none, runtime, 16);
    const { whole, windows } = await measurePaths(ready, {
      n: 10,
      seed: 1,
      solver: ddim(),
      times: pathGrid(model.form, 50),
    });
    await ready.dispose();
    expect(windows).toEqual([]);
    return whole;
  };
  const good = await measure(straight);
  const bad = await measure(bent);
  expect(good.relativeStraightness).toBeLessThan(1e-9);
  expect(good.drift).toBeLessThan(1e-9);
  expect(good.gap).toBeLessThan(1e-9);
  expect(bad.relativeStraightness).toBeGreaterThan(0.1);
  expect(bad.gap).toBeGreaterThan(0.1);
});

test("on a chord every window is measured; grids keep to the trained times", async () => {
  const windows = uniformWindows(3);
  const model = { ...flow((_, x) => add(mul(x, 0), constant(1))), form: chord(linear(), windows) };
  const ready = await sampler(model, none, runtime, 4);
  const times = pathGrid(model.form, 9);
  const paths = await measurePaths(ready, { n: 4, seed: 1, solver: ddim(), times });
  await expect(measurePaths(ready, { n: 5, seed: 1, solver: ddim(), times })).rejects.toThrow(/5 samples need/);
  await ready.dispose();
  expect(paths.windows.map(({ from, to }) => [from, to])).toEqual([
    [1, 2 / 3],
    [2 / 3, 1 / 3],
    [1 / 3, 0],
  ]);
  expect(pathGrid(table({}), 4).at(-1)).toBe(1 / 1000);
  expect(pathGrid(vp(), 4).at(-1)).toBe(1e-3);
  expect(pathGrid(linear(), 4)).toEqual(uniformGrid(4));
});
