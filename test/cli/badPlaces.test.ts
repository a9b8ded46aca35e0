// Places that take no file are found before anything is computed, and end in one sentence.
import { mkdir, writeFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import { fewstep, onlyRun, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const tiny = "--data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --preview-every 0".split(" ");
let model: string;

beforeAll(async () => {
  const { code, err } = await fewstep("train", ...tiny, "--images", "8", "--out", at("models"));
  expect(code, err).toBe(0);
  model = await onlyRun(at("models"));
});

/** The one sentence, and nothing on stdout. */
async function failure(...args: string[]): Promise<string> {
  const ended = await fewstep("--quiet", ...args);
  expect(ended.err).toMatch(/^Error: [^\n]+[.?)]\n$/);
  expect([ended.code, ended.out]).toEqual([1, ""]);
  return ended.err.slice("Error: ".length, -1);
}

// Node's own recursive mkdir never ends on /proc/none.
const places = process.platform === "linux" ? [["/proc/none/x", "its folder is not there and cannot be made"]] : [];
test.each([...places, ["file/x", "a part of the path is a file, not a folder"]])("%s", async (place, why) => {
  await writeFile(at("file"), "");
  const path = place.startsWith("/") ? place : at(place);
  const sampled = ["sample", model, "--n", "1"];
  expect(await failure(...sampled, "--out", `${path}/grid.png`)).toBe(`${path}/grid.png cannot be written: ${why}.`);
  expect(await failure(...sampled, "--out", at("grid.png"), "--save", path)).toContain(`${path} cannot be`);
  const made = `${path} could not be made: ${why}.`;
  expect(await failure("train", ...tiny, "--images", "8", "--out", path)).toBe(made);
  expect(await failure("evaluate", model, "--data", "toy:moons@64", "--out", path)).toBe(made);
});
test("a folder of that name", async () => {
  await mkdir(at("folder"), { recursive: true });
  expect(await failure("sample", model, "--out", at("folder"))).toMatch(
    /folder cannot be written: a folder of that name exists\.$/,
  );
});
