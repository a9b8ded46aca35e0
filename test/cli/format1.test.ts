// Run folders of version 0.1 (cards and states of format 1, test/fixtures/runs-1) are shown, sampled, evaluated and go on.
import { cp, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadState } from "../../src/node/checkpoint.ts";
import { loadModel } from "../../src/node/models.ts";
import { runAt } from "../../src/node/runDir.ts";
import { failure, fewstep, root, scratch } from "./fewstep.ts";

const { at } = scratch();
const fixtures = join(root, "test/fixtures/runs-1");
const mnist = join(root, "assets/mnist-small");
/** A copy that may be changed. */
async function run(name: string): Promise<string> {
  await cp(join(fixtures, name), at(name), { recursive: true });
  return at(name);
}
async function succeeds(...args: string[]) {
  const ended = await fewstep(...args);
  expect(ended.code, ended.err).toBe(0);
  return ended;
}
const cardOf = async (path: string) => JSON.parse(await readFile(join(path, "model/card.json"), "utf8"));
const steps = async (path: string): Promise<number[]> =>
  (await readFile(join(path, "log.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).step);

describe.each([
  ["teacher", "diffusion", 640, 40, 0],
  ["classes", "flow-matching", 64, 8, 10],
  ["interrupted", "diffusion", 320, 20, 0],
  ["half", "diffusion", 320, 20, 0],
  ["pairs", "rectified-diffusion", 160, 10, 0],
] as const)("%s", (name, method, images, step, classes) => {
  test("has the weights and the state that were written", async () => {
    const path = join(fixtures, name);
    expect((await cardOf(path)).format).toBe(1);
    const { card, theta, model } = await loadModel(path);
    expect([card?.recipe.method, card?.imagesSeen]).toEqual([method, images]);
    expect(model.conditions.labels?.rows ?? 0).toBe(classes === 0 ? 0 : classes + 1);
    const progress = await loadState(runAt(path), {});
    expect([progress?.stage, progress?.state.step]).toEqual([0, step]);
    const { student } = progress?.state.players ?? {};
    // The first format kept one network; its average is the model.
    expect(student.averages.kept).toEqual(theta);
    expect([student.m, student.v, student.theta].map((x) => x.length)).toEqual(Array(3).fill(theta.length));
    expect(student.theta).not.toEqual(theta);
    expect(student.updates).toBe(step - (progress?.state.scale?.skipped ?? 0));
    expect(progress?.state.scale === undefined).toBe(name !== "half");
  });
  test("info, sample", async () => {
    const path = await run(name);
    const info = await succeeds("info", path);
    expect(info.out).toContain(method);
    expect(info.out).toContain(`step ${step}`);
    const labels = classes > 0 ? ["--class", "3"] : [];
    await succeeds("sample", path, "--n", "4", "--steps", "2", ...labels, "--out", at("grid.png"));
    expect((await readFile(at("grid.png"))).length).toBeGreaterThan(100);
  });
});

test("evaluate", async () => {
  const [teacher, student] = [join(fixtures, "teacher"), join(fixtures, "pairs")];
  await succeeds(
    ...["evaluate", student, "--teacher", teacher, "--data", "toy:8gaussians@256", "--steps", "1,2"],
    ...["--n", "64", "--out", at("evaluation")],
  );
  const { results } = JSON.parse(await readFile(at("evaluation/report.json"), "utf8"));
  expect(results.length).toBeGreaterThan(0);
});

test.each(["interrupted", "half"])("%s: an interrupted training goes on to its end", async (name) => {
  const path = await run(name);
  const before = await loadState(runAt(path), {});
  const { err } = await succeeds("train", "--resume", path);
  expect(err).toContain("Going on at step 20 of 400");
  const card = await cardOf(path);
  expect([card.format, card.imagesSeen]).toEqual([2, 6400]);
  const after = await loadState(runAt(path), {});
  const skipped = (progress: typeof after) => progress?.state.scale?.skipped ?? 0;
  expect(after?.state.step).toBe(400);
  expect(after?.state.players.student.updates).toBe(400 - skipped(after));
  expect(skipped(after)).toBeGreaterThanOrEqual(skipped(before));
  // No line of the log is there twice, and none is missing.
  expect(await steps(path)).toEqual(Array.from({ length: 400 }, (_, i) => i + 1));
  // Written in the second format, it is compared from now on.
  expect(await failure(1, "train", "--resume", path, "--images", "6416", "--data", "toy:moons@256")).toMatch(
    /belongs to another data than the one given now/,
  );
});

test("what a run begins with is what it had: a first step from the old state, not from new weights", async () => {
  const path = await run("teacher");
  const before = await loadState(runAt(path), {});
  await succeeds("train", "--resume", path, "--images", "656");
  const after = await loadState(runAt(path), {});
  const [a, b] = [before, after].map((p) => p?.state.players.student.theta ?? new Float32Array(0));
  expect(Math.max(...a.map((x, i) => Math.abs(x - b[i])))).toBeLessThan(2e-3);
  expect(a).not.toEqual(b);
});

test("classes: the labels stay what they were", async () => {
  const path = await run("classes");
  const { err } = await succeeds("train", "--resume", path, "--data", mnist, "--images", "80");
  expect(err).toContain("Going on at step 8 of 10");
  expect((await cardOf(path)).conditioning).toEqual({ labels: 10, nullLabel: 10 });
});

test("pairs: rectified diffusion goes on with the pairs that it had", async () => {
  const path = await run("pairs");
  const shard = join(path, "pairs/pairs-00000.safetensors");
  const before = await readFile(shard);
  const { err } = await succeeds("accelerate", await run("teacher"), "--resume", path, "--images", "192");
  expect(err).toContain("Going on at step 10 of 12");
  expect(err).not.toMatch(/made again|pairs +\d/);
  expect(await readFile(shard)).toEqual(before);
  expect(await readdir(join(path, "pairs"))).toEqual(["pairs-00000.safetensors", "pairs.json"]);
  const card = await cardOf(path);
  // 64 pairs of 4 steps; training asks nothing of the teacher.
  expect([card.format, card.imagesSeen, card.teacherNfe]).toEqual([2, 192, 256]);
});

test("a state of the first format in a run of several players is refused", async () => {
  const path = await run("pairs");
  const options = join(path, "options.json");
  const json = JSON.parse(await readFile(options, "utf8"));
  expect(await failure(2, "accelerate", "--resume", path, "--method", "dmd", "--data", "toy:8gaussians@256")).toContain(
    `was started with method "${json.method}"`,
  );
});
