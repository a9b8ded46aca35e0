import { afterAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { adamwErrors } from "./adamwSteps.ts";
import { modelFolders, readUNetGolden, reportCases, unetErrors } from "./unetGolden.ts";
import { trainingErrors } from "./unetTraining.ts";

const name = "tiny-sd15";
const folders = modelFolders(name);
const runtime = nodeRuntime();
let ran = 0;
afterAll(() => expect(runtime.open()).toBe(0));

describe(`${name} U-Net`, () => {
  for (const folder of folders) {
    const golden = readUNetGolden(folder);
    for (const one of golden.cases)
      it(`${folder}: ${one.id}`, async () => {
        const errors = await unetErrors(golden, one, runtime);
        for (const [tensor, error] of errors) expect(error, tensor).toBeLessThanOrEqual(1e-4);
        ran++;
      });
  }
  it("ran every case that exists", () => reportCases(name, "U-Net", folders, ran));
});

describe(`${name} training`, () => {
  let trained = 0;
  const withTraining = folders.filter((folder) => readUNetGolden(folder).training);
  for (const folder of withTraining)
    it(`${folder}: loss and gradients`, async () => {
      const errors = await trainingErrors(readUNetGolden(folder), runtime);
      for (const [what, error] of errors) expect(error, what).toBeLessThanOrEqual(1e-4);
      trained++;
    });
  for (const folder of withTraining)
    it(`${folder}: three steps of AdamW`, async () => {
      const errors = await adamwErrors(readUNetGolden(folder), runtime);
      for (const [what, error] of errors) expect(error, what).toBeLessThanOrEqual(1e-4);
    });
  it("ran every case that exists", () => reportCases(name, "training", withTraining, trained));
});
