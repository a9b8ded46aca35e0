// Golden folders of kind stable-diffusion-single-file: every tensor of the file under its new name, with its shape and its
// bits; what is left out; and the U-Net's outputs.
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { folderSource } from "../../src/cli/files.ts";
import { fromHalf, toHalf } from "../../src/data/half.ts";
import { indexFile, readTensor } from "../../src/data/tensorIndex.ts";
import { splitSingleFile } from "../../src/diffusers/singleFile.ts";
import { unetParameters } from "../../src/diffusers/unetParameters.ts";
import { checkWeights, modernIndex, readParams } from "../../src/diffusers/weights.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { readGoldenTensors } from "../support/golden.ts";
import { type RunCase, runError } from "./externalUnet.ts";
import { goldenOf, goldenTensors, readJson, reportCases, type TensorNote } from "./folders.ts";

interface SingleFileGolden {
  readonly file: string;
  readonly mapping: string;
  readonly config: string;
  readonly unet: { readonly cases: readonly RunCase[] };
  readonly tensors: Readonly<Record<string, TensorNote>>;
}
interface Mapping {
  readonly renames: readonly {
    readonly old: string;
    readonly component: "unet" | "vae" | "text_encoder" | "text_encoder_2";
    readonly new: string | readonly string[];
    readonly change?: string;
  }[];
  readonly ignored: readonly { readonly old: string }[];
}

const kind = "stable-diffusion-single-file";
const goldens = goldenOf<SingleFileGolden>(kind);
const runtime = nodeRuntime();
let [names, ran] = [0, 0];

/** What the stated change makes of stored values, done here the long way round. */
function changed(data: Float32Array, shape: readonly number[], change: string | undefined, part: number) {
  if (change === undefined) return { shape, data };
  if (change.startsWith("drop")) return { shape: shape.slice(0, 2), data };
  if (change.startsWith("split")) {
    const n = data.length / 3;
    return { shape: [shape[0] / 3, ...shape.slice(1)], data: data.slice(part * n, (part + 1) * n) };
  }
  if (change !== "transpose") throw new Error(`The golden file states the change "${change}", which is new.`);
  const [rows, columns] = shape;
  const out = data.map((_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);
  return { shape: [columns, rows], data: out };
}

describe(kind, () => {
  for (const one of goldens) {
    const open = () => indexFile(folderSource(one.folder), one.golden.file);
    it(`${one.name}: names, shapes and bits`, async () => {
      const mapping = readJson(one.folder, one.golden.mapping) as Mapping;
      const stored = readGoldenTensors(join(one.folder, one.golden.file));
      const { parts, ignored } = splitSingleFile(await open());
      const wanted = new Map<string, Set<string>>();
      for (const { old, component, new: now, change } of mapping.renames)
        for (const [i, name] of [now].flat().entries()) {
          wanted.set(component, (wanted.get(component) ?? new Set()).add(name));
          const index = parts.get(component);
          if (!index) throw new Error(`The file has no part ${component}.`);
          const { shape, dtype, data } = await readTensor(index, name);
          const { bytes, shape: was } = stored.get(old)!;
          const want = changed(fromHalf(new Uint16Array(bytes.slice().buffer)), was, change, i);
          expect({ name, shape, dtype }).toEqual({ name, shape: want.shape, dtype: "F16" });
          expect(toHalf(data as Float32Array)).toEqual(toHalf(want.data));
          names++;
        }
      for (const [part, index] of parts) expect(new Set(index.tensors.keys()), part).toEqual(wanted.get(part));
      expect([...ignored].sort()).toEqual(mapping.ignored.map(({ old }) => old).sort());
    });
    for (const each of one.golden.unet.cases)
      it(`${one.name}: U-Net ${each.id}`, async () => {
        const config = readUNet2DConditionConfig(readJson(one.folder, one.golden.config, "unet/config.json"));
        const index = modernIndex(splitSingleFile(await open()).parts.get("unet")!);
        checkWeights(unetParameters(config), index);
        const params = fromConstants(await readParams(index));
        const error = await runError(runtime, config, params, each, goldenTensors(one), one.golden.tensors);
        expect(error).toBeLessThanOrEqual(1e-4);
        ran++;
      });
  }
  it("ran every case that exists", () => {
    reportCases(kind, "renamed tensor", goldens, names);
    reportCases(kind, "U-Net", goldens, ran);
  });
});
