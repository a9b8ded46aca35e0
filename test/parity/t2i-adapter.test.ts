// Golden values of T2I-Adapters (tiny-t2i-adapter): features, and the U-Net that adds them.
import { afterAll, describe, expect, it } from "vitest";
import { mul } from "../../src/graph/index.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { readT2IAdapterConfig, t2iAdapter } from "../../src/nn/t2iAdapter.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type GoldenParts, tally, toleranceOf, weightsIn } from "./cases.ts";
import { goldenOf, readJson } from "./folders.ts";
import { type UNetCase, unetErrors, unetOf } from "./unetCases.ts";

interface AdapterCase extends UNetCase {
  readonly control_image: string;
  readonly features: readonly string[];
  readonly scale: number;
}

const kind = "t2i-adapter";
const files = goldenOf<GoldenParts & { readonly unet: { readonly cases: readonly AdapterCase[] } }>(kind);
const runtime = nodeRuntime();
const counted = tally(kind, "U-Net");
afterAll(() => expect(runtime.open()).toBe(0));

describe(`${kind}: features and U-Net`, () => {
  for (const one of files) {
    const config = readT2IAdapterConfig(readJson(one.folder, "config.json"));
    const weights = weightsIn(one.folder);
    for (const c of one.golden.unet.cases)
      it(`${one.name}: ${c.id}`, { timeout: 120_000 }, async () => {
        const errors = await unetErrors(one, unetOf(one), c, runtime, (from) => {
          const features = t2iAdapter(config, fromConstants(weights), from.take(c.control_image));
          return {
            condition: { features: features.map((feature) => mul(feature, c.scale)) },
            outputs: Object.fromEntries(features.map((feature, i) => [c.features[i], feature])),
          };
        });
        counted.check(errors, Math.min(toleranceOf(one, "unet", 1e-4), toleranceOf(one, "features", 1e-4)));
      });
  }
  it("ran every case that exists", () => counted.report(files));
});
