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

/** An IDX file with any header. */
function idx(type: number, sizes: readonly number[], body: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * sizes.length + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, (type << 8) | sizes.length);
  for (const [i, n] of sizes.entries()) view.setUint32(4 + 4 * i, n);
  bytes.set(body, 4 + 4 * sizes.length);
  return bytes;
}
const ints = (...values: number[]) =>
  values.flatMap((v) => [(v >> 24) & 255, (v >> 16) & 255, (v >> 8) & 255, v & 255]);

describe("labels", () => {
  test("whole numbers of every width are read", async () => {
    expect([...(await readIdxLabels(idx(9, [2], [3, 1]), "l"))]).toEqual([3, 1]);
    expect([...(await readIdxLabels(idx(11, [2], [0, 3, 1, 0]), "l"))]).toEqual([3, 256]);
    expect([...(await readIdxLabels(idx(12, [2], ints(7, 300)), "l"))]).toEqual([7, 300]);
    expect([...(await readIdxLabels(gz(idx(12, [2, 1], ints(7, 3))), "l.gz"))]).toEqual([7, 3]);
  });

  test("of QMNIST's eight numbers the first is the class", async () => {
    const body = ints(3, 1, 77, 0, 51, 5, 0, 0, 0, 4, 78, 1, 48, 6, 0, 0);
    const source = memorySource({
      "qmnist-train-images-idx3-ubyte": images,
      "qmnist-train-labels-idx2-int": idx(12, [2, 8], body),
    });
    const data = await openIdx(source);
    expect([...data.batch([0, 1]).labels]).toEqual([3n, 0n]);
    expect(data).toMatchObject({ classes: 4, notes: [] });
  });

  test.each([
    ["negative bytes", idx(9, [2], [3, 255]), "l has the label -1 (sample 1), expected 0 or more."],
    ["negative integers", idx(12, [1], ints(-5)), "l has the label -5"],
    [
      "floats",
      idx(13, [1], [0, 0, 0, 0]),
      "expected 2049 (IDX labels of unsigned bytes) or one of wider integers, of 1-dimensional 32-bit floats",
    ],
    ["one per class", idx(12, [2, 8], ints(0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)), "one number per class"],
    ["ten bytes each", idx(8, [1, 10], [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), "10 unsigned bytes per label"],
    ["little-endian order", Uint8Array.of(1, 8, 0, 0, 2, 0, 0, 0, 1, 2), "in little-endian order"],
    ["cut off", idx(12, [3], ints(1, 2)), "l is cut off: 8 bytes follow the header, expected 3 x 4 = 12."],
    ["gzip under a plain name", gz(labels), "of gzip (whose name ends in .gz)"],
  ])("%s are refused by name", async (_, bytes, message) => {
    await expect(readIdxLabels(bytes, "l")).rejects.toThrow(message);
  });

  test("names with dots, packed or not", async () => {
    const source = memorySource({ "train-images.idx3-ubyte": images, "train-labels.idx1-ubyte.gz": gz(labels) });
    expect(await openIdx(source)).toMatchObject({ size: 2, classes: 8, notes: [] });
    const nested = memorySource({
      "MNIST/raw/train-images-idx3-ubyte": images,
      "MNIST/raw/train-labels-idx1-ubyte": labels,
    });
    expect(await openIdx(nested)).toMatchObject({ size: 2, classes: 8 });
  });

  test("labels that are not read are an error, none are said", async () => {
    const one = { "train-images-idx3-ubyte": images };
    await expect(openIdx(memorySource({ ...one, "train-labels.csv": labels }, "d"))).rejects.toThrow(
      "d has train-labels.csv, which is not read",
    );
    await expect(openIdx(memorySource({ ...one, "labels.npy": labels }, "d"))).rejects.toThrow(
      "d has labels.npy, which is not read",
    );
    expect((await openIdx(memorySource(one, "d"))).notes).toEqual([
      "d has no train-labels-idx1-ubyte[.gz], so its images have no classes.",
    ]);
  });

  test("a test part has the classes of its training part", async () => {
    const files = {
      "train-images-idx3-ubyte": images,
      "train-labels-idx1-ubyte": labels,
      "t10k-images-idx3-ubyte": images,
      "t10k-labels-idx1-ubyte": writeIdxLabels(Uint8Array.of(1, 0)),
    };
    expect((await openIdx(memorySource(files), { split: "test" })).classes).toBe(8);
    const more = { ...files, "t10k-labels-idx1-ubyte": writeIdxLabels(Uint8Array.of(9, 0)) };
    await expect(openIdx(memorySource(more), { split: "test" })).rejects.toThrow("the label 9, expected labels 0 to 7");
  });

  test("a third part is said, and images of another kind are refused by name", async () => {
    const files = {
      "train-images-idx3-ubyte": images,
      "train-labels-idx1-ubyte": labels,
      "extra-images-idx3-ubyte": images,
    };
    expect((await openIdx(memorySource(files, "d"))).notes).toEqual(["d: left out extra, whose names say no part."]);
    const floats = memorySource({ "train-images-idx3-float": idx(13, [1, 1, 1], [0, 0, 0, 0]) });
    await expect(openIdx(floats)).rejects.toThrow("of 3-dimensional 32-bit floats");
  });
});

describe("gzip unpacks no further than its header says", () => {
  test("more than promised is refused, without unpacking the rest", async () => {
    const bomb = gz(new Uint8Array(50_000_000));
    const header = idx(8, [2, 3, 4], []);
    const long = new Uint8Array(gzipSync(Buffer.concat([header, Buffer.alloc(50_000_000)])));
    const before = process.memoryUsage().rss;
    await expect(readIdxImages(long, "x.gz")).rejects.toThrow("x.gz has bytes left over: its header says 40 bytes");
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
    await expect(readIdxImages(bomb, "x.gz")).rejects.toThrow("magic number 0");
  });

  test("a promise that its size cannot keep is refused", async () => {
    const lie = new Uint8Array(gzipSync(idx(8, [60_000, 1000, 1000], [1, 2, 3])));
    await expect(readIdxImages(lie, "x.gz")).rejects.toThrow("unpacks to 60000000016 bytes, more than 100 times");
    const short = gz(idx(8, [10, 1000, 1000], [1, 2, 3]));
    await expect(readIdxImages(short, "x.gz")).rejects.toThrow("x.gz is cut off: 3 bytes follow the header");
  });
});
