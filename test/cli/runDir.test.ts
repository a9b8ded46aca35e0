import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createRun, nextNumber, readLog, rewindLog, runAt, runName } from "../../src/node/runDir.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "fewstep-runs-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

test.each([
  [12, { method: "perflow", data: "mnist", windows: 4, batch: 64 }, "00012-perflow-mnist-w4-b64"],
  [0, { method: "train", data: "toy:8gaussians" }, "00000-train-8gaussians"],
  [7, { method: "reflow", data: "../shared/data/My Images/", batch: 8 }, "00007-reflow-my-images-b8"],
  [123456, { method: "lcm", data: "d/cifar-{00..03}.tar" }, "123456-lcm-cifar-00-03"],
  [1, { method: "lcm", data: "C:\\data\\cats" }, "00001-lcm-cats"],
  [2, { method: "lcm", data: "." }, "00002-lcm"],
])("run %d", (number, parts, name) => expect(runName(number, parts)).toBe(name));

test("numbers go on after the largest", () => {
  expect(nextNumber([])).toBe(0);
  expect(nextNumber(["00003-a", "00011-b", "notes", "12-short", "x-00099-c"])).toBe(12);
  expect(nextNumber(["99999-a", "100000-b"])).toBe(100001);
});

test("a run folder has its parts, the next one the next number", async () => {
  const run = await createRun(join(root, "runs"), { method: "perflow", data: "mnist", batch: 64 }, { seed: 1 });
  expect(run.path).toBe(join(root, "runs", "00000-perflow-mnist-b64"));
  expect((await readdir(run.path)).sort()).toEqual(["model", "options.json", "samples", "state"]);
  expect(JSON.parse(await readFile(run.optionsFile, "utf8"))).toEqual({ seed: 1 });
  await mkdir(join(root, "runs", "00041-other"));
  const next = await createRun(join(root, "runs"), { method: "train", data: "mnist" }, {});
  expect(next.path).toBe(join(root, "runs", "00042-train-mnist"));
});

test("runs that start at once get folders of their own", async () => {
  const runs = await Promise.all(Array.from({ length: 5 }, () => createRun(root, { method: "m", data: "d" }, {})));
  expect(new Set(runs.map((run) => run.path)).size).toBe(5);
});

test("the log grows by lines; a cut-off line is left out; rewinding drops what comes again", async () => {
  const run = await createRun(root, { method: "m", data: "d" }, {});
  expect(await readLog(run.logFile)).toBeUndefined();
  await rewindLog(run, () => true);
  for (const step of [1, 2, 3]) await run.log({ event: "step", step });
  await appendFile(run.logFile, '{"event":"st');
  expect(await readLog(run.logFile)).toHaveLength(3);
  await rewindLog(runAt(run.path), (event) => (event as { step: number }).step <= 2);
  await run.log({ event: "step", step: 3, again: true });
  expect(await readFile(run.logFile, "utf8")).toBe(
    '{"event":"step","step":1}\n{"event":"step","step":2}\n{"event":"step","step":3,"again":true}\n',
  );
});

test("a bad line in the middle is an error that names it", async () => {
  await writeFile(join(root, "log.jsonl"), '{"a":1}\nnonsense\n{"a":2}\n');
  await expect(readLog(join(root, "log.jsonl"))).rejects.toThrow('log.jsonl has no JSON in line 2: "nonsense".');
});
