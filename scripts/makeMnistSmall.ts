// Cuts the MNIST subset that the repository carries: npx tsx scripts/makeMnistSmall.ts <folder of full MNIST> [out]
// The first 10,000 training images and the first 2,000 test images, with their labels, as gzipped IDX.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { readIdxImages, readIdxLabels, writeIdxImages, writeIdxLabels } from "../src/data/idx.ts";

const [from, to = "assets/mnist-small"] = process.argv.slice(2);
if (!from) throw new Error("Name the folder of the full MNIST files, for example ../shared/data/mnist.");
await mkdir(to, { recursive: true });

for (const [split, count] of [
  ["train", 10_000],
  ["t10k", 2_000],
] as const) {
  const imagesName = `${split}-images-idx3-ubyte.gz`;
  const labelsName = `${split}-labels-idx1-ubyte.gz`;
  const images = await readIdxImages(await readFile(join(from, imagesName)), imagesName);
  const labels = await readIdxLabels(await readFile(join(from, labelsName)), labelsName);
  const pixels = images.pixels.subarray(0, count * images.height * images.width);
  await save(imagesName, writeIdxImages({ ...images, count, pixels }));
  await save(labelsName, writeIdxLabels(Uint8Array.from(labels.subarray(0, count))));
}

async function save(name: string, bytes: Uint8Array) {
  const packed = gzipSync(bytes, { level: 9 });
  await writeFile(join(to, name), packed);
  console.log(`${name} ${packed.length} bytes`);
}
