// Golden values of IP-Adapters (tiny-ip-adapter): preprocessing, image embeddings, tokens, and the U-Net at several scales.
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { floatsOf } from "../../src/data/safetensors.ts";
import { clipPixels, readClipPreprocessing } from "../../src/diffusers/clipPixels.ts";
import { concat, zeros } from "../../src/graph/index.ts";
import { readClipVisionConfig } from "../../src/nn/clipConfig.ts";
import { clipImageEmbedding } from "../../src/nn/clipVision.ts";
import { crossAttentions, imageTokens, readIpAdapter } from "../../src/nn/ipAdapter.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { toParams } from "../../src/nn/weights.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { compare, type GoldenParts, given, tally, toleranceOf, weightsIn } from "./cases.ts";
import { goldenOf, goldenTensors, largestDifference, readJson, tensorsIn } from "./folders.ts";
import { type PipelineCase, partsOf, pipelineErrors } from "./pipelineCases.ts";
import { type UNetCase, unetErrors, unetOf } from "./unetCases.ts";

interface IpGolden extends GoldenParts {
  readonly image_encoder: string;
  readonly feature_extractor: string;
  readonly pictures: readonly { readonly image: string; readonly pixel_values: string }[];
  readonly layers?: Readonly<Record<string, string>>;
  readonly pipelines?: Readonly<Record<string, IpPipeline>>;
  readonly adapters: readonly {
    readonly file: string;
    readonly variant: string;
    readonly tokens: number;
    readonly projected_tokens: string;
    readonly from: string;
    readonly cases: readonly (UNetCase & { readonly image_embeds?: string; readonly scale: number })[];
  }[];
}

interface IpPipeline extends PipelineCase {
  readonly ip_adapter_scale: number;
  readonly ip_adapter_pixel_values: string;
}

const kind = "ip-adapter";
const files = goldenOf<IpGolden>(kind);
const runtime = nodeRuntime();
afterAll(() => expect(runtime.open()).toBe(0));

describe(`${kind}: pictures`, () => {
  const counted = tally(kind, "picture");
  for (const one of files) {
    const tensors = goldenTensors(one);
    const preprocessing = readClipPreprocessing(readJson(one.folder, one.golden.feature_extractor));
    const encoder = join(one.folder, one.golden.image_encoder);
    const config = readClipVisionConfig(readJson(encoder, "config.json"));
    for (const { image, pixel_values } of one.golden.pictures)
      it(`${one.name}: ${pixel_values}`, () => {
        const have = clipPixels(preprocessing, { shape: tensors.get(image)!.shape, data: floatsOf(tensors, image) });
        expect(have.shape).toEqual(tensors.get(pixel_values)!.shape);
        // The stated 0.03 for a resized picture is two 8-bit steps, absolute.
        const difference = largestDifference(have.data, floatsOf(tensors, pixel_values));
        counted.check(new Map([[pixel_values, difference]]), toleranceOf(one, pixel_values, 0.03));
      });
    it(`${one.name}: image embeddings`, { timeout: 60_000 }, async () => {
      const stored = one.golden.pictures.map(({ pixel_values }) => floatsOf(tensors, pixel_values));
      const data = new Float32Array(stored.reduce((n, part) => n + part.length, 0));
      stored.forEach((part, k) => {
        data.set(part, k * part.length);
      });
      const from = given(tensors);
      const shape = [stored.length, ...tensors.get(one.golden.pictures[0].pixel_values)!.shape.slice(1)];
      const vision = clipImageEmbedding(config, fromConstants(weightsIn(encoder)), from.feed("pixels", shape, data));
      const outputs = { image_embeds: vision.embeds, image_hidden: vision.hidden.at(-2)! };
      counted.check(await compare(one, outputs, from.feeds, runtime), toleranceOf(one, "image embeddings", 5e-5));
    });
  }
  it("ran every case that exists", () => counted.report(files));
});

describe(`${kind}: U-Net`, () => {
  const counted = tally(kind, "U-Net");
  for (const one of files) {
    const unet = unetOf(one);
    it(`${one.name}: numbers of the layers`, () => {
      crossAttentions(unet.config).forEach((name, k) => {
        expect(one.golden.layers?.[2 * k + 1] ?? name).toBe(name);
      });
    });
    for (const { file, variant, tokens, projected_tokens, from: source, cases } of one.golden.adapters) {
      const adapter = readIpAdapter(unet.config, toParams(tensorsIn(join(one.folder, file))));
      expect(adapter.projection).toMatchObject({ variant, ...(variant === "full" ? {} : { tokens }) });
      for (const c of cases)
        it(`${one.name}: ${file} ${c.id}`, { timeout: 120_000 }, async () => {
          const joined = { config: unet.config, weights: new Map([...unet.weights, ...adapter.unet]) };
          const errors = await unetErrors(one, joined, c, runtime, (from) => {
            const p = fromConstants(adapter.params);
            const projected = imageTokens(
              p,
              "image_proj",
              from.take(variant === "base" ? (c.image_embeds ?? source) : source),
              adapter.projection,
            );
            const images = [{ tokens: projected, scale: from.feed("scale", [], Float32Array.of(c.scale)) }];
            return { condition: { images }, outputs: { [projected_tokens]: projected } };
          });
          counted.check(errors, Math.min(toleranceOf(one, "unet", 1e-4), toleranceOf(one, "projected tokens", 5e-5)));
        });
    }
  }
  it("ran every case that exists", () => counted.report(files));
});

describe(`${kind}: pipelines`, () => {
  const asked = files.filter(({ golden }) => golden.pipelines);
  const counted = tally(kind, "pipeline");
  for (const one of asked)
    for (const [name, c] of Object.entries(one.golden.pipelines!))
      it(`${one.name}: ${name}`, { timeout: 120_000 }, async () => {
        const unet = unetOf(one);
        const [{ file }] = one.golden.adapters;
        const adapter = readIpAdapter(unet.config, toParams(tensorsIn(join(one.folder, file))));
        const encoder = join(one.folder, one.golden.image_encoder);
        const config = readClipVisionConfig(readJson(encoder, "config.json"));
        const from = given(goldenTensors(one));
        const { embeds } = clipImageEmbedding(
          config,
          fromConstants(weightsIn(encoder)),
          from.take(c.ip_adapter_pixel_values),
        );
        // Without a picture: an embedding of zeros, projected like any other.
        const both = concat([zeros(embeds.shape), embeds], 0);
        const program = await runtime.compile({
          tokens: imageTokens(fromConstants(adapter.params), "image_proj", both, adapter.projection),
        });
        const { tokens } = await program.run(from.feeds);
        await program.dispose();
        const all = tokens.data as Float32Array;
        const shape = [1, ...tokens.shape.slice(1)];
        const [without, picture] = [all.slice(0, all.length / 2), all.slice(all.length / 2)];
        const images = [
          { tokens: { shape, data: picture }, without: { shape, data: without }, scale: c.ip_adapter_scale },
        ];
        const joined = { config: unet.config, weights: new Map([...unet.weights, ...adapter.unet]) };
        const parts = partsOf(one, ["text_encoder"], joined);
        counted.check(await pipelineErrors(one, parts, c, runtime, { images }), toleranceOf(one, "pipelines", 1e-3));
      });
  it("ran every case that exists", () => counted.report(asked));
});
