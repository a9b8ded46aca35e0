// Samples and labels in tars: none lost, none under another's label.
import { describe, expect, test } from "vitest";
import { openFiles } from "../../src/data/open.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { memorySource } from "../../src/data/source.ts";
import { picture } from "./bytes.ts";
import { pax, type RawEntry, rawTar, zeros } from "./rawTar.ts";

const png = (first = 0) => picture(2, 2, 1, first);
const open = (tars: Readonly<Record<string, Uint8Array>>, split?: "train" | "test") =>
  openFiles(memorySource(tars, "d"), decodePng, { split });
async function seen(tar: Uint8Array) {
  const data = await open({ "a.tar": tar });
  const { x, labels } = data.batch(Array.from({ length: data.size }, (_, i) => i));
  const firsts = Array.from({ length: data.size }, (_, i) => Math.round((x[4 * i] + 1) * 127.5));
  return { firsts, labels: Array.from(labels, Number), classes: data.classes, notes: data.notes };
}
const sample = (key: string, first: number, label: string): RawEntry[] => [
  { name: `${key}.png`, body: png(first) },
  { name: `${key}.cls`, body: label },
];

describe("what is read", () => {
  test.each([
    ["one zero block inside", [...sample("0", 10, "1"), zeros(1), ...sample("1", 20, "0"), zeros(2)]],
    ["two archives joined", [...sample("0", 10, "1"), zeros(20), ...sample("1", 20, "0"), zeros(2)]],
    ["joined archives whose names repeat", [...sample("0", 10, "1"), zeros(2), ...sample("0", 20, "0")]],
    [
      "pax sizes",
      [
        pax({ size: String(png().length) }),
        { name: "0.png", body: png(10), size: "00000000000\0" },
        { name: "0.cls", body: "1" },
        ...sample("1", 20, "0"),
      ],
    ],
    [
      "base-256 sizes",
      [
        { name: "0.png", body: png(10), size: Uint8Array.of(128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, png().length) },
        { name: "0.cls", body: "1" },
        ...sample("1", 20, "0"),
      ],
    ],
    [
      "pax paths, and a global comment",
      [
        pax({ comment: "x" }, "g"),
        pax({ path: `${"p/".repeat(80)}0.png`, mtime: "1.5" }),
        { name: "short.png", body: png(10) },
        pax({ path: `${"p/".repeat(80)}0.cls` }),
        { name: "short.cls", body: "1" },
        ...sample("1", 20, "0"),
      ],
    ],
    [
      "GNU long names and links",
      [
        { name: "././@LongLink", type: "K", body: "somewhere\0" },
        { name: "././@LongLink", type: "L", body: `${"p".repeat(120)}.png\0` },
        { name: "x", body: png(10) },
        { name: "././@LongLink", type: "L", body: `${"p".repeat(120)}.cls\0` },
        { name: "x", body: "1" },
        ...sample("q", 20, "0"),
      ],
    ],
    [
      "old plain files, folders and volume labels",
      [
        { name: "label.png", type: "V" },
        { name: "d/", type: "5" },
        { name: "0.png", body: png(10), type: "\0" },
        { name: "0.cls", body: "1", type: "7" },
        ...sample("1", 20, "0"),
      ],
    ],
    [
      "all pictures before all labels",
      [
        { name: "0.png", body: png(10) },
        { name: "1.png", body: png(20) },
        { name: "0.cls", body: "1\n" },
        { name: "1.cls", body: " 0 " },
      ],
    ],
  ] as [string, (RawEntry | Uint8Array)[]][])("%s", async (_, entries) => {
    expect(await seen(rawTar(entries))).toEqual({ firsts: [10, 20], labels: [1, 0], classes: 2, notes: [] });
  });

  test("what is left out is said", async () => {
    const tar = rawTar([
      ...sample("0", 10, "1"),
      { name: "0.json", body: "{}" },
      { name: "README.txt", body: "hello" },
    ]);
    expect((await seen(tar)).notes).toEqual(["d: 2 files left out: 0.json, a.tar: README.txt."]);
  });
});

