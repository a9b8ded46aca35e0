// Golden folders of kind sharded: every tensor of every variant by its stored bits, and the U-Net's output with weights read
// from the files themselves (float32) or from the widened copy.
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { unetParameters } from "../../src/diffusers/unetParameters.ts";
import { checkWeights, modernIndex, openWeights } from "../../src/diffusers/weights.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { externalParams } from "../../src/node/externalWeights.ts";
import { folderSource } from "../../src/node/folderSource.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type RunCase, runError } from "./externalUnet.ts";
import { goldenOf, goldenTensors, readJson, reportCases, type TensorNote } from "./folders.ts";

interface ShardedGolden {
  readonly variants: readonly {
    readonly id: string;
    readonly folder: string;
    readonly variant: string | null;
    readonly stored_dtype: string;
    readonly case: Omit<RunCase, "id">;
    readonly weights: Readonly<Record<string, { shape: number[]; shard: string; sha256: string }>>;
  }[];
  readonly tensors: Readonly<Record<string, TensorNote>>;
}

const kind = "sharded";
const goldens = goldenOf<ShardedGolden>(kind);
const runtime = nodeRuntime();
const cache = mkdtempSync(join(tmpdir(), "fewstep-cache-"));
let [tensors, ran] = [0, 0];
afterAll(() => {
  rmSync(cache, { recursive: true });
  expect(runtime.open()).toBe(0);
});

describe(kind, () => {
  for (const one of goldens)
    for (const variant of one.golden.variants) {
      const open = () => openWeights(folderSource(one.folder), variant.folder, variant.variant ?? undefined);
      it(`${one.name}: ${variant.id}, every tensor`, async () => {
        const index = await open();
        expect(new Set(index.tensors.keys())).toEqual(new Set(Object.keys(variant.weights)));
        for (const [name, { shape, shard, sha256 }] of Object.entries(variant.weights)) {
          const place = index.tensors.get(name)!;
          const bytes = await index.source.range(place.file, place.start, place.end - place.start);
          expect({ ...place, name }).toMatchObject({ name, shape, dtype: variant.stored_dtype });
          expect(place.file).toBe(`${variant.folder}/${shard}`);
          expect(createHash("sha256").update(bytes).digest("hex"), name).toBe(sha256);
          tensors++;
        }
      });
      it(`${one.name}: ${variant.id}, output`, async () => {
        const config = readUNet2DConditionConfig(readJson(one.folder, variant.folder, "config.json"));
        const index = modernIndex(await open());
        checkWeights(unetParameters(config), index);
        const { params, made } = await externalParams(index, cache);
        expect(made !== undefined).toBe(variant.stored_dtype !== "F32");
        const files = readdirSync(cache, { recursive: true }).length;
        expect((await externalParams(index, cache)).made).toBeUndefined();
        expect(readdirSync(cache, { recursive: true }).length).toBe(files);
        const each = { id: variant.id, ...variant.case };
        const error = await runError(runtime, config, params, each, goldenTensors(one), one.golden.tensors);
        expect(error).toBeLessThanOrEqual(1e-4);
        ran++;
      });
    }
  it("ran every case that exists", () => {
    reportCases(kind, "stored tensor", goldens, tensors);
    reportCases(kind, "output", goldens, ran);
  });
});
