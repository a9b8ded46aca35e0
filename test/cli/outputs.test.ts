// What a user names to be written: nothing that fewstep did not write is lost, and a report is of one evaluation.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, link, lstat, mkdir, readdir, readFile, realpath, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import sharp from "sharp";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { encodePng, isSignedPng } from "../../src/data/png.ts";
import { decodePng } from "../../src/data/pngDecode.ts";
import { svgSignature, svgToPng } from "../../src/node/figures.ts";
import { readJson, readSafetensors, writeSafetensors } from "../../src/node/files.ts";
import { claimFile } from "../../src/node/outputs.ts";
import { claimReport, replaceReport } from "../../src/node/reportFolder.ts";
import { failure, fewstep, onlyRun, scratch, scratchOnce } from "./fewstep.ts";

const { at } = scratch();
const models = scratchOnce();
const tiny = "--data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --preview-every 0".split(" ");
let model: string;

beforeAll(async () => {
  const { code, err } = await fewstep("train", ...tiny, "--images", "8", "--out", models.at("models"));
  expect(code, err).toBe(0);
  model = await onlyRun(models.at("models"));
});

const image = { width: 2, height: 2, channels: 1, data: new Uint8Array(4) };
const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect width="4" height="4"/></svg>';

test("every PNG says that fewstep wrote it, and other programs read it", async () => {
  for (const png of [encodePng(image), await svgToPng(svg)]) {
    expect(isSignedPng(png)).toBe(true);
    const [chunk, length] = [png.subarray(33), new DataView(png.buffer, png.byteOffset + 33).getUint32(0)];
    const body = chunk.subarray(4, 8 + length);
    expect(Buffer.from(body).toString("latin1")).toBe("tEXtSoftware\0fewstep");
    expect(new DataView(chunk.buffer, chunk.byteOffset + 8 + length).getUint32(0)).toBe(crc32(body));
    expect((await sharp(png).metadata()).format).toBe("png");
    expect((await decodePng(png, "p")).width).toBeGreaterThan(1);
  }
  expect(isSignedPng(await sharp(Buffer.from(svg)).png().toBuffer())).toBe(false);
  expect(isSignedPng(new Uint8Array(3))).toBe(false);
});

describe("claimFile", () => {
  const png = (path: string, force = false) => claimFile(path, { option: "--out", kind: "png", force });
  const foreign = "is a file that fewstep did not write. Choose another name, or write over it with --force.";

  test("the name must fit", async () => {
    await expect(png(at("package.json"), true)).rejects.toThrow(
      `--out is "${at("package.json")}": expected a name that ends with .png.`,
    );
    await expect(png(at("png"))).rejects.toThrow("expected a name that ends with .png");
    await expect(png(at(".png"))).rejects.toThrow("expected a name that ends with .png");
    expect(await png(at("new/GRID.PNG"))).toBe(at("new/GRID.PNG"));
    expect(existsSync(at("new"))).toBe(true);
  });

  test("files of others need --force; fewstep's own do not", async () => {
    await writeFile(at("empty.png"), "");
    await writeFile(at("photo.png"), await sharp(Buffer.from(svg)).png().toBuffer());
    await writeFile(at("own.png"), encodePng(image));
    for (const name of ["empty.png", "photo.png"]) {
      await expect(png(at(name))).rejects.toThrow(`${at(name)} ${foreign}`);
      expect(await png(at(name), true)).toBe(at(name));
    }
    expect(await png(at("own.png"))).toBe(at("own.png"));
    const drawn = { option: "--out", kind: "svg", force: false } as const;
    await writeFile(at("own.svg"), `${svg}\n${svgSignature}\n`);
    await writeFile(at("other.svg"), svg);
    expect(await claimFile(at("own.svg"), drawn)).toBe(at("own.svg"));
    await expect(claimFile(at("other.svg"), drawn)).rejects.toThrow(foreign);
  });

  test("a link leads to the file that is written; a broken link, a folder and a pipe take none", async () => {
    await writeFile(at("own.png"), encodePng(image));
    await symlink(at("own.png"), at("link.png"));
    expect(await png(at("link.png"))).toBe(await realpath(at("own.png")));
    await symlink(at("nothing.png"), at("broken.png"));
    await expect(png(at("broken.png"), true)).rejects.toThrow("it is a link to what is not there");
    await mkdir(at("folder.png"));
    await expect(png(at("folder.png"), true)).rejects.toThrow("a folder of that name exists");
    expect(spawnSync("mkfifo", [at("pipe.png")]).status).toBe(0);
    await expect(png(at("pipe.png"), true)).rejects.toThrow("it is there and no file");
    await symlink("/dev/null", at("null.png"));
    await expect(png(at("null.png"), true)).rejects.toThrow("it is there and no file");
    await writeFile(at("photo.png"), "x");
    await link(at("photo.png"), at("hard.png"));
    await expect(png(at("hard.png"))).rejects.toThrow(foreign);
  });

  test.skipIf(process.getuid?.() === 0)("a file that may only be read is not replaced (not as root)", async () => {
    await writeFile(at("own.png"), encodePng(image));
    await chmod(at("own.png"), 0o444);
    await expect(png(at("own.png"))).rejects.toThrow("it may only be read");
  });
});

