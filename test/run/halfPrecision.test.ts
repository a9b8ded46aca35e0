// Training in half precision on the CPU, where ONNX Runtime computes in float32 and rounds between some operators: the float32 curve to the roundings of float16, and steps left out where it overflows.

import { describe, expect, it } from "vitest";
import { firstLossScale } from "../../src/optim/lossScale.ts";
import { freshState, NotFinite, type TrainEvent, type TrainOptions, train } from "../../src/run/train.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { families, type Training } from "../support/trainings.ts";

const runtime = nodeRuntime({ threads: 1 });

async function events(
  { stage, data, options }: Training,
  changes: Partial<TrainOptions>,
  start = freshState(stage),
): Promise<TrainEvent[]> {
  const all: TrainEvent[] = [];
  for await (const event of train(stage, data, runtime, start, { ...options, ...changes })) all.push(event);
  return all;
}

describe.each(families.map((t) => [t.name, t] as const))("%s", (name, training) => {
  it("has the loss curve of float32 to about three digits", async () => {
    const curve = (all: TrainEvent[]) => all.filter((e) => e.kind === "step").map((e) => e.loss);
    const full = curve(await events(training, {}));
    // A scale at which no step is left out, which would be another curve.
    const start = { ...freshState(training.stage), scale: { ...firstLossScale, value: 2 ** 10 } };
    const half = curve(await events(training, { precision: "float16" }, start));
    const off = Math.max(...full.map((loss, i) => Math.abs(half[i] - loss) / loss));
    console.log(`float16, ${name}: losses off by at most ${off.toExponential(1)}`);
    expect(half.length).toBe(full.length);
    // float16 has 11 bits; errors of some layers add up.
    expect(off).toBeLessThan(5e-3);
    expect(off).toBeGreaterThan(0);
  });
});

it("goes together with gradient checkpointing", async () => {
  const [training] = families;
  const start = { ...freshState(training.stage), scale: { ...firstLossScale, value: 2 ** 10 } };
  const losses = async (gradientCheckpointing: boolean) =>
    (await events(training, { precision: "float16", gradientCheckpointing }, start)).map((e) => e.loss);
  const [kept, again] = [await losses(false), await losses(true)];
  expect(Math.max(...kept.map((loss, i) => Math.abs(again[i] - loss) / loss))).toBeLessThan(5e-3);
});

describe("loss scale", () => {
  const [training] = families;

  it("a step whose gradient overflows leaves the state as it is and halves the scale", async () => {
    const start = { ...freshState(training.stage), scale: { ...firstLossScale, value: 2 ** 40 } };
    const all = await events(training, { precision: "float16", steps: 2, saveEvery: 1 }, start);
    const steps = all.filter((e) => e.kind === "step");
    const [first, second] = all.flatMap((e) => e.state ?? []);
    expect(steps.map((e) => e.skipped)).toEqual([true, true]);
    expect(first.players.student.theta).toEqual(training.theta);
    expect(second.players.student.m.every((x) => x === 0)).toBe(true);
    expect([first.scale?.value, second.scale?.value]).toEqual([2 ** 39, 2 ** 38]);
    expect(second.scale?.skipped).toBe(2);
  });

  it("a gradient that is finite at no scale ends the run", async () => {
    const start = { ...freshState(training.stage), scale: { ...firstLossScale, value: Number.NaN } };
    await expect(events(training, { precision: "float16" }, start)).rejects.toThrow(NotFinite);
  });

  it("a run that was stopped goes on with the same bytes", async () => {
    const options = { precision: "float16", saveEvery: 2, steps: 4 } as const;
    const states = (await events(training, options)).flatMap((e) => e.state ?? []);
    const resumed = (await events(training, options, states[0])).flatMap((e) => e.state ?? []);
    expect(resumed).toEqual(states.slice(1));
  });
});
