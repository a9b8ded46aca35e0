// The step as a program: what it is fed, and what its options change.

import { expect, it } from "vitest";
import { vp } from "../../src/core/index.ts";
import { adamwDefaults } from "../../src/optim/adamw.ts";
import { key } from "../../src/random.ts";
import { diffusion } from "../../src/recipes/diffusion.ts";
import { startOf } from "../../src/recipes/start.ts";
import { type StepOptions, stepProgram } from "../../src/run/step.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { tinyModel } from "./helpers.ts";

const runtime = nodeRuntime({ threads: 1 });

async function compiled(classes: number | null, options: Partial<StepOptions> = {}) {
  const { network, model, spec, theta } = tinyModel(vp(), undefined, classes);
  const start = startOf({ model, network, timeInput: { scale: 1000, offset: 0 }, spec, theta });
  const stage = diffusion.stages(start, {}, key(0)).next().value!;
  const step = stepProgram(stage, stage.players, { batch: 2, adamw: adamwDefaults, clip: 1, ...options });
  const program = await runtime.compile(step.outputs);
  const names = program.inputs.map(({ source }) =>
    source.kind === "input" ? (source.part?.of ?? source.name) : "no input",
  );
  const inputs = [...new Set(names)].filter((name) => !name.startsWith("t.")).sort();
  await program.dispose();
  return { step, inputs, recomputed: program.counts.get("If") ?? 0 };
}
const scalars = ["average.kept.decay", "decay", "floor", "rate"];
const vectors = ["average.kept", "m", "theta", "v"];
const plain = [...[...scalars, ...vectors].map((name) => `student.${name}`), "x", "~noise"].sort();
/** What the draws give it, of a batch that has labels. */
const drawn = ({ step: { draws } }: Awaited<ReturnType<typeof compiled>>) =>
  Object.keys(draws.feeds({ root: key(1), step: 1 }, { x: new Float32Array(4), labels: BigInt64Array.of(0n, 1n) }, 0.5))
    .filter((name) => !name.startsWith("t."))
    .sort();

it("is fed the state, the data, the scalars of its optimizer and the labels that its student sees", async () => {
  expect((await compiled(null)).inputs).toEqual(plain);
  expect((await compiled(3)).inputs).toEqual([...plain, "labels.dropped"].sort());
  expect(drawn(await compiled(null))).toEqual(["x", "~noise"]);
  expect(drawn(await compiled(3))).toEqual(["labels", "labels.dropped", "x", "~noise"]);
});

it("scales its loss, and computes blocks again, only where told to", async () => {
  expect((await compiled(null, { scaleLoss: true })).inputs).toEqual([...plain, "lossScale"].sort());
  const again = (options: Partial<StepOptions>) => compiled(null, options).then(({ recomputed }) => recomputed);
  expect(await again({})).toBe(0);
  expect(await again({ gradientCheckpointing: false })).toBe(0);
  expect(await again({ gradientCheckpointing: true })).toBeGreaterThan(0);
});
