import { describe, expect, test } from "vitest";
import { openClassFolders } from "../../src/data/classFolders.ts";
import { openFiles } from "../../src/data/open.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { memorySource } from "../../src/data/source.ts";
import { picture } from "./bytes.ts";

const grey = (first: number) => picture(2, 2, 1, first);
const firstByte = (x: Float32Array) => Math.round((x[0] + 1) * 127.5);

describe("class folders", () => {
  test("classes are the sorted folder names, images become planes", async () => {
    const source = memorySource({
      "dog/b.png": picture(2, 1, 3, 30),
      "cat/a.png": picture(2, 1, 3, 0),
      "dog/nested/c.PNG": picture(2, 1, 3, 60),
      "cat/.hidden.png": grey(0),
      "notes.txt": new Uint8Array(1),
    });
    const dataset = await openClassFolders(source, decodePng);
    expect(dataset).toMatchObject({ size: 3, shape: [3, 1, 2], classes: 2, labelNames: ["cat", "dog"] });
    const { x, labels } = dataset.batch([0, 1, 2]);
    expect([...labels]).toEqual([0n, 1n, 1n]);
    // Interleaved 0 1 2, 3 4 5 becomes red 0 3, green 1 4, blue 2 5.
    expect([...x.subarray(0, 6)].map((v) => Math.round((v + 1) * 127.5))).toEqual([0, 3, 1, 4, 2, 5]);
  });

  test("folders of numbers are in the order of the numbers", async () => {
    const source = memorySource({ "10/a.png": grey(1), "9/a.png": grey(2), "2/a.png": grey(3) });
    expect((await openClassFolders(source, decodePng)).labelNames).toEqual(["2", "9", "10"]);
  });

  test("train and test folders are parts, not classes", async () => {
    const source = memorySource({ "train/a/1.png": grey(1), "train/b/1.png": grey(2), "val/a/1.png": grey(9) }, "pets");
    expect(await openClassFolders(source, decodePng)).toMatchObject({ size: 2, labelNames: ["a", "b"] });
    const other = await openClassFolders(source, decodePng, { split: "test" });
    expect(other).toMatchObject({ size: 1, classes: 2, labelNames: ["a", "b"] });
    expect(firstByte(other.batch([0]).x)).toBe(9);
    const only = memorySource({ "train/a/1.png": grey(1) }, "pets");
    await expect(openClassFolders(only, decodePng, { split: "test" })).rejects.toThrow("pets has no PNG");
  });

  test("images without folders have no classes", async () => {
    const dataset = await openFiles(memorySource({ "b.png": grey(7), "a.png": grey(5) }), decodePng);
    expect(dataset).toMatchObject({ size: 2, classes: 0, labelNames: undefined });
    expect(firstByte(dataset.batch([0]).x)).toBe(5);
  });

  test("many images keep their order", async () => {
    const names = Array.from({ length: 150 }, (_, i) => `c/${String(i).padStart(4, "0")}.png`);
    const slow = async (bytes: Uint8Array, name: string) => {
      await new Promise((done) => setTimeout(done, name.endsWith("0.png") ? 3 : 0));
      return decodePng(bytes, name);
    };
    const dataset = await openClassFolders(memorySource(Object.fromEntries(names.map((n, i) => [n, grey(i)]))), slow);
    expect(dataset.size).toBe(150);
    for (const i of [0, 33, 149]) expect(firstByte(dataset.batch([i]).x)).toBe(i);
  });

  test("an alpha channel that hides nothing is dropped, transparency is refused", async () => {
    const opaque = memorySource({ "a/1.png": picture(2, 2, 4), "a/2.png": picture(2, 2, 3) });
    expect((await openClassFolders(opaque, decodePng)).shape).toEqual([3, 2, 2]);
    const greyAlpha = memorySource({ "a/1.png": picture(2, 2, 2) });
    expect((await openClassFolders(greyAlpha, decodePng)).shape).toEqual([1, 2, 2]);
    const clear = memorySource({ "a/1.png": picture(2, 2, 4) });
    const half = async (bytes: Uint8Array, name: string) => {
      const image = await decodePng(bytes, name);
      image.data[3] = 128;
      return image;
    };
    await expect(openClassFolders(clear, half)).rejects.toThrow("a/1.png has transparent pixels");
  });
});

describe("refused", () => {
  const open = (files: Record<string, Uint8Array>, shape?: [number, number, number]) =>
    openFiles(memorySource(files, "folder"), decodePng, { shape });

  test("another size", async () => {
    await expect(open({ "a/1.png": grey(0), "a/2.png": picture(3, 2, 1) })).rejects.toThrow(
      "a/2.png is 3 x 2 with 1 channel, expected 2 x 2 with 1 channel like a/1.png.",
    );
  });
  test("another number of channels", async () => {
    await expect(open({ "a/1.png": picture(2, 2, 3), "b/1.png": grey(0) })).rejects.toThrow(
      "b/1.png is 2 x 2 with 1 channel, expected 2 x 2 with 3 channels like a/1.png.",
    );
  });
  test("a size the model does not have", async () => {
    await expect(open({ "a/1.png": grey(0) }, [1, 28, 28])).rejects.toThrow(
      "a/1.png is 2 x 2 with 1 channel, expected 28 x 28 with 1 channel like the model.",
    );
  });
  test("an image beside class folders", async () => {
    await expect(open({ "a/1.png": grey(0), "x.png": grey(0) })).rejects.toThrow('folder has "x.png" beside class');
  });
  test("a folder without data", async () => {
    await expect(open({})).rejects.toThrow("folder holds no data: expected *-images-idx3-ubyte[.gz] files");
    await expect(open({ "readme.md": new Uint8Array(3) })).rejects.toThrow("folder holds no data");
  });
  test("corrupt images", async () => {
    const whole = picture(20, 20, 3);
    await expect(open({ "a/1.png": new Uint8Array(0) })).rejects.toThrow("a/1.png is no readable PNG");
    await expect(open({ "a/1.png": whole.subarray(0, 60) })).rejects.toThrow("a/1.png is no readable PNG");
    const damaged = whole.slice();
    damaged[60] ^= 255;
    await expect(open({ "a/1.png": damaged })).rejects.toThrow("a/1.png is no readable PNG");
  });
});
