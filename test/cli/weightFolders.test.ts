// Diffusers folders whose weights are not one plain file: variants and shards load to the same numbers, and what is wrong with
// them, or with the configuration, is said before values are read.
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readSafetensors, type WritableTensor, writeSafetensors } from "../../src/data/safetensors.ts";
import { loadModel } from "../../src/node/models.ts";
import { root } from "./fewstep.ts";

const teacher = join(root, "assets/mnist-teacher");
const scratch = mkdtempSync(join(tmpdir(), "fewstep-folders-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const base = "diffusion_pytorch_model";
const tensors = readSafetensors(readFileSync(join(teacher, `unet/${base}.safetensors`))).tensors;

/** The teacher with other files of weights. */
function folder(name: string, files: Readonly<Record<string, Uint8Array>>): string {
  const path = join(scratch, name);
  cpSync(teacher, path, { recursive: true, filter: (file) => !file.endsWith(".safetensors") });
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(path, "unet", file), bytes);
  return path;
}
const part = (from: number, to: number, dtype?: "F16" | "BF16") =>
  writeSafetensors(
    new Map<string, WritableTensor>(
      [...tensors].slice(from, to).map(([name, t]) => [name, dtype ? { ...t, dtype } : t]),
    ),
  );
const all = tensors.size;
const indexOf = (map: Record<string, string>) => new TextEncoder().encode(JSON.stringify({ weight_map: map }));
const names = [...tensors.keys()];
const map = Object.fromEntries(names.map((name, i) => [name, `${base}-0000${i < 50 ? 1 : 2}-of-00002.safetensors`]));
const shards = {
  [`${base}-00001-of-00002.safetensors`]: part(0, 50),
  [`${base}-00002-of-00002.safetensors`]: part(50, all),
  [`${base}.safetensors.index.json`]: indexOf(map),
};

describe("the same teacher from", () => {
  it("shards: to the bit", async () => {
    const [got, want] = await Promise.all([folder("shards", shards), teacher].map((path) => loadModel(path)));
    expect(got.theta).toEqual(want.theta);
    expect(got.hash).toBe(want.hash);
  });
  it.each(["F16", "BF16"] as const)("a variant of %s: rounded", async (dtype) => {
    const path = folder(dtype, { [`${base}.fp16.safetensors`]: part(0, all, dtype) });
    const [got, want] = await Promise.all([path, teacher].map((path) => loadModel(path)));
    let worst = 0;
    got.theta.forEach((v, i) => {
      worst = Math.max(worst, Math.abs(v - want.theta[i]) / (Math.abs(want.theta[i]) + 1e-4));
    });
    expect(worst).toBeGreaterThan(0);
    expect(worst).toBeLessThan(dtype === "F16" ? 2 ** -10 : 2 ** -7);
  });
});

describe("refused in a sentence", () => {
  const refused = (path: string) => expect(loadModel(path)).rejects;
  it("a configuration, before the weights are looked at", async () => {
    const path = folder("class", { [`${base}.safetensors`]: new Uint8Array(9) });
    writeFileSync(join(path, "unet/config.json"), '{"_class_name": "UNet3DConditionModel"}');
    await refused(path).toThrow(/holds a UNet3DConditionModel/);
  });
  it("shards without index, one missing, one cut off, an index that leads out", async () => {
    const { [`${base}.safetensors.index.json`]: index, ...rest } = shards;
    await refused(folder("noindex", rest)).toThrow(/without their index/);
    await refused(folder("onemissing", { ...shards, [`${base}-00001-of-00002.safetensors`]: part(0, 1) })).toThrow(
      /which are not in the file/,
    );
    const cut = folder("cut", shards);
    truncateSync(join(cut, `unet/${base}-00002-of-00002.safetensors`), 50_000);
    await refused(cut).toThrow(/00002-of-00002.safetensors is cut off/);
    const out = indexOf({ ...map, [names[0]]: "../../etc/passwd" });
    await refused(folder("out", { ...shards, [`${base}.safetensors.index.json`]: out })).toThrow(/in its own folder/);
  });
  it("missing, extra and misshapen tensors, all in one list", async () => {
    const list = new Map<string, WritableTensor>(tensors);
    list.delete(names[0]);
    list.set("extra.weight", { shape: [1], data: Float32Array.of(1) });
    list.set(names[1], { shape: [3], data: new Float32Array(3) });
    const path = folder("misfit", { [`${base}.safetensors`]: writeSafetensors(list) });
    await refused(path).toThrow(
      new RegExp(
        `1 of its ${all} tensors are missing \\(${names[0]}\\); 1 have other shapes \\(${names[1]} .*extra.weight`,
      ),
    );
  });
});
