import { describe, expect, test } from "vitest";
import { openFiles } from "../../src/data/open.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { memorySource } from "../../src/data/source.ts";
import { readTar } from "../../src/data/tar.ts";
import { openWebDataset } from "../../src/data/webDataset.ts";
import { collect, picture, pieces, tar } from "./bytes.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** An entry with a header of our own, so that every field can be what we like. */
function entry(name: string, body: Uint8Array, type = "0", size = `${body.length.toString(8).padStart(11, "0")}\0`) {
  const out = new Uint8Array(512 + Math.ceil(body.length / 512) * 512);
  const put = (at: number, value: string) => out.set(new TextEncoder().encode(value), at);
  put(0, name);
  put(124, size);
  put(148, "        ");
  put(156, type);
  put(257, "ustar\0");
  out.set(body, 512);
  const sum = out.subarray(0, 512).reduce((a, b) => a + b, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return out;
}
const join = (...parts: Uint8Array[]) => new Uint8Array(parts.flatMap((part) => [...part]));
const bytes = (value: string) => new TextEncoder().encode(value);

describe("readTar", () => {
  const archive = tar({ "a.txt": "one", "folder/b.bin": Uint8Array.from({ length: 1500 }, (_, i) => i), empty: "" });

  test.each([1, 7, 512, 513, 100_000])("pieces of %i bytes give the same entries", async (size) => {
    const entries = await collect(readTar(pieces(archive, size), "x.tar"));
    expect(entries.map(({ name }) => name)).toEqual(["a.txt", "folder/b.bin", "empty"]);
    expect(text(entries[0].bytes)).toBe("one");
    expect([...entries[1].bytes]).toEqual(Array.from({ length: 1500 }, (_, i) => i % 256));
    expect(entries[2].bytes.length).toBe(0);
  });

  test("unwanted entries and folders are passed over", async () => {
    const mixed = join(entry("dir/", new Uint8Array(0), "5"), entry("link", new Uint8Array(0), "2"), archive);
    const entries = await collect(readTar(pieces(mixed), "x.tar", (name) => name.endsWith(".txt")));
    expect(entries.map(({ name }) => name)).toEqual(["a.txt"]);
  });

  test("long names: ustar prefix, GNU and pax, with blanks and beyond ASCII", async () => {
    const long = `${"deep/".repeat(40)}naïve name.txt`;
    const path = ` path=${long}\n`;
    const length = bytes(path).length + 3;
    const prefixed = entry("file", bytes("p"));
    prefixed.set(bytes("some/prefix"), 345);
    prefixed.set(bytes("        "), 148);
    const sum = prefixed.subarray(0, 512).reduce((a, b) => a + b, 0);
    prefixed.set(bytes(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
    const archive = join(
      entry("././@LongLink", bytes(`${long}\0`), "L"),
      entry("cut", bytes("gnu")),
      entry("pax", bytes(`12 mtime=10\n${length}${path}`), "x"),
      entry("cut", bytes("pax")),
      prefixed,
    );
    const entries = await collect(readTar(pieces(archive), "x.tar"));
    expect(entries.map((e) => [e.name, text(e.bytes)])).toEqual([
      [long, "gnu"],
      [long, "pax"],
      ["some/prefix/file", "p"],
    ]);
  });

  test("a size in base 256", async () => {
    const size = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03";
    const archive = entry("a", bytes("abc"), "0", `x${size}`);
    archive[124] = 0x80;
    archive.set(bytes("        "), 148);
    const sum = archive.subarray(0, 512).reduce((a, b) => a + b, 0);
    archive.set(bytes(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
    expect(text((await collect(readTar(pieces(archive), "x")))[0].bytes)).toBe("abc");
  });

  test("what is no tar, is damaged or cut off is refused", async () => {
    const read = (data: Uint8Array) => collect(readTar(pieces(data), "x.tar"));
    await expect(read(picture(40, 40, 3, 1))).rejects.toThrow("x.tar is no tar file or is damaged at byte 0");
    await expect(read(bytes("hello"))).rejects.toThrow("x.tar is cut off: it ends at byte 5");
    await expect(read(archive.subarray(0, 512 + 512 + 600))).rejects.toThrow("x.tar is cut off");
    const damaged = archive.slice();
    damaged[1024 + 3] ^= 1;
    await expect(read(damaged)).rejects.toThrow("x.tar is no tar file or is damaged at byte 1024");
    await expect(read(entry("a", bytes("x"), "0", "-0000000017\0"))).rejects.toThrow('has the size "-0000000017"');
  });
});

describe("WebDataset", () => {
  const grey = (first: number) => picture(2, 2, 1, first);
  const open = (files: Record<string, Uint8Array>) => openWebDataset(memorySource(files, "shards"), decodePng);
  const firsts = (x: Float32Array) => [0, 4].map((i) => Math.round((x[i] + 1) * 127.5));

  test("images and .cls numbers, over several tars in order of name", async () => {
    const dataset = await open({
      "b.tar": tar({ "0.png": grey(40), "0.cls": "1\n" }),
      "a.tar": tar({ "0.cls": "4", "0.png": grey(20), "0.json": "{}" }),
    });
    expect(dataset).toMatchObject({ size: 2, classes: 5, shape: [1, 2, 2] });
    const { x, labels } = dataset.batch([0, 1]);
    expect(firsts(x)).toEqual([20, 40]);
    expect([...labels]).toEqual([4n, 1n]);
  });

  test(".cls names, .txt numbers, .txt captions", async () => {
    const named = await open({ "a.tar": tar({ "0.png": grey(0), "0.cls": "dog", "1.png": grey(0), "1.cls": "cat" }) });
    expect(named).toMatchObject({ classes: 2, labelNames: ["cat", "dog"] });
    expect([...named.batch([0, 1]).labels]).toEqual([1n, 0n]);
    const numbers = await open({ "a.tar": tar({ "0.png": grey(0), "0.txt": "3" }) });
    expect(numbers).toMatchObject({ classes: 4, captions: undefined });
    const captions = await open({ "a.tar": tar({ "0.png": grey(0), "0.txt": "a red dog", "0.cls": "2" }) });
    expect(captions).toMatchObject({ classes: 3, captions: ["a red dog"] });
    const only = await open({ "a.tar": tar({ "0.png": grey(0), "0.txt": "a red dog" }) });
    expect(only).toMatchObject({ classes: 0, captions: ["a red dog"] });
  });

  test("images alone have no classes", async () => {
    expect(await open({ "a.tar": tar({ "x/0.png": grey(0) }) })).toMatchObject({ size: 1, classes: 0 });
  });

  test("a folder of tars gives the wanted part", async () => {
    const source = memorySource(
      {
        "c-train-0.tar": tar({ "0.png": grey(1), "0.cls": "0" }),
        "c-test-0.tar": tar({ "0.png": grey(2), "0.cls": "0" }),
      },
      "shards",
    );
    const first = async (split: "train" | "test") =>
      Math.round(((await openFiles(source, decodePng, { split })).batch([0]).x[0] + 1) * 127.5);
    expect([await first("train"), await first("test")]).toEqual([1, 2]);
    const only = memorySource({ "test.tar": tar({}) }, "shards");
    await expect(openFiles(only, decodePng)).rejects.toThrow("shards has no tars for the train part: test.tar.");
  });

  test("samples that do not fit are refused", async () => {
    await expect(open({ "a.tar": tar({ "0.png": grey(0), "0.cls": "1", "1.png": grey(0) }) })).rejects.toThrow(
      "a.tar: 1 has no .cls beside its image, while other samples have one.",
    );
    await expect(open({ "a.tar": tar({ "0.png": grey(0), "0.jpg": grey(0) }) })).rejects.toThrow(
      "a.tar: 0 has two images",
    );
    await expect(open({ "a.tar": tar({ "0.cls": "1" }) })).rejects.toThrow("shards has no PNG, JPEG or WebP images.");
    await expect(open({})).rejects.toThrow("shards has no .tar files.");
    await expect(open({ "a.tar": tar({ "0.png": bytes("no image") }) })).rejects.toThrow(
      "a.tar: 0.png is no readable PNG",
    );
    await expect(open({ "a.tar": tar({ "0.png": grey(0), "1.png": picture(3, 3, 1) }) })).rejects.toThrow(
      "a.tar: 1.png is 3 x 3 with 1 channel, expected 2 x 2",
    );
  });
});
