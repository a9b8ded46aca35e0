// Golden values of safety checkers: preprocessing, scores, and which pictures are called unsafe.

import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { floatsOf } from "../../src/data/safetensors.ts";
import { indexFile } from "../../src/data/tensorIndex.ts";
import { clipPixels, readClipPreprocessing } from "../../src/diffusers/clipPixels.ts";
import { publishedNames } from "../../src/diffusers/pipelineFolder.ts";
import { blackedOut, unsafePictures } from "../../src/diffusers/safety.ts";
import { sessions } from "../../src/diffusers/sessions.ts";
import { readClipVisionConfig } from "../../src/nn/clipConfig.ts";
import { safetyChecker, unsafe } from "../../src/nn/clipVision.ts";
import { safetyCheckerParams } from "../../src/nn/diffusersParams.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { folderSource } from "../../src/node/folderSource.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { compare, type GoldenParts, given, tally, toleranceOf, weightsIn } from "./cases.ts";
import { goldenOf, goldenTensors, largestDifference, readJson } from "./folders.ts";

interface SafetyGolden extends GoldenParts {
  readonly safety_checker: string;
  readonly feature_extractor: string;
  readonly pictures: string;
  readonly pixel_values: string;
  readonly concepts: string;
  readonly special: string;
  readonly unsafe: readonly boolean[];
}

const kind = "safety-checker";
const files = goldenOf<SafetyGolden>(kind);
const runtime = nodeRuntime({ threads: 1 });
afterAll(() => expect(runtime.open()).toBe(0));

describe(kind, () => {
  const counted = tally(kind, "checker");
  for (const one of files) {
    const { golden, folder } = one;
    const tensors = goldenTensors(one);
    const values = (name: string) => floatsOf(tensors, name);
    const at = join(folder, golden.safety_checker);
    const config = readClipVisionConfig(readJson(at, "config.json"));
    const preprocessing = readClipPreprocessing(readJson(folder, golden.feature_extractor));
    const params = fromConstants(weightsIn(at));
    const [batch, ...shape] = tensors.get(golden.pictures)!.shape;
    const size = shape.reduce((a, b) => a * b, 1);
    const picture = (b: number) => values(golden.pictures).slice(b * size, (b + 1) * size);

    it(`${one.name}: pixels`, () => {
      const data = Array.from({ length: batch }, (_, b) => [
        ...clipPixels(preprocessing, { shape: [1, ...shape], data: picture(b) }).data,
      ]).flat();
      const difference = largestDifference(Float32Array.from(data), values(golden.pixel_values));
      // Two 8-bit steps, where resizing rounds otherwise.
      counted.check(new Map([["pixels", difference]]), toleranceOf(one, "pixels", 0.03));
    });

    it(`${one.name}: scores`, { timeout: 60_000 }, async () => {
      const from = given(tensors);
      const { concepts, special } = safetyChecker(config, params, from.take(golden.pixel_values));
      const outputs = { [golden.concepts]: concepts, [golden.special]: special };
      counted.check(await compare(one, outputs, from.feeds, runtime), toleranceOf(one, "scores", 5e-5));
      const row = (name: string, b: number) => {
        const count = tensors.get(name)!.shape[1];
        return values(name).slice(b * count, (b + 1) * count);
      };
      const judged = golden.unsafe.map((_, b) => unsafe(row(golden.concepts, b), row(golden.special, b)));
      expect(judged).toEqual(golden.unsafe);
      // All are told apart by what the checker is for: some by a concept, some by a special one's adjustment alone.
      expect(new Set(judged).size).toBe(2);
    });

    it(`${one.name}: pictures of a pipeline are blacked out`, { timeout: 60_000 }, async () => {
      const open = sessions(runtime);
      const made = { shape: [batch, ...shape], data: values(golden.pictures).map((value) => value / 127.5 - 1) };
      const found = await unsafePictures(open, { config, params, preprocessing }, made);
      await open.end("");
      expect(found).toEqual(golden.unsafe);
      const { data } = blackedOut(made, found);
      found.forEach((hidden, b) => {
        const shown = data.slice(b * size, (b + 1) * size);
        expect(shown.every((value, i) => value === (hidden ? -1 : made.data[b * size + i]))).toBe(true);
      });
    });

    it(`${one.name}: names with and without the second prefix, and the leftover of old files`, async () => {
      const index = await indexFile(folderSource(at), "model.safetensors");
      const old = new Set(safetyCheckerParams(config).map(({ name }) => name));
      expect([...old].every((name) => index.tensors.has(name))).toBe(true);
      const tensors = new Map(
        [...index.tensors].map(([name, place]) => [name.replace("vision_model.vision_model.", "vision_model."), place]),
      );
      const again = publishedNames("safety_checker", { ...index, tensors });
      expect([...again.tensors.keys()].sort()).toEqual([...index.tensors.keys()].sort());
    });
  }
  it("ran every case that exists", () => counted.report(files));
});
