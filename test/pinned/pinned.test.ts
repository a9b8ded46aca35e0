// What training computes, pinned: three steps of every recipe from fixed weights on fixed data end where they ended when
// they were recorded (scripts/makePinned.ts). A number that moved is a changed training, not a tolerance to widen.

import { readdirSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { distance } from "../../bench/distance.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { pinnedFolder, pinnedInputs, type RecordedCase, recordedCases, recordedState, stateNames } from "./case.ts";
import { runCase } from "./runCase.ts";

const runtime = nodeRuntime({ threads: 1 });
const cases = recordedCases();
let identical = 0;

afterAll(() => console.log(`pinned: ${cases.length} trainings, ${identical} of them the recorded bytes`));

/**
 * On one machine the bytes are the same. On another, sums run in another order: data moved by one unit in the last place
 * (2^-23) moves losses, norms and moments by 1.2e-6 at most, and the weights, where AdamW divides by the root of v, by
 * 1e-5 of their way. Half precision rounds to 11 bits: gradient checkpointing, another grouping of the same operators,
 * moves it by 1.6e-4.
 */
const limits = ({ training }: RecordedCase): { readonly values: number; readonly way: number } =>
  training.precision === "float16" ? { values: 1e-3, way: 1e-3 } : { values: 5e-6, way: 5e-5 };

describe("three steps of", () => {
  it.each(cases.map((c) => [c.name, c] as const))("%s", async (name, recorded) => {
    const inputs = pinnedInputs(recorded);
    const found = await runCase(recorded, inputs, runtime);
    const wanted = recordedState(name);
    const { values, way } = limits(recorded);
    const finite = (norms: readonly (number | null)[]) => norms.map((x) => (x !== null && Number.isFinite(x) ? x : 0));
    expect(found.losses.length).toBe(recorded.training.steps);
    expect(found.rates).toEqual(recorded.rates.map((rate) => expect.closeTo(rate, 12)));
    expect(found.norms.map((norm) => Number.isFinite(norm))).toEqual(recorded.norms.map((norm) => norm !== null));
    for (const part of stateNames) expect(found[part].length).toBe(wanted[part].length);
    const off = {
      losses: [distance(found.losses, recorded.losses), values],
      norms: [distance(finite(found.norms), finite(recorded.norms)), values],
      // Weights and their average by the way they went, so that what did not move weighs nothing.
      theta: [distance(found.theta, wanted.theta, inputs.start), way],
      ema: [distance(found.ema, wanted.ema, inputs.start), way],
      m: [distance(found.m, wanted.m), values],
      v: [distance(found.v, wanted.v), values],
    };
    if (Object.values(off).every(([x]) => x === 0)) identical++;
    expect(Object.entries(off).filter(([, [x, limit]]) => !(x <= limit))).toEqual([]);
  });
});

it("no recorded state is without a case, and none is missing", () => {
  const states = readdirSync(pinnedFolder).filter((f) => f.endsWith(".safetensors") && f !== "inputs.safetensors");
  expect(states.sort()).toEqual(cases.map(({ name }) => `${name}.safetensors`).sort());
});
