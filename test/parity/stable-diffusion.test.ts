// Golden values of SD 1.5-shaped models (tiny-sd15): text encoder, U-Net, VAE, and training.
import { afterAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { adamwErrors } from "./adamwSteps.ts";
import { tally } from "./cases.ts";
import { type ModelFile, testModels } from "./modelTests.ts";
import { type Training, trainingErrors } from "./unetTraining.ts";

const kind = "stable-diffusion";
const files = testModels(kind);
const runtime = nodeRuntime();
afterAll(() => expect(runtime.open()).toBe(0));

describe(`${kind}: training`, () => {
  const asked = files.filter((one): one is ModelFile<{ training: Training }> => "training" in one.golden);
  const counted = tally(kind, "training");
  for (const one of asked) {
    it(`${one.name}: loss and gradients`, { timeout: 120_000 }, async () => {
      counted.check(await trainingErrors(one, runtime), 1e-4);
    });
    // 2e-4 is what the golden values allow after three steps; this stays within 1e-4.
    it(`${one.name}: three steps of AdamW`, { timeout: 120_000 }, async () => {
      counted.check(await adamwErrors(one, runtime), 1e-4);
    });
  }
  it("ran every case that exists", () => counted.report(asked));
});