describe("what is refused", () => {
  test.each([
    [
      "a negative label",
      [...sample("0", 0, "-1"), ...sample("1", 0, "0")],
      'a.tar: 0 has the label "-1", expected a whole number from 0 to 65535.',
    ],
    ["a label with a point", sample("0", 0, "1.0"), 'the label "1.0"'],
    ["a label that no network has rows for", sample("0", 0, "4000000000"), 'the label "4000000000"'],
    ["nan", sample("0", 0, "nan"), 'the label "nan"'],
    [
      "a number among names",
      [...sample("0", 0, "cat"), ...sample("1", 0, "7")],
      'a.tar: 1 has the label "7", expected the name of a class like "cat".',
    ],
    ["an empty label", sample("0", 0, " "), 'the label ""'],
    ["bytes as a label", sample("0", 0, "\u0001\u0002"), "expected the name of a class"],
    ["a long label", sample("0", 0, "x".repeat(1000)), "a .cls of 1000 bytes, expected at most 200"],
    [
      "a hard link",
      [...sample("0", 0, "1"), { name: "1.png", type: "1", link: "0.png" }],
      "a.tar: 1.png is a hard link to another entry (0.png)",
    ],
    [
      "a label that is a hard link",
      [...sample("0", 0, "1"), { name: "1.png", body: png() }, { name: "1.cls", type: "1", link: "0.cls" }],
      "1.cls is a hard link",
    ],
    ["a symbolic link", [{ name: "1.png", type: "2", link: "/dev/zero" }], "1.png is a symbolic link (/dev/zero)"],
    ["a sparse file", [{ name: "1.png", type: "S" }], "1.png is a sparse file"],
    [
      "a sparse file of pax",
      [pax({ "GNU.sparse.major": "1" }), { name: "1.png", body: png() }],
      "1.png is a sparse file",
    ],
    ["an unknown kind", [{ name: "1.png", type: "Z" }], '1.png is of the kind "Z"'],
    [
      "a label without its picture",
      [...sample("0", 0, "1"), { name: "1.cls", body: "0" }],
      "a.tar: 1 has a .cls but no PNG",
    ],
    [
      "a picture of another kind",
      [...sample("0", 0, "1"), { name: "1.bmp", body: "x" }],
      "a.tar: 1 is a picture of a kind that is not read (1.bmp)",
    ],
    [
      "a name twice",
      [...sample("0", 0, "1"), ...sample("1", 0, "1"), ...sample("0", 0, "2")],
      "a.tar: 0 has two images",
    ],
    ["a label twice", [...sample("0", 0, "1"), { name: "0.cls", body: "2" }], "a.tar: 0 has two .cls"],
    [
      "what follows the end mark",
      [...sample("0", 0, "1"), zeros(2), new TextEncoder().encode("junk")],
      "4 bytes that are no tar follow its end mark",
    ],
    ["a block of junk after the end mark", [...sample("0", 0, "1"), zeros(2), zeros(1).fill(65)], "is damaged at byte"],
    [
      "an endless size",
      [{ name: "1.png", size: Uint8Array.of(128, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0) }],
      "1.png has 1125899906842624 bytes, expected at most 268435456",
    ],
    ["a negative size", [{ name: "1.png", size: new Uint8Array(12).fill(255) }], "1.png has the size about"],
    ["a size that is no number", [{ name: "1.png", size: "12x45678901\0" }], '1.png has the size "12x45678901"'],
    [
      "an endless long name",
      [{ name: "l", type: "L", size: "77777777777\0" }],
      "a long name or pax header of 8589934591 bytes",
    ],
    ["a pax size that is no number", [pax({ size: "-1" }), { name: "1.png" }], 'a pax header says the size "-1"'],
    ["a global pax size", [pax({ size: "1" }, "g"), { name: "1.png" }], "gives all entries the size"],
    [
      "a damaged pax header",
      [{ name: "p", type: "x", body: "99 path=x\n" }, { name: "1.png" }],
      "a pax header has no record at 0",
    ],
  ] as [string, (RawEntry | Uint8Array)[], string][])("%s", async (_, entries, message) => {
    const error = await seen(rawTar(entries)).catch((e: Error) => e.message);
    expect(error).toContain(message);
    expect(String(error).length).toBeLessThan(500);
  });

  test("a name of a megabyte does not fill the message", async () => {
    const tar = rawTar([pax({ path: `${"n".repeat(1_000_000)}.png` }), { name: "1.png", body: "x" }]);
    const error = await seen(tar).catch((e: Error) => e.message);
    expect(error).toMatch(/n\.png is no readable PNG/);
    expect(String(error).length).toBeLessThan(500);
  });

  test("an archive under gzip", async () => {
    await expect(seen(rawTar([Uint8Array.of(0x1f, 0x8b), new Uint8Array(600)]))).rejects.toThrow(
      "it is gzip, unpack it first",
    );
  });
});

describe("a test part beside its training part", () => {
  const named = (...labels: string[]) => rawTar(labels.flatMap((label, i) => sample(String(i), i, label)));
  test("names and numbers count as there", async () => {
    const data = await open(
      { "x-train-0.tar": named("ant", "bee", "cat"), "x-val-0.tar": named("cat", "bee") },
      "test",
    );
    expect(data).toMatchObject({ classes: 3, labelNames: ["ant", "bee", "cat"] });
    expect([...data.batch([0, 1]).labels]).toEqual([2n, 1n]);
    expect((await open({ "train.tar": named("0", "9"), "test.tar": named("1") }, "test")).classes).toBe(10);
    await expect(open({ "train.tar": named("a"), "test.tar": named("b") }, "test")).rejects.toThrow(
      "the training part lacks (a)",
    );
    await expect(open({ "train.tar": named("0"), "test.tar": named("1") }, "test")).rejects.toThrow(
      "expected 0 to 0 as in the training",
    );
    await expect(open({ "train.tar": named("0"), "test.tar": named("b") }, "test")).rejects.toThrow(
      "expected a number as in",
    );
  });
  test("tars of no part are said", async () => {
    expect((await open({ "train-0.tar": named("0"), "extra-0.tar": named("1") })).notes).toEqual([
      "d: 1 file left out: extra-0.tar.",
    ]);
    expect((await open({ "train/0.tar": named("0"), "val/0.tar": named("0", "0") })).size).toBe(1);
  });
});
