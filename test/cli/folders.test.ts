// Folders as they are found: links, devices, pipes, pictures that fail while others are read.
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { packImages } from "../../src/data/images.ts";
import { parseJson } from "../../src/data/json.ts";
import { openData, readJson } from "../../src/node/files.ts";
import { picture } from "../data/bytes.ts";

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);
const png = picture(2, 2, 1);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fewstep-folders-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function put(...names: string[]) {
  for (const name of names) {
    await mkdir(dirname(at(name)), { recursive: true });
    await writeFile(at(name), png);
  }
}

describe("links", () => {
  test("to folders and pictures are followed", async () => {
    await put("set/cat/1.png", "elsewhere/a.png", "elsewhere/b.png", "one.png");
    await symlink(at("elsewhere"), at("set/dog"));
    await symlink("../../one.png", at("set/cat/2.png"));
    expect(await openData(at("set"))).toMatchObject({ size: 4, classes: 2, labelNames: ["cat", "dog"] });
    await symlink(at("set"), at("linked"));
    expect((await openData(at("linked"))).size).toBe(4);
  });

  test("that lead nowhere or back are refused", async () => {
    await put("a/cat/1.png", "b/cat/1.png", "c/cat/1.png");
    await symlink(at("none"), at("a/dog"));
    await expect(openData(at("a"))).rejects.toThrow("a/dog is a link to a file or folder that does not exist.");
    await symlink(at("b"), at("b/cat/again"));
    await expect(openData(at("b"))).rejects.toThrow("is a link that leads back to a folder it lies in.");
    await symlink(at("c/loop"), at("c/loop"));
    await expect(openData(at("c"))).rejects.toThrow("is a link that leads back to itself.");
  });
});

describe("files without an end", () => {
  const device = /is a device or a pipe, expected a file\.$/;
  test.each([
    "cat/1.png",
    "train-images-idx3-ubyte",
    "train-images-idx3-ubyte.gz",
    "a.tar",
  ])("a device as %s", async (name) => {
    await mkdir(dirname(at(name)), { recursive: true });
    await symlink("/dev/zero", at(name));
    await expect(openData(folder)).rejects.toThrow(device);
  });

  test("a pipe that nobody writes to, and a device as JSON", async () => {
    await mkdir(at("cat"));
    execFileSync("mkfifo", [at("cat/1.png")]);
    await expect(openData(folder)).rejects.toThrow(device);
    await expect(readJson("/dev/zero")).rejects.toThrow(device);
  });

  test("sizes are checked before a file is read", async () => {
    await put("cat/1.png");
    await truncate(at("cat/1.png"), 2 ** 40);
    await expect(openData(folder)).rejects.toThrow("1.png has 1099511627776 bytes, expected at most 268435456.");
    await writeFile(at("o.json"), "{}");
    await truncate(at("o.json"), 2 ** 35);
    await expect(readJson(at("o.json"))).rejects.toThrow("o.json has 34359738368 bytes");
  });
});

describe("work in flight", () => {
  test("a picture that fails leaves no rejected promise behind, and nothing goes on", async () => {
    let [running, most] = [0, 0];
    async function* items() {
      for (let i = 0; i < 100; i++) yield { name: String(i), bytes: new Uint8Array(1) };
    }
    const decode = async (_: Uint8Array, name: string) => {
      running++;
      most = Math.max(most, running);
      await new Promise((done) => setTimeout(done, Number(name) % 7));
      running--;
      if (Number(name) > 40 && Number(name) % 3 === 0) throw new Error(`${name} is broken.`);
      return { width: 1, height: 1, channels: 1, data: new Uint8Array(1) };
    };
    await expect(packImages(items(), decode)).rejects.toThrow("is broken.");
    expect(running).toBe(0);
    expect(most).toBeGreaterThan(4);
  });

  test("a source that fails waits for the pictures it gave", async () => {
    let running = 0;
    async function* items() {
      for (let i = 0; i < 5; i++) yield { name: String(i), bytes: new Uint8Array(1) };
      throw new Error("The source is cut off.");
    }
    const decode = async (_: Uint8Array, name: string) => {
      running++;
      await new Promise((done) => setTimeout(done, 5));
      running--;
      if (name !== "0") throw new Error(`${name} is broken.`);
      return { width: 1, height: 1, channels: 1, data: new Uint8Array(1) };
    };
    await expect(packImages(items(), decode)).rejects.toThrow("The source is cut off.");
    expect(running).toBe(0);
  });

  test("a process that catches the error lives on", async () => {
    await put(...Array.from({ length: 30 }, (_, i) => `cat/${i}.png`));
    for (const i of [5, 9, 20]) await writeFile(at(`cat/${i}.png`), "no picture");
    const script = `
      import { openData } from ${JSON.stringify(resolve(import.meta.dirname, "../../src/node/files.ts"))};
      const said = await openData(${JSON.stringify(folder)}).catch((error) => error.message);
      await new Promise((done) => setTimeout(done, 200));
      console.log("alive: " + said);`;
    await writeFile(at("script.mts"), script);
    const out = execFileSync(process.execPath, ["--import", "tsx", at("script.mts")], {
      cwd: resolve("."),
      encoding: "utf8",
    });
    expect(out).toMatch(/^alive: .*png is no readable PNG/);
  });
});

describe("JSON as Python writes it", () => {
  test("infinities and NaN are numbers, in texts they are letters", () => {
    const text =
      '{"a":-Infinity,"b":[Infinity,NaN,1],"c":"NaN, -Infinity \\" Infinity","d":{"NaN":NaN},"not a number":"not a number"}';
    expect(parseJson(text, "x")).toEqual({
      a: -Infinity,
      b: [Infinity, Number.NaN, 1],
      c: 'NaN, -Infinity " Infinity',
      d: { NaN: Number.NaN },
      "not a number": "not a number",
    });
    expect(parseJson('\ufeff{"a":1e5}', "x")).toEqual({ a: 1e5 });
  });

  test.each([
    ["", "x is not JSON: it is empty."],
    ["{", "x is not JSON: "],
    ["{'a':1}", "x is not JSON: "],
    ['{"a":Infinityx}', "x is not JSON: "],
    ['{"a":--Infinity}', "x is not JSON: "],
    ["[".repeat(1_000_000), "x has more than 100 lists or objects inside each other."],
    ['{"a":'.repeat(100_000), "x has more than 100 lists or objects inside each other."],
    [`"${'\\"'.repeat(500_000)}`, "x is not JSON: "],
    [`{"${"a".repeat(3_000_000)}`, "x is not JSON: "],
    [`${"\n".repeat(1000)}{"a" 1}`, "x is not JSON: "],
  ])("what is none is refused at once, in a sentence: case %#", (text, message) => {
    const cpu = process.cpuUsage();
    let said = "";
    try {
      parseJson(text, "x");
    } catch (error) {
      said = error instanceof Error ? error.message : "";
    }
    const { user, system } = process.cpuUsage(cpu);
    expect(said).toContain(message);
    expect(said).toMatch(/^[^\n]{1,300}\.$/);
    expect((user + system) / 1e6, "seconds of the processor").toBeLessThan(2);
  });
});
