// Golden folders of kind stable-diffusion-single-file: every tensor of the file under its new name, with its shape and its
// bits; what is left out; and the U-Net's outputs.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { fromHalf, toHalf } from "../../src/data/half.ts";
import { indexFile, readTensor } from "../../src/data/tensorIndex.ts";
import type { Change } from "../../src/diffusers/rewrite.ts";
import { type Part, splitSingleFile } from "../../src/diffusers/singleFile.ts";
import { unetParameters } from "../../src/diffusers/unetParameters.ts";
import { checkWeights, modernIndex, readParams } from "../../src/diffusers/weights.ts";
import { fromConstants } from "../../src/nn/params.ts";
import { readUNet2DConditionConfig } from "../../src/nn/unet2dConditionConfig.ts";
import { folderSource } from "../../src/node/folderSource.ts";
import { openModelWeights, writeChanged } from "../../src/node/modelWeights.ts";
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
const scratch = mkdtempSync(join(tmpdir(), "fewstep-single-"));
afterAll(() => rmSync(scratch, { recursive: true }));
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
  for (const one of goldens)
    it(`${one.name}: written again with other values, under its original names`, async () => {
      const model = await openModelWeights(join(one.folder, one.golden.file));
      // Whole tensors, slices of joint ones, one the other way round, one without its axes of length 1.
      const wanted: readonly (readonly [Part, string])[] = [
        ["unet", "conv_in.weight"],
        ["vae", "decoder.mid_block.attentions.0.to_q.weight"],
        ["text_encoder", "text_model.final_layer_norm.weight"],
        ["text_encoder_2", "text_model.encoder.layers.0.self_attn.k_proj.weight"],
        ["text_encoder_2", "text_projection.weight"],
      ];
      const present = wanted.filter(([part, name]) => model.parts.get(part)?.tensors.has(name));
      expect(present.length).toBeGreaterThanOrEqual(3);
      const changes = new Map<Part, Map<string, Change>>();
      for (const [part, name] of present)
        changes.set(
          part,
          (changes.get(part) ?? new Map<string, Change>()).set(name, (values) => values.map((v, i) => v + (i % 7))),
        );
      const out = join(scratch, one.name.replaceAll("/", "-").replace(".json", ".safetensors"));
      await writeChanged(model, out, changes);
      const [was, now] = [join(one.folder, one.golden.file), out].map(readGoldenTensors);
      const described = (all: typeof was) => [...all].map(([name, { dtype, shape }]) => [name, dtype, shape]).sort();
      expect(described(now)).toEqual(described(was));
      const differing = [...was].filter(([name, { bytes }]) => Buffer.compare(bytes, now.get(name)!.bytes) !== 0);
      expect(differing).toHaveLength(present.length);
      const again = await openModelWeights(out);
      for (const [part, index] of model.parts)
        for (const name of index.tensors.keys()) {
          const [before, after] = await Promise.all(
            [index, again.parts.get(part)!].map(async (i) => (await readTensor(i, name)).data as Float32Array),
          );
          const changed = present.some(([p, n]) => p === part && n === name);
          const want = changed ? fromHalf(toHalf(before.map((v, i) => v + (i % 7)))) : before;
          expect(after, `${part} ${name}`).toEqual(want);
        }
    });
  it("ran every case that exists", () => {
    reportCases(kind, "renamed tensor", goldens, names);
    reportCases(kind, "U-Net", goldens, ran);
  });
});
