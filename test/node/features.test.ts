// --features: a network of one's own, and how images become what it takes.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { arrayDataset } from "../../src/data/dataset.ts";
import { emitModel, input, mean } from "../../src/graph/index.ts";
import { openFeatures } from "../../src/node/features.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";

const runtime = nodeRuntime({ threads: 1 });
const data = arrayDataset(
  "four by four",
  Float32Array.from({ length: 16 }, (_, i) => i / 8 - 1),
  [1, 4, 4],
);
let folder: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "fewstep-features-"));
  file = join(folder, "corner.onnx");
  // Three numbers per image: the mean of each channel of 2 x 2.
  await writeFile(file, emitModel({ out: mean(input("image", [1, 3, 2, 2]), [2, 3]) }, "cpu").bytes);
});
afterAll(() => rm(folder, { recursive: true }));

const applied = async (query: string) => {
  const features = await openFeatures(`${file}${query}`, data, runtime);
  if (!features) throw new Error("There are no features.");
  const out = await features.apply(data.batch([0]).x, 1);
  await features.dispose();
  return { protocol: features.protocol, out: [...out] };
};

test("conventions are the usual ones unless they are named, and are reported", async () => {
  const usual = { range: "-1..1", resize: "bilinear-antialiased", rounded: true, input: [3, 2, 2], network: file };
  expect((await applied("")).protocol).toMatchObject(usual);
  const named = await applied("?range=0..255&resize=bilinear&rounded=false&size=2");
  expect(named.protocol).toMatchObject({ ...usual, range: "0..255", resize: "bilinear", rounded: false });
  // The picture is a plane, so its mean is that of the four pixels that are read: (15/2)/8 - 1, to 0..255.
  expect(named.out).toEqual([0, 1, 2].map(() => expect.closeTo((15 / 16) * 127.5, 3)));
  const rounded = await applied("?range=0..255&resize=bilinear");
  expect(rounded.out[0]).not.toBe(named.out[0]);
  expect(Math.abs(rounded.out[0] - named.out[0])).toBeLessThan(0.5);
});

test("a size that is not the network's, or a convention that is none, is refused", async () => {
  await expect(applied("?size=3")).rejects.toThrow("is 2 x 2, expected the given 3 x 3");
  await expect(applied("?range=0..2")).rejects.toThrow("range: ");
  await expect(applied("?crop=true")).rejects.toThrow("there is no crop (there are range, resize, rounded, size)");
});
