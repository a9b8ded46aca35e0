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

const tolerance = ({ training }: RecordedCase): number => (training.precision === "float16" ? 1e-3 : 1e-6);

describe("three steps of", () => {
  it.each(cases.map((c) => [c.name, c] as const))("%s", async (name, recorded) => {
    const inputs = pinnedInputs(recorded);
    const found = await runCase(recorded, inputs, runtime);
    const wanted = recordedState(name);
    const limit = tolerance(recorded);
    const finite = (norms: readonly (number | null)[]) => norms.map((x) => (x !== null && Number.isFinite(x) ? x : 0));
    const off: Record<string, number> = {
      losses: distance(found.losses, recorded.losses),
      norms: distance(finite(found.norms), finite(recorded.norms)),
      // Weights and their average as parts of the way they went, so that what did not move weighs nothing.
      theta: distance(found.theta, wanted.theta, inputs.start),
      ema: distance(found.ema, wanted.ema, inputs.start),
      m: distance(found.m, wanted.m),
      v: distance(found.v, wanted.v),
    };
    if (Object.values(off).every((x) => x === 0)) identical++;
    if (process.env.PIN) console.log(name, JSON.stringify(off));
    expect(found.losses.length).toBe(recorded.training.steps);
    expect(found.rates).toEqual(recorded.rates.map((rate) => expect.closeTo(rate, 12)));
    expect(found.norms.map((norm) => Number.isFinite(norm))).toEqual(recorded.norms.map((norm) => norm !== null));
    for (const part of stateNames) expect(found[part].length).toBe(wanted[part].length);
    expect(Object.entries(off).filter(([, x]) => !(x <= limit))).toEqual([]);
  });
});

it("no recorded state is without a case, and none is missing", () => {
  const states = readdirSync(pinnedFolder).filter((f) => f.endsWith(".safetensors") && f !== "inputs.safetensors");
  expect(states.sort()).toEqual(cases.map(({ name }) => `${name}.safetensors`).sort());
});
