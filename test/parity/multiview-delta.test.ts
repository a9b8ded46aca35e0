// Golden folders of kind multiview: the delta of an ordinary U-Net is applied where the shapes match, as multi-view models are
// made fast, and what does not match is said and left as it was.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type WritableTensor, writeSafetensors } from "../../src/data/safetensors.ts";
import { mergeDelta } from "../../src/diffusers/delta.ts";
import { openWeights, readParams } from "../../src/diffusers/weights.ts";
import { quietContext } from "../../src/node/context.ts";
import { applyDelta } from "../../src/node/delta/apply.ts";
import { folderSource } from "../../src/node/folderSource.ts";
import { silent } from "../../src/node/reporter.ts";
import { goldenOf, reportCases } from "./folders.ts";

interface MultiviewGolden {
  readonly unet: { readonly folder: string };
}
const kind = "multiview";
const goldens = goldenOf<MultiviewGolden>(kind);
const scratch = mkdtempSync(join(tmpdir(), "fewstep-multiview-"));
let ran = 0;
afterAll(() => rmSync(scratch, { recursive: true }));

describe(kind, () => {
  for (const [number, one] of goldens.entries())
    it(`${one.name}: a delta of a U-Net with 4 channels and no camera`, async () => {
      const base = join(one.folder, one.golden.unet.folder);
      const before = await readParams(await openWeights(folderSource(base), ""));
      const delta = new Map<string, WritableTensor>();
      for (const [name, { shape, data }] of before) {
        if (name.startsWith("class_embedding.")) continue;
        const cut = name === "conv_in.weight" ? [shape[0], 4, ...shape.slice(2)] : shape;
        const size = cut.reduce((a, b) => a * b, 1);
        delta.set(name, {
          dtype: "F16",
          shape: cut,
          data: data.slice(0, size).map((_, i) => 2 ** -8 * Math.sin(i * i)),
        });
      }
      const file = join(scratch, `${number}.safetensors`);
      writeFileSync(file, writeSafetensors(delta));
      const out = join(scratch, String(number));
      const notes: string[] = [];
      const context = quietContext({ report: { ...silent, note: (text) => notes.push(text) } });
      const options = {
        base,
        delta: file,
        scale: 1,
        loraScale: [],
        lora: [],
        blocks: new Map(),
        merge: "fp32",
        out,
      } as const;
      await expect(applyDelta({ ...options, whereShapesMatch: false }, context)).rejects.toThrow(/conv_in.weight/);
      await applyDelta({ ...options, whereShapesMatch: true }, context);
      expect(notes.join("\n")).toMatch(/1 have other shapes: conv_in.weight \[\d+,4,3,3\], the base has \[\d+,8,3,3\]/);
      expect(notes.join("\n")).toMatch(/of the base have no delta: class_embedding\./);
      const after = await readParams(await openWeights(folderSource(out), ""));
      expect([...after.keys()]).toEqual([...before.keys()]);
      for (const [name, { data }] of after) {
        const was = before.get(name)!.data;
        const d = delta.get(name);
        if (!d || name === "conv_in.weight") expect(data, name).toEqual(was);
        else {
          // Written in the base's float16.
          const want = mergeDelta(was, d.data as Float32Array);
          data.forEach((v, i) => {
            expect(Math.abs(v - want[i])).toBeLessThanOrEqual(
              2 ** -11 * Math.max(2 ** -13, Math.abs(want[i])) + 2 ** -19,
            );
          });
        }
      }
      ran++;
    });
  it("ran every case that exists", () => reportCases(kind, "delta", goldens, ran));
});
