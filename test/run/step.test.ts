// The step as a program: what it is fed, and what its options change.

import { expect, it } from "vitest";
import { vp } from "../../src/core/index.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { type StepOptions, stepProgram } from "../../src/run/step.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { tinyModel } from "./helpers.ts";

const runtime = nodeRuntime({ threads: 1 });

async function compiled(classes: number | null, options: Partial<StepOptions> = {}) {
  const { model, spec } = tinyModel(vp(), undefined, classes);
  const step = stepProgram(diffusion(model), spec, { batch: 2, adamw: adamwDefaults, clip: 1, ...options });
  const program = await runtime.compile(step.outputs);
  const names = program.inputs.map(({ source }) =>
    source.kind === "input" ? (source.part?.of ?? source.name) : "no input",
  );
  const inputs = [...new Set(names)].filter((name) => !name.startsWith("t.")).sort();
  await program.dispose();
  return { step, inputs, recomputed: program.counts.get("If") ?? 0 };
}
const plain = ["decay", "ema", "emaDecay", "floor", "m", "noise", "rate", "theta", "v", "x"];

it("is fed the state, the data, the scalars of its optimizer and the labels that its student sees", async () => {
  expect((await compiled(null)).inputs).toEqual(plain);
  expect((await compiled(3)).inputs).toEqual([...plain, "dropped"].sort());
  expect((await compiled(null)).step.conditional).toBe(false);
  expect((await compiled(3)).step.conditional).toBe(true);
});

it("scales its loss, and computes blocks again, only where told to", async () => {
  expect((await compiled(null, { scaleLoss: true })).inputs).toEqual([...plain, "lossScale"].sort());
  const again = (options: Partial<StepOptions>) => compiled(null, options).then(({ recomputed }) => recomputed);
  expect(await again({})).toBe(0);
  expect(await again({ gradientCheckpointing: false })).toBe(0);
  expect(await again({ gradientCheckpointing: true })).toBeGreaterThan(0);
});
