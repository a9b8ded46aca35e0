// What a method compares, as an option: at equal path the same choice is the same training, whichever method makes it.

import { describe, expect, it } from "vitest";
import { linear } from "../../src/core/index.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type PinnedCase, type PinnedMethod, pinnedInputs, recordedCases } from "../pinned/case.ts";
import { runCase } from "../pinned/runCase.ts";

const runtime = nodeRuntime({ threads: 1 });
const base = recordedCases().find(({ name }) => name === "perflow-ddim-eps") as PinnedCase;
const windowed = {
  windows: 3,
  teacherSolver: "ddim",
  teacherSteps: 2,
  guidance: 1,
  atStarts: 0.5,
  distance: { kind: "mse" },
};
/** On straight paths, where a window's chord is the teacher's own path. */
const losses = async (method: PinnedMethod) => {
  const time = { ...base.time, offset: 0 };
  const made = { ...base, method, form: linear().spec, prediction: { name: "u" as const }, time };
  return (await runCase(made, pinnedInputs(made), runtime)).losses;
};
const perflow = (weight: string) => losses({ name: "perflow", options: { ...windowed, predict: "velocity", weight } });
const phased = (weight: string) => losses({ name: "rectified-diffusion-phased", options: { ...windowed, weight } });
const close = (values: readonly number[]) => values.map((v) => expect.closeTo(v, 5));

describe("on straight paths PeRFlow and the phased method are one", () => {
  it.each(["uniform", "end"])("where both compare the same: %s", async (weight) => {
    expect(await perflow(weight)).toEqual(close(await phased(weight)));
  });

  it("and two, where they do not", async () => {
    const [prediction, end] = [await perflow("uniform"), await perflow("end")];
    // A window is a third long: the error of its end is less than a ninth of the velocity's, in squares.
    for (const [i, loss] of end.entries()) expect(loss).toBeLessThanOrEqual(prediction[i] / 9 + 1e-6);
    const asData = await perflow("endpoint");
    for (const [i, loss] of end.entries()) expect(loss).toBeLessThan(asData[i]);
  });
});

it("Rectified Diffusion compares data or prediction: with a share of one at noise, the two differ by alpha and sigma there", async () => {
  const rectified = (compare: string) =>
    losses({ name: "rectified-diffusion", options: { atNoise: 1, distance: { kind: "mse" }, compare } });
  // At t = 1 of straight paths x0 = x - u, so an error of one is an error of the other.
  expect(await rectified("prediction")).toEqual(close(await rectified("x0")));
  const elsewhere = (compare: string) =>
    losses({ name: "rectified-diffusion", options: { atNoise: 0, distance: { kind: "mse" }, compare } });
  const [x0, u] = [await elsewhere("x0"), await elsewhere("prediction")];
  // x0 = x - t u with t below one.
  for (const [i, loss] of x0.entries()) expect(loss).toBeLessThan(u[i]);
});
