// Pictures with captions: every layout that is read, and what is refused.
import { describe, expect, test } from "vitest";
import { openCaptioned } from "../../src/data/captioned.ts";
import { memorySource } from "../../src/data/source.ts";
import { picture } from "./bytes.ts";
import { rawTar, zeros } from "./rawTar.ts";

const png = (first = 0) => picture(2, 2, 1, first);
const text = (words: string) => new TextEncoder().encode(words);
type Files = Readonly<Record<string, Uint8Array>>;

async function read(files: Files): Promise<[name: string, caption: string, bytes: number][]> {
  const found: [string, string, number][] = [];
  for await (const { name, caption, bytes } of (await openCaptioned(memorySource(files, "d"))).read())
    found.push([name, caption, bytes.length]);
  return found;
}
const refused = (files: Files) => expect(read(files)).rejects;
const size = png().length;

describe("what is read", () => {
  test("a text beside each picture, an empty one too, in the order of names", async () => {
    const files = { "b.png": png(), "b.txt": text("a cat\n"), "a.png": png(), "a.txt": text(""), "a.md": text("no") };
    expect(await read(files)).toEqual([
      ["a.png", "", size],
      ["b.png", "a cat", size],
    ]);
  });

  test("metadata.jsonl, under any of its names for a caption, in folders as well", async () => {
    const lines = ['{"file_name": "a.png", "text": "one"}', "", '{"file_name": "b.png", "prompt": "two", "id": 3}'];
    const files = {
      ...{ "metadata.jsonl": text(lines.join("\n")), "a.png": png(), "b.png": png(), "c/d.png": png() },
      "c/metadata.jsonl": text('{"file_name": "d.png", "note": "three"}'),
    };
    expect(await read(files)).toEqual([
      ["a.png", "one", size],
      ["b.png", "two", size],
      ["c/d.png", "three", size],
    ]);
  });

  test("the training part of folders that have parts, and a note of the rest", async () => {
    const files = { "train/a.png": png(), "train/a.txt": text("x"), "test/b.png": png(), "test/b.txt": text("y") };
    expect(await read(files)).toEqual([["train/a.png", "x", size]]);
    expect((await openCaptioned(memorySource(files, "d"))).notes).toEqual(["d: 1 picture left out: test/b.png."]);
  });

  test("WebDataset tars with .txt or .json", async () => {
    const tar = rawTar([
      ...[
        { name: "0.png", body: png() },
        { name: "0.txt", body: "one" },
      ],
      ...[
        { name: "1.json", body: '{"caption": "two", "url": "u"}' },
        { name: "1.png", body: png() },
      ],
      zeros(2),
    ]);
    expect(await read({ "a.tar": tar })).toEqual([
      ["a.tar: 0.png", "one", size],
      ["a.tar: 1.png", "two", size],
    ]);
  });
});

describe("what is refused", () => {
  test.each<[string, Files, RegExp]>([
    ["no pictures", { "a.txt": text("x") }, /^d has no PNG, JPEG or WebP files, expected pictures with captions/],
    ["no caption", { "a.png": png() }, /^d has 1 picture without a caption \(a\.png\), expected a\.txt or a line in/],
    [
      "two captions",
      { "a.png": png(), "a.txt": text("x"), "metadata.jsonl": text('{"file_name": "a.png", "text": "y"}') },
      /^a\.png has two captions, in metadata\.jsonl and in a\.txt\. Remove one of them\.$/,
    ],
    [
      "a line about nothing",
      { "a.png": png(), "metadata.jsonl": text('{"file_name": "b.png", "text": "y"}') },
      /^d\/metadata\.jsonl names "b\.png", which is not there\.$/,
    ],
    [
      "a line without a name",
      { "a.png": png(), "metadata.jsonl": text('\n{"text": "y"}') },
      /^d\/metadata\.jsonl, line 2 has no "file_name"/,
    ],
    [
      "a line without a caption",
      { "a.png": png(), "metadata.jsonl": text('{"file_name": "a.png", "x": "1", "y": "2"}') },
      /^d\/metadata\.jsonl, line 1 has no caption: it has file_name, x, y, expected "text", "caption" or "prompt"\.$/,
    ],
    [
      "other pictures",
      { "a.gif": png(), "a.txt": text("x") },
      /^d has 1 picture of a kind that is not read \(a\.gif\)/,
    ],
    [
      "a sample of a tar without one",
      { "a.tar": rawTar([{ name: "0.png", body: png() }, zeros(2)]) },
      /^a\.tar: 0\.png has no caption, expected a \.txt or \.json beside it\.$/,
    ],
    [
      "a sample of a tar with two pictures",
      { "a.tar": rawTar([{ name: "0.png", body: png() }, { name: "0.jpg", body: png() }, zeros(2)]) },
      /is a second picture of its sample, expected one\.$/,
    ],
  ])("%s", async (_, files, sentence) => {
    await refused(files).toThrow(sentence);
  });
});
