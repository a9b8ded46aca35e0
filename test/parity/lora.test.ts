// Golden folders of kind lora: every spelling finds its weights, merges to the golden ones, and gives the U-Net's outputs.
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { floatsOf } from "../../src/data/safetensors.ts";
import { readTensor } from "../../src/data/tensorIndex.ts";
import { matchLora, mergeLora, readLora } from "../../src/diffusers/lora.ts";
import { modernIndex, openWeights, readParams } from "../../src/diffusers/weights.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { openLora } from "../../src/node/delta/open.ts";
import { folderSource } from "../../src/node/folderSource.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type RunCase, runError } from "./externalUnet.ts";
import {
  baseOf,
  goldenOf,
  goldenTensors,
  largestDifference,
  readJson,
  reportCases,
  type TensorNote,
} from "./folders.ts";

interface LoraGolden {
  readonly base: string;
  readonly files: readonly string[];
  readonly rank: number;
  readonly modules: readonly string[];
  readonly merged_weights: Readonly<Record<string, string>>;
  readonly unet: { readonly cases: readonly (RunCase & { readonly lora_scale: number })[] };
  readonly tensors: Readonly<Record<string, TensorNote>>;
}

const kind = "lora";
const goldens = goldenOf<LoraGolden>(kind);
const runtime = nodeRuntime();
let [merged, ran] = [0, 0];
afterAll(() => expect(runtime.open()).toBe(0));

describe(kind, () => {
  for (const one of goldens)
    for (const file of one.golden.files) {
      const open = async () => {
        const index = modernIndex(await openWeights(folderSource(baseOf(one)), "unet"));
        const modules = await readLora(await openLora(join(one.folder, file)));
        return { index, modules, match: matchLora(modules, new Map([["unet", index.tensors]]), file) };
      };
      it(`${one.name}: ${file}, modules and merged weights`, async () => {
        const { index, modules, match } = await open();
        expect(match.unmatched).toEqual([]);
        const targets = match.targets.get("unet")!;
        expect([...targets.keys()].sort()).toEqual(one.golden.modules.map((m) => `${m}.weight`).sort());
        for (const { rank } of modules) expect(rank).toBe(one.golden.rank);
        const golden = goldenTensors(one);
        for (const [name, want] of Object.entries(one.golden.merged_weights)) {
          const weights = floatsOf(new Map([[name, await readTensor(index, name)]]), name);
          const got = mergeLora(
            weights,
            targets.get(name)!.map((module) => ({ module, scale: 1 })),
          );
          // The reference multiplies in float32.
          expect(largestDifference(got, floatsOf(golden, want)), name).toBeLessThan(
            1e-6 * one.golden.tensors[want].max_abs,
          );
          merged++;
        }
      });
      it(`${one.name}: ${file}, outputs`, async () => {
        const { index, match } = await open();
        const config = readUNet2DConditionConfig(readJson(baseOf(one), "unet/config.json"));
        const weights = await readParams(index);
        for (const each of one.golden.unet.cases) {
          const changed = new Map(weights);
          for (const [name, list] of match.targets.get("unet")!) {
            const { shape, data } = weights.get(name)!;
            const scaled = list.map((module) => ({ module, scale: each.lora_scale }));
            changed.set(name, { shape, data: mergeLora(data, scaled) });
          }
          const error = await runError(
            runtime,
            config,
            fromConstants(changed),
            each,
            goldenTensors(one),
            one.golden.tensors,
          );
          expect(error, each.id).toBeLessThanOrEqual(1e-4);
          ran++;
        }
      });
    }
  it("ran every case that exists", () => {
    reportCases(kind, "merged weight", goldens, merged);
    reportCases(kind, "U-Net", goldens, ran);
  });
});
