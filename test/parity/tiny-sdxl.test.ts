import { afterAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { modelFolders, readUNetGolden, reportCases, unetErrors } from "./unetGolden.ts";

const name = "tiny-sdxl";
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
