// The tests of a golden file that is about a U-Net of its own (kinds inpaint and multiview).
import { afterAll, describe, expect, it } from "vitest";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type GoldenParts, tally, toleranceOf } from "./cases.ts";
import { goldenOf } from "./folders.ts";
import { type UNetCase, unetErrors, unetOf } from "./unetCases.ts";

interface UNetGolden extends GoldenParts {
  readonly unet: { readonly folder?: string; readonly cases: readonly UNetCase[] };
}

export function testUNets(kind: "inpaint" | "multiview"): void {
  const files = goldenOf<UNetGolden>(kind);
  const runtime = nodeRuntime();
  const counted = tally(kind, "U-Net");
  afterAll(() => expect(runtime.open()).toBe(0));
  describe(`${kind}: U-Net`, () => {
    for (const one of files)
      for (const c of one.golden.unet.cases)
        it(`${one.name}: ${c.id}`, { timeout: 120_000 }, async () => {
          const errors = await unetErrors(one, unetOf(one, one.golden.unet.folder), c, runtime);
          counted.check(errors, toleranceOf(one, "unet", 1e-4));
        });
    it("ran every case that exists", () => counted.report(files));
  });
}
