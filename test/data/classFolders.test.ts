// Labels must not shift or vanish, whatever lies in a folder.
import { describe, expect, test } from "vitest";
import { openFiles } from "../../src/data/open.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { memorySource } from "../../src/data/source.ts";
import { picture } from "./bytes.ts";

const png = picture(2, 2, 1);
const none = new Uint8Array(1);
type Files = Readonly<Record<string, Uint8Array>>;
const open = (files: Files, split?: "train" | "test") => openFiles(memorySource(files, "pets"), decodePng, { split });
const labels = async (files: Files, split?: "train" | "test") => {
  const data = await open(files, split);
  return Array.from(data.batch(Array.from({ length: data.size }, (_, i) => i)).labels, Number);
};
const cat = { "cat/1.png": png };
const fox = { "fox/1.png": png };

describe("class folders", () => {
  test.each([
    [
      "a picture of another kind",
      { ...cat, ...fox, "dog/1.bmp": none },
      "1 picture of a kind that is not read (dog/1.bmp)",
    ],
    ["one among others", { ...cat, "cat/2.GIF": none, "cat/3.tif": none }, "2 pictures of a kind that is not read"],
    [
      "a class without pictures",
      { ...cat, ...fox, "dog/1.txt": none },
      '"dog" without PNG, JPEG or WebP files (it holds dog/1.txt)',
    ],
    [
      "an empty class folder",
      { ...cat, ...fox, "dog/": none },
      '"dog" without PNG, JPEG or WebP files (it holds nothing)',
    ],
    ["a class with hidden pictures only", { ...cat, "dog/.1.png": none, "dog/x.txt": none }, '"dog" without PNG'],
    ["a third part", { "train/a/1.png": png, "valid/a/1.png": png, "extra/a/1.png": png }, "beside extra"],
    ["parts beside classes", { "train/a/1.png": png, ...cat }, "train (parts of a dataset) beside cat"],
    ["parts without classes beside another folder", { "train/1.png": png, "extra/1.png": png }, "beside extra"],
    ["two training parts", { "train/a/1.png": png, "training/a/1.png": png }, "one folder for the train part"],
    [
      "parts inside classes",
      { "cat/train/1.png": png, "cat/test/1.png": png },
      "folders test, train inside other folders",
    ],
    ["a folder around parts", { "x/train/a/1.png": png, "x/test/a/1.png": png }, "inside other folders"],
    [
      "a folder around classes",
      { "x/cat/1.png": png, "x/dog/1.png": png },
      "single folder x around the folders cat, dog",
    ],
    ["a picture beside parts", { "train/a/1.png": png, "1.png": png }, '"1.png" beside train'],
  ] as [string, Files, string][])("%s is refused", async (_, files, message) => {
    await expect(open(files)).rejects.toThrow(message);
  });

  test("a test part is numbered like its training part, also where it has fewer classes", async () => {
    const files = {
      "train/a/1.png": png,
      "train/b/1.png": png,
      "train/c/1.png": png,
      "val/b/1.png": png,
      "val/c/1.png": png,
    };
    expect(await open(files, "test")).toMatchObject({ classes: 3, labelNames: ["a", "b", "c"], size: 2 });
    expect(await labels(files, "test")).toEqual([1, 2]);
    expect(await labels({ ...files, "val/a/": none }, "test")).toEqual([1, 2]);
    await expect(open({ ...files, "val/d/1.png": png }, "test")).rejects.toThrow('"d" that its training part lacks');
    await expect(open({ ...files, "val/a/1.txt": none }, "test")).rejects.toThrow('class folder "a" without');
  });

  test.each(["test", "testing", "t10k", "val", "valid", "validation", "Test"])("%s is a test part", async (name) => {
    expect((await open({ "train/a/1.png": png, "train/a/2.png": png, [`${name}/a/1.png`]: png }, "test")).size).toBe(1);
  });

  test("of test and validation parts the first is meant", async () => {
    const files = { "train/a/1.png": png, "test/a/1.png": png, "val/a/1.png": png, "val/a/2.png": png };
    expect((await open(files, "test")).size).toBe(1);
  });

  test("a class may be called train", async () => {
    expect(await open({ "bus/1.png": png, "car/1.png": png, "train/1.png": png })).toMatchObject({
      labelNames: ["bus", "car", "train"],
    });
  });

  test("what is left out is said, hidden files and what file managers leave are not", async () => {
    const files = { ...cat, ".DS_Store": none, "cat/Thumbs.db": none, "__MACOSX/dog/1.png": none };
    expect(await open(files)).toMatchObject({ classes: 1, notes: [] });
    expect((await open({ ...files, "cat/a.csv": none, "b.csv": none })).notes).toEqual([
      "pets: 2 files left out: b.csv, cat/a.csv.",
    ]);
  });

  test("a message names a few of many files", async () => {
    const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`${"n".repeat(200)}${i}.zip`, none]));
    const error = await open(many).catch((e: Error) => e.message);
    expect(error).toMatch(/holds no data.* and 9995 more/);
    expect(String(error).length).toBeLessThan(500);
  });
});
