import { mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Disk, writeAtomic } from "../../src/node/atomic.ts";
import { decodeImage } from "../../src/node/decode.ts";
import {
  openData,
  openSafetensors,
  readJson,
  readSafetensors,
  writeJson,
  writeSafetensors,
} from "../../src/node/files.ts";
import { folderSource } from "../../src/node/folderSource.ts";
import { globMatcher } from "../../src/node/glob.ts";
import { picture, tar } from "../data/bytes.ts";

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fewstep-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function put(files: Record<string, Uint8Array | string>) {
  for (const [name, bytes] of Object.entries(files)) await writeAtomic(at(name), bytes);
}

describe("writeAtomic", () => {
  test("writes text, bytes and pieces, makes folders, replaces files, leaves nothing else", async () => {
    await writeAtomic(at("a/b/c.txt"), "one");
    await writeAtomic(at("a/b/c.txt"), Uint8Array.of(50, 51));
    expect(await readFile(at("a/b/c.txt"), "utf8")).toBe("23");
    await writeAtomic(at("a/b/c.txt"), [Uint8Array.of(52), Uint8Array.of(53, 54)]);
    expect(await readFile(at("a/b/c.txt"), "utf8")).toBe("456");
    expect(await readdir(at("a/b"))).toEqual(["c.txt"]);
  });

  const failure = (code: string) => Object.assign(new Error(`${code}: write`), { code });
  /** A disk on which one operation of the temporary file fails. */
  const failing = (operation: "writeFile" | "sync", error: Error): Disk => ({
    rename,
    open: async (...args) => {
      const file = await open(...args);
      file[operation] = async () => {
        throw error;
      };
      return file;
    },
  });

  test.each([
    ["a full disk while writing", failing("writeFile", failure("ENOSPC")), "the disk is full"],
    ["a full disk while flushing", failing("sync", failure("ENOSPC")), "the disk is full"],
    ["a quota", failing("writeFile", failure("EDQUOT")), "the disk quota is used up"],
    [
      "a failing rename",
      {
        open,
        rename: async () => {
          throw failure("EACCES");
        },
      },
      "there is no permission to write there",
    ],
  ] as [string, Disk, string][])("%s leaves the old file as it was", async (_, disk, message) => {
    await writeAtomic(at("state.bin"), "old");
    const error = await writeAtomic(at("state.bin"), "new", disk).catch((e: Error) => e.message);
    expect(error).toBe(`${at("state.bin")} could not be written: ${message}${String(error).split(message)[1]}`);
    expect(await readFile(at("state.bin"), "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(["state.bin"]);
  });

  test("content that fails half way leaves the old file", async () => {
    await writeAtomic(at("state.bin"), "old");
    function* content() {
      yield Uint8Array.of(1);
      throw new RangeError("no more");
    }
    await expect(writeAtomic(at("state.bin"), content())).rejects.toThrow("could not be written: no more");
    expect(await readFile(at("state.bin"), "utf8")).toBe("old");
    expect(await readdir(folder)).toEqual(["state.bin"]);
  });

  test("a path through a file, and a folder in the way", async () => {
    await writeAtomic(at("file"), "x");
    await expect(writeAtomic(at("file/inside"), "x")).rejects.toThrow("a part of the path is a file");
    await mkdir(at("folder/sub"), { recursive: true });
    await expect(writeAtomic(at("folder"), "x")).rejects.toThrow("folder could not be written");
    expect(await readdir(folder)).toEqual(["file", "folder"]);
  });
});

describe("decodeImage", () => {
  const raw = (channels: 1 | 2 | 3 | 4) =>
    sharp(
      Uint8Array.from({ length: 12 * channels }, (_, i) => (i * 5) % 256),
      {
        raw: { width: 4, height: 3, channels },
      },
    );

  test("keeps the channels of grey, color and alpha, in every format", async () => {
    const grey = raw(1).toColorspace("b-w");
    const expected = Array.from({ length: 12 }, (_, i) => i * 5);
    const png = await decodeImage(await grey.clone().png().toBuffer(), "p");
    expect(png).toMatchObject({ width: 4, height: 3, channels: 1 });
    expect([...png.data]).toEqual(expected);
    expect((await decodeImage(await grey.clone().jpeg().toBuffer(), "p")).channels).toBe(1);
    const deep = await grey.clone().toColorspace("grey16").png().toBuffer();
    expect([...(await decodeImage(deep, "p")).data]).toEqual(expected);
    for (const format of ["png", "webp", "jpeg"] as const) {
      const image = await decodeImage(await raw(3).toFormat(format, { lossless: true }).toBuffer(), "p");
      expect(image).toMatchObject({ width: 4, height: 3, channels: 3 });
      if (format !== "jpeg") expect([...image.data]).toEqual(Array.from({ length: 36 }, (_, i) => i * 5));
    }
    const greyAlpha = await decodeImage(await raw(2).toColorspace("b-w").png().toBuffer(), "p");
    expect(greyAlpha.channels).toBe(2);
    expect([...greyAlpha.data]).toEqual(Array.from({ length: 24 }, (_, i) => i * 5));
    expect((await decodeImage(await raw(4).png().toBuffer(), "p")).channels).toBe(4);
  });

  test("refuses what is empty, cut off or no picture", async () => {
    const noise = sharp(
      Uint8Array.from({ length: 30_000 }, (_, i) => (i * i * 31) % 251),
      {
        raw: { width: 100, height: 100, channels: 3 },
      },
    );
    for (const bytes of [await noise.clone().png().toBuffer(), await noise.clone().jpeg().toBuffer()]) {
      await expect(decodeImage(bytes.subarray(0, bytes.length / 2), "p")).rejects.toThrow("p is no readable PNG");
    }
    await expect(decodeImage(new Uint8Array(0), "p")).rejects.toThrow("p is no readable PNG, JPEG or WebP");
    await expect(decodeImage(new Uint8Array(50), "p")).rejects.toThrow("p is no readable PNG, JPEG or WebP");
  });
});

describe("openData", () => {
  test("the MNIST of the repository", async () => {
    const train = await openData("assets/mnist-small");
    expect(train).toMatchObject({ size: 10_000, shape: [1, 28, 28], classes: 10 });
    // The first digits of MNIST are a well-known sequence.
    expect([...train.batch([0, 1, 2, 3, 4]).labels]).toEqual([5n, 0n, 4n, 1n, 9n]);
    const { x } = train.batch(Array.from({ length: 10_000 }, (_, i) => i));
    const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
    // The training set's mean is 0.1307 of white.
    expect((mean + 1) / 2).toBeCloseTo(0.1307, 2);
    expect((await openData("assets/mnist-small", { split: "test" })).size).toBe(2_000);
  });

  test("class folders with PNG, JPEG and WebP", async () => {
    const color = sharp(await picture(8, 8, 3));
    await put({
      "cat/a.png": await color.clone().png().toBuffer(),
      "cat/b.JPG": await color.clone().jpeg().toBuffer(),
      "dog/c.webp": await color.clone().webp().toBuffer(),
      "dog/.DS_Store": "x",
    });
    const dataset = await openData(folder);
    expect(dataset).toMatchObject({ size: 3, shape: [3, 8, 8], classes: 2, labelNames: ["cat", "dog"] });
    expect([...dataset.batch([0, 1, 2]).labels]).toEqual([0n, 0n, 1n]);
  });

  test("one tar, a pattern of tars, and a tar with a pattern's letters in its name", async () => {
    const shard = (first: number) => tar({ "0.png": picture(2, 2, 1, first), "0.cls": "1" });
    await put({
      "a-test-0.tar": shard(1),
      "a-train-00.tar": shard(2),
      "a-train-01.tar": shard(3),
      "a{b}.tar": shard(4),
    });
    const first = async (path: string) =>
      (await openData(at(path))).batch([0]).x.map((v) => Math.round((v + 1) * 127.5))[0];
    expect(await first("a-test-0.tar")).toBe(1);
    expect(await first("a{b}.tar")).toBe(4);
    expect((await openData(at("a-train-*.tar"))).size).toBe(2);
    expect((await openData(at("a-train-{00..01}.tar"))).size).toBe(2);
    expect(await first("a-train-?1.tar")).toBe(3);
    await expect(openData(at("b-*.tar"))).rejects.toThrow("b-*.tar fits no file in");
    await expect(openData("sub*/a.tar")).rejects.toThrow("has a pattern in its folder");
  });

  test("toy data", async () => {
    expect(await openData("toy:8gaussians@10")).toMatchObject({ size: 10, shape: [2, 1, 1] });
  });

  test("what is missing, empty or unknown is refused", async () => {
    await expect(openData(at("none"))).rejects.toThrow("none does not exist.");
    await expect(openData(at("none.tar"))).rejects.toThrow("none.tar does not exist.");
    await expect(openData(folder)).rejects.toThrow(`${folder} holds no data`);
    await put({ "x.zip": "x" });
    await expect(openData(at("x.zip"))).rejects.toThrow("x.zip is not data: expected a folder, a .tar file");
    await expect(openData(at("x.zip/y"))).rejects.toThrow("a part of the path is a file");
    await expect(openData("toy:none")).rejects.toThrow('no toy data "none"');
  });

  test("corrupt files are refused by name", async () => {
    await put({ "t/train-images-idx3-ubyte": Uint8Array.of(0, 0, 8, 3, 0), "c/cat/1.png": "no", "x.tar": "hello" });
    await expect(openData(at("t"))).rejects.toThrow("train-images-idx3-ubyte is cut off: 5 bytes");
    await expect(openData(at("c"))).rejects.toThrow("cat/1.png is no readable PNG");
    await expect(openData(at("x.tar"))).rejects.toThrow("x.tar is cut off: it ends at byte 5");
  });
});

test("folderSource lists all levels with slashes and reads", async () => {
  await put({ "a.txt": "1", "b/c/d.txt": "2" });
  const source = folderSource(`${folder}/`);
  expect([...(await source.list())].sort()).toEqual(["a.txt", "b/c/d.txt"]);
  expect(new TextDecoder().decode(await source.read("b/c/d.txt"))).toBe("2");
  await expect(source.read("x")).rejects.toThrow("x does not exist.");
});

test("globMatcher", () => {
  const fits = (pattern: string, names: string[]) => names.filter(globMatcher(pattern));
  expect(fits("a*.tar", ["a.tar", "a1.tar", "b.tar", "a.tar.gz", "axtar"])).toEqual(["a.tar", "a1.tar"]);
  expect(fits("{a,b}-{08..10}.tar", ["a-08.tar", "b-10.tar", "a-8.tar", "a-11.tar", "c-09.tar"])).toEqual([
    "a-08.tar",
    "b-10.tar",
  ]);
  expect(fits("x(1)+[2].tar", ["x(1)+[2].tar", "x1"])).toEqual(["x(1)+[2].tar"]);
  expect(() => globMatcher("{5..3}")).toThrow("The range {5..3} runs backwards, expected the smaller number first.");
});

describe("safetensors on disk", () => {
  const tensors = {
    a: { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) },
    b: { shape: [1], data: BigInt64Array.of(5n) },
  };

  test("are written, read whole, in part and one by one", async () => {
    await writeSafetensors(at("m.safetensors"), tensors, { format: "pt" });
    const whole = await readSafetensors(at("m.safetensors"));
    expect(whole.metadata).toEqual({ format: "pt" });
    expect([...(whole.tensors.get("a")?.data ?? [])]).toEqual([1, 2, 3, 4]);
    expect([...(await readSafetensors(at("m.safetensors"), (name) => name === "b")).tensors.keys()]).toEqual(["b"]);
    const file = await openSafetensors(at("m.safetensors"));
    expect(file.entries.get("a")?.shape).toEqual([2, 2]);
    expect([...(await file.read("b")).data]).toEqual([5n]);
    await expect(file.read("c")).rejects.toThrow('m.safetensors has no tensor "c".');
    await file.close();
  });

  test("missing, empty and cut off files are refused", async () => {
    await expect(readSafetensors(at("no.safetensors"))).rejects.toThrow("no.safetensors does not exist.");
    await put({ "empty.safetensors": "" });
    await expect(readSafetensors(at("empty.safetensors"))).rejects.toThrow("empty.safetensors is cut off: 0 bytes");
    await writeSafetensors(at("m.safetensors"), tensors);
    const bytes = await readFile(at("m.safetensors"));
    await put({ "cut.safetensors": bytes.subarray(0, bytes.length - 4) });
    await expect(readSafetensors(at("cut.safetensors"))).rejects.toThrow("cut.safetensors is cut off");
    await expect(readSafetensors(folder)).rejects.toThrow("is a folder, expected a file.");
  });
});

test("JSON is written and read; what is none is refused", async () => {
  await writeJson(at("o.json"), { a: [1] });
  expect(await readFile(at("o.json"), "utf8")).toBe('{\n  "a": [\n    1\n  ]\n}\n');
  expect(await readJson(at("o.json"))).toEqual({ a: [1] });
  await writeFile(at("bad.json"), "{");
  await expect(readJson(at("bad.json"))).rejects.toThrow("bad.json is not JSON");
  await expect(readJson(at("none.json"))).rejects.toThrow("none.json does not exist.");
});
