// Places that take no file are found before anything is computed, and end in one sentence.
import { mkdir, writeFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import { failure, fewstep, onlyRun, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();
const tiny = "--data toy:moons@64 --form linear --width 8 --depth 1 --batch 8 --preview-every 0".split(" ");
let model: string;

beforeAll(async () => {
  const { code, err } = await fewstep("train", ...tiny, "--images", "8", "--out", at("models"));
  expect(code, err).toBe(0);
  model = await onlyRun(at("models"));
});

// Node's own recursive mkdir never ends on /proc/none.
const places = process.platform === "linux" ? [["/proc/none/x", "its folder is not there and cannot be made"]] : [];
test.each([...places, ["file/x", "a part of the path is a file, not a folder"]])("%s", async (place, why) => {
  await writeFile(at("file"), "");
  const path = place.startsWith("/") ? place : at(place);
  const sampled = ["sample", model, "--n", "1"];
  expect(await failure(1, ...sampled, "--out", `${path}/grid.png`)).toBe(`${path}/grid.png cannot be written: ${why}.`);
  expect(await failure(1, ...sampled, "--out", at("grid.png"), "--save", `${path}.safetensors`)).toMatch(
    / cannot be written: /,
  );
  const made = `${path} could not be made: ${why}.`;
  expect(await failure(1, "train", ...tiny, "--images", "8", "--out", path)).toBe(made);
  expect(await failure(1, "evaluate", model, "--data", "toy:moons@64", "--out", path)).toBe(made);
});
test("a folder of that name", async () => {
  await mkdir(at("folder.png"), { recursive: true });
  expect(await failure(1, "sample", model, "--out", at("folder.png"))).toMatch(
    /folder\.png cannot be written: a folder of that name exists\.$/,
  );
});
