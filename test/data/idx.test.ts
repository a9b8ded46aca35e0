import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readIdxImages, readIdxLabels, writeIdxImages, writeIdxLabels } from "../../src/data/idx.ts";
import { openIdx } from "../../src/data/mnist.ts";
import { memorySource } from "../../src/data/source.ts";

const pixels = Uint8Array.from({ length: 24 }, (_, i) => i * 10);
const images = writeIdxImages({ count: 2, height: 3, width: 4, pixels });
const labels = writeIdxLabels(Uint8Array.of(7, 2));
const gz = (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes));

test("plain and gzipped files read the same", async () => {
  const read = await readIdxImages(images, "i");
  expect(read).toEqual({ count: 2, height: 3, width: 4, pixels });
  expect(await readIdxImages(gz(images), "i.gz")).toEqual(read);
  expect([...(await readIdxLabels(gz(labels), "l.gz"))]).toEqual([7, 2]);
  expect([...images.subarray(0, 16)]).toEqual([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]);
});

test("a folder becomes a dataset, the wanted part first", async () => {
  const source = memorySource({
    "train-images-idx3-ubyte": images,
    "train-labels-idx1-ubyte.gz": gz(labels),
    "t10k-images-idx3-ubyte.gz": gz(writeIdxImages({ count: 1, height: 3, width: 4, pixels: pixels.subarray(0, 12) })),
    "t10k-labels-idx1-ubyte.gz": gz(writeIdxLabels(Uint8Array.of(1))),
  });
  const train = await openIdx(source);
  expect(train).toMatchObject({ size: 2, shape: [1, 3, 4], classes: 8 });
  expect([...train.batch([1]).labels]).toEqual([2n]);
  expect(train.batch([1]).x[0]).toBe(Math.fround(120 / 127.5 - 1));
  expect((await openIdx(source, { split: "test" })).size).toBe(1);
});

test("a single unnamed pair needs no split; labels may be missing", async () => {
  const dataset = await openIdx(memorySource({ "digits-images-idx3-ubyte": images }), { split: "test" });
  expect(dataset).toMatchObject({ size: 2, classes: 0 });
});

describe("refused", () => {
  const edit = (bytes: Uint8Array, at: number, value: number) => {
    const copy = bytes.slice();
    copy[at] = value;
    return copy;
  };
  test.each([
    ["nothing", new Uint8Array(0), "x is cut off: 0 bytes, expected a header of 16."],
    ["half a header", images.subarray(0, 9), "x is cut off: 9 bytes"],
    ["labels", writeIdxLabels(new Uint8Array(20)), "magic number 2049, expected 2051"],
    ["another type", edit(images, 2, 13), "x has the magic number 3331, expected 2051"],
    ["too few pixels", images.subarray(0, 30), "x is cut off: 14 bytes follow the header, expected 2 x 3 x 4 = 24."],
    ["too many pixels", new Uint8Array([...images, 0]), "x has bytes left over: 25 bytes follow the header"],
    ["no images", edit(images, 7, 0).subarray(0, 16), "x is empty: its header says 0 x 3 x 4."],
  ])("%s instead of images", async (_, bytes, message) => {
    await expect(readIdxImages(bytes, "x")).rejects.toThrow(message);
  });

  test("images instead of labels", async () => {
    await expect(readIdxLabels(images, "x")).rejects.toThrow("x has the magic number 2051, expected 2049");
  });

  test("gzip that is none, cut off or damaged", async () => {
    await expect(readIdxImages(images, "x.gz")).rejects.toThrow("x.gz is not gzip data: it starts with 00 00");
    await expect(readIdxImages(new Uint8Array(0), "x.gz")).rejects.toThrow("it starts with nothing");
    const packed = gz(images);
    await expect(readIdxImages(packed.subarray(0, 20), "x.gz")).rejects.toThrow("x.gz is damaged or cut off");
    await expect(readIdxImages(edit(packed, packed.length - 6, 1), "x.gz")).rejects.toThrow("x.gz is damaged");
  });

  test("a label count that is not the image count", async () => {
    const source = memorySource({
      "train-images-idx3-ubyte": images,
      "train-labels-idx1-ubyte": writeIdxLabels(Uint8Array.of(1, 2, 3)),
    });
    await expect(openIdx(source)).rejects.toThrow(
      "train-labels-idx1-ubyte has 3 labels, expected 2 as train-images-idx3-ubyte has images.",
    );
  });

  test("a part that is not there, and an unclear choice", async () => {
    const source = memorySource({ "train-images-idx3-ubyte": images }, "folder");
    await expect(openIdx(source, { split: "test" })).rejects.toThrow(
      "folder has the IDX files train, expected one pair for the test part",
    );
    const two = memorySource({ "a-images-idx3-ubyte": images, "b-images-idx3-ubyte": images }, "folder");
    await expect(openIdx(two)).rejects.toThrow("folder has the IDX files a, b, expected one pair");
  });

  test("a size the model does not have", async () => {
    const source = memorySource({ "train-images-idx3-ubyte": images });
    await expect(openIdx(source, { shape: [1, 28, 28] })).rejects.toThrow(
      "train-images-idx3-ubyte has images of 1 x 3 x 4, expected 1 x 28 x 28 like the model",
    );
    await expect(openIdx(source, { shape: [3, 3, 4] })).rejects.toThrow("expected 3 x 3 x 4");
  });
});