describe("fewstep sample", () => {
  test("writes over nothing of others, and over its own", async () => {
    const sample = ["sample", model, "--n", "2", "--steps", "1"];
    const weights = join(model, "model/model.safetensors");
    const before = await readFile(weights);
    await writeFile(at("package.json"), "{}");
    expect(await failure(2, ...sample, "--out", at("package.json"))).toContain("expected a name that ends with .png");
    expect(await failure(2, ...sample, "--out", at("a.png"), "--save", at("a.npz"))).toMatch(
      /^--save is .*: expected a name that ends with \.safetensors\.$/,
    );
    expect(await failure(1, ...sample, "--out", at("a.png"), "--save", weights)).toContain("fewstep did not write");
    await writeSafetensors(at("other.safetensors"), { x: { shape: [1], data: Float32Array.of(1) } });
    expect(await failure(1, ...sample, "--out", at("a.png"), "--save", at("other.safetensors"))).toContain("--force");
    expect(existsSync(at("a.png")), "nothing is written before all is known").toBe(false);
    expect(await readFile(at("package.json"), "utf8")).toBe("{}");
    for (const more of [[], [], ["--force"]]) {
      const ended = await fewstep(...sample, "--out", at("a.png"), "--save", at("a.safetensors"), ...more);
      expect(ended.code, ended.err).toBe(0);
    }
    const forced = await fewstep(...sample, "--out", at("a.png"), "--save", at("other.safetensors"), "--force");
    expect(forced.code, forced.err).toBe(0);
    expect((await readSafetensors(at("other.safetensors"))).metadata).toEqual({
      software: "fewstep",
      holds: "samples",
    });
    await symlink(at("a.png"), at("link.png"));
    expect((await fewstep(...sample, "--out", at("link.png"))).code).toBe(0);
    expect((await lstat(at("link.png"))).isSymbolicLink()).toBe(true);
    expect(await readFile(weights)).toEqual(before);
  });
});

describe("reports", () => {
  const evaluate = (out: string, ...more: string[]) =>
    fewstep("evaluate", model, "--data", "toy:moons@600", "--n", "64", "--path-samples", "8", "--out", out, ...more);
  beforeEach(() => mkdir(at("work")));

  test("a second evaluation leaves nothing of the first", async () => {
    const first = await evaluate(at("e"), "--teacher", model, "--steps", "1,2", "--path-steps", "8");
    expect(first.code, first.err).toBe(0);
    const names = await readdir(at("e"));
    expect(names).toEqual(expect.arrayContaining(["endpoint.png", "paths.png", "report.json"]));
    const report = Object(await readJson(at("e/report.json")));
    expect(report.files).toEqual(names.filter((name) => name !== "report.json").sort());
    await writeFile(at("e/.DS_Store"), "");
    const second = await evaluate(at("e"), "--steps", "1", "--path-steps", "0");
    expect(second.code, second.err).toBe(0);
    const left = (await readdir(at("e"))).filter((name) => name !== ".DS_Store").sort();
    expect(left).not.toContain("endpoint.png");
    expect(left).not.toContain("paths.svg");
    expect(left).toEqual(["report.json", ...Object(await readJson(at("e/report.json"))).files].sort());
  });

  test("a folder with other files is refused before anything is computed; --force keeps them", async () => {
    await writeFile(at("work/thesis.tex"), "mine");
    await writeFile(at("work/notes.md"), "mine");
    const refused = await evaluate(at("work"));
    expect(refused.code).toBe(1);
    expect(refused.err).toBe(
      `Error: ${at("work")} holds notes.md and 1 more, which is no part of a report of fewstep. Choose another --out, or put the report beside it with --force.\n`,
    );
    const forced = await evaluate(at("work"), "--force", "--steps", "1", "--path-steps", "0");
    expect(forced.code, forced.err).toBe(0);
    expect(await readFile(at("work/thesis.tex"), "utf8")).toBe("mine");
    expect(Object(await readJson(at("work/report.json"))).options).not.toHaveProperty("force");
  });

  test("a kill while files change places leaves what says so, and is cleaned up", async () => {
    await replaceReport(at("work"), false, async (stage) => {
      await writeFile(join(stage, "a.png"), "1");
      return { seed: 1 };
    });
    const failed = replaceReport(at("work"), false, async (stage) => {
      await writeFile(join(stage, "b.png"), "2");
      throw new Error("no more");
    });
    await expect(failed).rejects.toThrow("no more");
    expect(await readdir(at("work"))).toEqual(["a.png", "report.json"]);
    expect(await readJson(at("work/report.json"))).toEqual({ software: "fewstep", files: ["a.png"], seed: 1 });
    // As after a kill: a stage, an unfinished list, files of both.
    await mkdir(at("work/.report-01234567"));
    await writeFile(at("work/.report-01234567/c.png"), "3");
    await writeFile(at("work/b.png"), "2");
    const unfinished = { software: "fewstep", unfinished: true, files: ["a.png", "b.png", "c.png"] };
    await writeFile(at("work/report.json"), JSON.stringify(unfinished));
    expect((await claimReport(at("work"), false)).sort()).toEqual([
      ".report-01234567",
      "a.png",
      "b.png",
      "report.json",
    ]);
    await replaceReport(at("work"), false, async (stage) => {
      await writeFile(join(stage, "d.png"), "4");
      return {};
    });
    expect(await readdir(at("work"))).toEqual(["d.png", "report.json"]);
  });

  test("two that are written at once: one of them is there, whole", async () => {
    const write = (name: string) =>
      replaceReport(at("work"), false, async (stage) => {
        for (const part of ["1", "2"]) await writeFile(join(stage, `${name}${part}.png`), name);
        return {};
      });
    await Promise.all([write("a"), write("b")]);
    const wholes = ["a1.png,a2.png,report.json", "b1.png,b2.png,report.json"];
    expect(wholes).toContain((await readdir(at("work"))).join());
  });
});
