// Golden folders of kind delta: merged weights to the bit in both rules, and the U-Net's outputs with them, through the files
// that `delta apply` writes.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { floatsOf } from "../../src/data/safetensors.ts";
import { readTensor } from "../../src/data/tensorIndex.ts";
import { mergeDelta } from "../../src/diffusers/delta.ts";
import { modernIndex, openWeights } from "../../src/diffusers/weights.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { quietContext } from "../../src/node/context.ts";
import { applyDelta } from "../../src/node/delta/apply.ts";
import { externalParams } from "../../src/node/externalWeights.ts";
import { folderSource } from "../../src/node/folderSource.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type RunCase, runError } from "./externalUnet.ts";
import { baseOf, goldenOf, goldenTensors, readJson, reportCases, type TensorNote, tensorsIn } from "./folders.ts";

const rules = ["fp32", "fp16"] as const;
interface DeltaGolden {
  readonly base: string;
  readonly file: string;
  readonly merged_weights: Readonly<Record<(typeof rules)[number], Readonly<Record<string, string>>>>;
  readonly unet: { readonly cases: readonly (RunCase & { readonly merge: (typeof rules)[number] })[] };
  readonly tensors: Readonly<Record<string, TensorNote>>;
}

const kind = "delta";
const goldens = goldenOf<DeltaGolden>(kind);
const runtime = nodeRuntime();
const scratch = mkdtempSync(join(tmpdir(), "fewstep-delta-"));
let [merged, ran] = [0, 0];
afterAll(() => {
  rmSync(scratch, { recursive: true });
  expect(runtime.open()).toBe(0);
});

describe(kind, () => {
  for (const [number, one] of goldens.entries()) {
    const base = baseOf(one);
    const golden = goldenTensors(one);
    for (const rule of rules) {
      it(`${one.name}: ${rule} weights, to the bit`, async () => {
        const index = modernIndex(await openWeights(folderSource(base), "unet"));
        const delta = tensorsIn(join(one.folder, one.golden.file));
        for (const [name, want] of Object.entries(one.golden.merged_weights[rule])) {
          const weights = floatsOf(new Map([[name, await readTensor(index, name)]]), name);
          expect(mergeDelta(weights, floatsOf(delta, name), { rule }), name).toEqual(floatsOf(golden, want));
          merged++;
        }
      });
      it(`${one.name}: ${rule} outputs`, async () => {
        const out = join(scratch, `${number}-${rule}`);
        const options = { scale: 1, loraScale: [], lora: [], blocks: new Map(), whereShapesMatch: false };
        const delta = join(one.folder, one.golden.file);
        await applyDelta({ ...options, base, delta, merge: rule, out }, quietContext({ runtime }));
        const config = readUNet2DConditionConfig(readJson(out, "unet/config.json"));
        const index = modernIndex(await openWeights(folderSource(out), "unet"));
        const { params } = await externalParams(index, join(scratch, "cache"));
        for (const each of one.golden.unet.cases.filter(({ merge }) => merge === rule)) {
          expect(
            await runError(runtime, config, params, each, golden, one.golden.tensors),
            each.id,
          ).toBeLessThanOrEqual(1e-4);
          ran++;
        }
      });
    }
  }
  it("ran every case that exists", () => {
    reportCases(kind, "merged tensor", goldens, merged);
    reportCases(kind, "U-Net", goldens, ran);
  });
});
