// Golden values of ControlNets (tiny-controlnet): residuals, and the U-Net that adds them.
import { afterAll, describe, expect, it } from "vitest";
import { controlNet, guessStrengths } from "../../src/nn/controlNet.ts";
import { readControlNetConfig } from "../../src/nn/controlNetConfig.ts";
import { fromConstants, tapped } from "../../src/nn/params.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type GoldenParts, tally, toleranceOf, weightsIn } from "./cases.ts";
import { goldenOf, goldenTensors, readJson } from "./folders.ts";
import { type PipelineCase, partsOf, pipelineErrors } from "./pipelineCases.ts";
import { type UNetCase, unetErrors, unetOf } from "./unetCases.ts";

interface ControlCase extends UNetCase {
  readonly control_image: string;
  readonly conditioning_scale: number;
  readonly guess_mode: boolean;
  readonly down: readonly string[];
  readonly mid: string;
  readonly cond_embedding?: string;
}

const kind = "controlnet";
type ControlPipeline = PipelineCase & {
  readonly controlnet_conditioning_scale: number;
  readonly control_image_first_entry: string;
};
interface ControlGolden extends GoldenParts {
  readonly unet: { readonly cases: readonly ControlCase[] };
  readonly pipelines?: Readonly<Record<string, ControlPipeline>>;
}
const files = goldenOf<ControlGolden>(kind);
const runtime = nodeRuntime();
const counted = tally(kind, "U-Net");
afterAll(() => expect(runtime.open()).toBe(0));

describe(`${kind}: U-Net`, () => {
  for (const one of files) {
    const config = readControlNetConfig(readJson(one.folder, "config.json"));
    const weights = weightsIn(one.folder);
    for (const c of one.golden.unet.cases)
      it(`${one.name}: ${c.id}`, { timeout: 120_000 }, async () => {
        const strengths = c.guess_mode ? guessStrengths(c.down.length, c.conditioning_scale) : c.conditioning_scale;
        const errors = await unetErrors(one, unetOf(one), c, runtime, (from, x, tau, context) => {
          const stem: Record<string, typeof x> = {};
          const p = tapped(fromConstants(weights), (name, y) => {
            if (name === "controlnet_cond_embedding" && c.cond_embedding) stem[c.cond_embedding] = y;
          });
          const control = controlNet(config, p, x, tau, { context }, from.take(c.control_image), strengths);
          const skips = Object.fromEntries(control.skips.map((skip, k) => [c.down[k], skip]));
          return { condition: { control }, outputs: { ...skips, [c.mid]: control.middle, ...stem } };
        });
        counted.check(errors, toleranceOf(one, "unet", 1e-4));
      });
  }
  it("ran every case that exists", () => counted.report(files));
});

describe(`${kind}: pipelines`, () => {
  const asked = files.filter(({ golden }) => golden.pipelines);
  const runs = tally(kind, "pipeline");
  for (const one of asked)
    for (const [name, c] of Object.entries(one.golden.pipelines!))
      it(`${one.name}: ${name}`, { timeout: 120_000 }, async () => {
        const config = readControlNetConfig(readJson(one.folder, "config.json"));
        const stored = goldenTensors(one).get(c.control_image_first_entry)!;
        const shape = [1, ...stored.shape.slice(1)];
        const data = (stored.data as Float32Array).slice(0, shape[1] * shape[2] * shape[3]);
        const parts = {
          ...partsOf(one, ["text_encoder"]),
          controlNets: [{ config, params: fromConstants(weightsIn(one.folder)) }],
        };
        const controls = [{ picture: { shape, data }, scale: c.controlnet_conditioning_scale }];
        runs.check(await pipelineErrors(one, parts, c, runtime, { controls }), toleranceOf(one, "pipelines", 1e-3));
      });
  it("ran every case that exists", () => runs.report(asked));
});
