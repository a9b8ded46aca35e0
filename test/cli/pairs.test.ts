// Pairs in parts: whoever makes a shard, and in whatever order, its bytes are those of one process; what is damaged or missing
// is named and made again.
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readSafetensors, writeSafetensors } from "../../src/node/files.ts";
import { partOf, rangeOf } from "../../src/node/parts.ts";
import { failure, fewstep, fewstepProcess, scratchOnce } from "./fewstep.ts";
import { toyTeacher } from "./toyTeachers.ts";

const { at } = scratchOnce();
/** Several processes. */
const slow = { timeout: 600_000 };
let teacher: string;
beforeAll(async () => {
  ({ teacher } = await toyTeacher("mlp", at("toy")));
});

const args = (dir: string, ...more: string[]) => [
  ...["pairs", teacher, "--pairs", "60", "--per-shard", "8", "--teacher-steps", "2", "--guidance", "2"],
  ...["--pairs-dir", at(dir), ...more],
];
const go = async (dir: string, ...more: string[]): Promise<string> => {
  const { code, out, err } = await fewstep(...args(dir, ...more));
  expect(code, err).toBe(0);
  return out;
};
const bytes = async (dir: string): Promise<Record<string, string>> => {
  const names = (await readdir(at(dir))).filter((name) => !name.startsWith(".")).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(at(dir), name), "latin1")] as const)),
  );
};

test("parts in any order, by processes at once, are the bytes of one process; a shard is made once", slow, async () => {
  expect(await go("whole")).toContain("8 of 8 shards made, 0 were there.");
  const parts = ["2/3", "0/3", "1/3"].map((part) => fewstepProcess(args("parts", "--part", part)));
  for (const { code, err } of await Promise.all(parts)) expect(code, err).toBe(0);
  const whole = await bytes("whole");
  expect(Object.keys(whole)).toHaveLength(9);
  expect(await bytes("parts")).toEqual(whole);
  expect(await go("parts", "--part", "1/3")).toContain("part 1/3");
  expect(await go("parts", "--part", "1/3")).toContain("0 of 3 shards made, 3 were there.");
});

test("processes that are killed leave whole shards or none, and others make the rest", slow, async () => {
  const whole = await go("once").then(() => bytes("once"));
  for (let kills = 0; kills < 3; kills++) {
    const ended = await fewstepProcess(args("killed", "--part", "0/1"), (event, child) => {
      if (event.kind === "pairs") child.kill("SIGKILL");
    });
    expect(ended.signal).toBe("SIGKILL");
  }
  const made = Object.keys(await bytes("killed"));
  expect(made.length).toBeLessThan(9);
  expect(await failure(1, ...args("killed", "--check"))).toMatch(
    /of the pairs, \d of 8 shards are missing \(\d+ pairs\): [\d, ]+\.$/,
  );
  await go("killed");
  expect(await bytes("killed")).toEqual(whole);
});

test("--check names what is missing and what is damaged, and makes nothing", async () => {
  expect(await failure(1, ...args("none", "--check"))).toContain("has no pairs yet: all 8 shards are missing.");
  expect(await readdir(at())).not.toContain("none");
  await go("checked");
  expect(await go("checked", "--check")).toContain("the pairs, 8 shards, are complete.");
  const shard = (k: number) => join(at("checked"), `pairs-0000${k}.safetensors`);
  await rm(shard(3));
  const damaged = await readFile(shard(5));
  damaged[damaged.length - 1] ^= 1;
  await writeFile(shard(5), damaged);
  expect(await failure(1, ...args("checked", "--check"))).toMatch(/2 of 8 shards are missing \(16 pairs\): 3, 5\.$/);
  expect(await go("checked", "--check", "--part", "0/4")).toContain("part 0/4, 2 shards, are complete.");
  expect(await go("checked")).toContain("2 of 8 shards made, 6 were there.");
  expect(await bytes("checked")).toEqual(await bytes("whole"));
});

test("pairs of another teacher, another size of shards and guidance that cannot be are refused", async () => {
  const other = await toyTeacher("unet2d", at("other"));
  const [, , ...rest] = args("whole");
  expect(await failure(1, "pairs", other.teacher, ...rest)).toMatch(/these pairs were made with teacher "[0-9a-f…]+/);
  expect(await failure(1, ...args("whole"), "--teacher-steps", "3")).toContain("made with steps 2, not 3");
  expect(await failure(2, ...args("whole", "--part", "8/8"))).toBe(
    "--part 8/8 does not exist: parts count from 0, so the last of 8 is 7/8.",
  );
  const twelve = args("whole").map((arg) => (arg === "8" ? "12" : arg));
  expect(await failure(2, ...twelve)).toMatch(/^--per-shard is 12, and .* has shards of 8 pairs\.$/);
});

test("files that are named like pairs and are others' are never written over", async () => {
  await mkdir(at("foreign"));
  const mine = join(at("foreign"), "pairs-00002.safetensors");
  await writeFile(mine, "my own notes");
  // Without a pairs.json, then with one: a file without a checksum of fewstep is nobody's damaged pairs.
  expect(await failure(1, ...args("foreign"))).toBe(
    `${at("foreign")} holds pairs-00002.safetensors without the pairs.json that says how they were made. Choose another --pairs-dir, or move them away.`,
  );
  await go("theirs");
  const shard = join(at("theirs"), "pairs-00001.safetensors");
  await writeSafetensors(shard, { x: { shape: [1], data: Float32Array.of(7) } }, { format: "pt" });
  const before = await bytes("theirs");
  expect(await failure(1, ...args("theirs"))).toBe(
    `${shard} is a file that fewstep did not write. Choose another --pairs-dir, or move it away.`,
  );
  expect(await bytes("theirs")).toEqual(before);
  expect(await readFile(mine, "utf8")).toBe("my own notes");
  expect(await readdir(at("foreign"))).toEqual(["pairs-00002.safetensors"]);
});

test("training takes them, whatever the size of their shards", async () => {
  await go("shared");
  const before = await bytes("shared");
  const common = ["accelerate", teacher, "--method", "rectified-diffusion", "--guidance", "2", "--teacher-steps", "2"];
  const run = ["--pairs", "60", "--pairs-dir", at("shared"), "--batch", "8", "--images", "16", "--preview-every", "0"];
  const { code, err } = await fewstep(...common, ...run, "--run", at("run"));
  expect(code, err).toBe(0);
  expect(await bytes("shared")).toEqual(before);
});

test("samples in parts are those of one process, in files of their own", async () => {
  const sample = async (...more: string[]) => {
    const fixed = [
      "sample",
      teacher,
      "--n",
      "10",
      "--steps",
      "2",
      "--out",
      at("grid.png"),
      "--save",
      at("x.safetensors"),
    ];
    const { code, err } = await fewstep(...fixed, ...more);
    expect(code, err).toBe(0);
  };
  const read = async (name: string) => (await readSafetensors(at(name))).tensors.get("x")?.data as Float32Array;
  await sample();
  const parts: number[] = [];
  for (const i of [0, 1, 2]) {
    await sample("--part", `${i}/3`);
    parts.push(...(await read(`x-${i}-of-3.safetensors`)));
  }
  expect(parts).toEqual([...(await read("x.safetensors"))]);
  expect(await failure(2, "sample", teacher, "--n", "2", "--part", "0/3", "--out", at("none.png"))).toContain(
    "is empty",
  );
});

describe("which part", () => {
  const slurm = (id: number, min: number, max: number, count: number, step = 1) => ({
    SLURM_ARRAY_TASK_ID: String(id),
    SLURM_ARRAY_TASK_MIN: String(min),
    SLURM_ARRAY_TASK_MAX: String(max),
    SLURM_ARRAY_TASK_COUNT: String(count),
    SLURM_ARRAY_TASK_STEP: String(step),
  });

  test("is what is said, then what the array says, times what the launcher says", () => {
    expect(partOf("3/8", slurm(0, 0, 1, 2))).toEqual({ index: 3, count: 8 });
    expect(partOf(undefined, {})).toBeUndefined();
    expect(partOf(undefined, slurm(3, 0, 29, 30))).toEqual({ index: 3, count: 30 });
    expect(partOf(undefined, slurm(7, 1, 10, 4, 3))).toEqual({ index: 2, count: 4 });
    expect(partOf(undefined, { JOB_COMPLETION_INDEX: "4", JOB_COMPLETIONS: "5" })).toEqual({ index: 4, count: 5 });
    const ranks = { OMPI_COMM_WORLD_RANK: "1", OMPI_COMM_WORLD_SIZE: "2" };
    expect(partOf(undefined, { ...slurm(3, 0, 29, 30), ...ranks })).toEqual({ index: 7, count: 60 });
    expect(partOf(undefined, { SLURM_PROCID: "2", SLURM_STEP_NUM_TASKS: "4" })).toEqual({ index: 2, count: 4 });
  });

  test.each([
    ["a list", '--part is "a list": expected i/n'],
    ["1", '--part is "1": expected i/n'],
    ["-1/4", "expected i/n"],
    ["0/0", "has no parts"],
    ["4/4", "the last of 4 is 3/4."],
  ])("%s is refused", (text, why) => expect(() => partOf(text, {})).toThrow(why));

  test("arrays with gaps, and Indexed Jobs of unknown size, are refused", () => {
    expect(() => partOf(undefined, slurm(5, 0, 5, 4))).toThrow("has 4 tasks from 0 to 5, which are not evenly spaced");
    expect(() => partOf(undefined, { JOB_COMPLETION_INDEX: "4" })).toThrow("set JOB_COMPLETIONS beside it");
  });

  test("variables that contradict each other are refused, not rounded", () => {
    for (const env of [slurm(9, 0, 7, 8), slurm(2, 1, 5, 3, 2), { ...slurm(3, 0, 7, 8), SLURM_ARRAY_TASK_ID: "x" }])
      expect(() => partOf(undefined, env)).toThrow(
        /^SLURM_ARRAY_TASK_ID is .* say with --part i\/n which part this is\.$/,
      );
    expect(() => partOf(undefined, { JOB_COMPLETION_INDEX: "4", JOB_COMPLETIONS: "4" })).toThrow("does not exist");
    expect(() => partOf("9007199254740993/9007199254740995")).toThrow("expected i/n");
  });

  test("samples are shared out without gaps, evenly to one", () => {
    for (const [n, count] of [
      [10, 4],
      [3, 5],
      [50_000, 64],
    ]) {
      const ranges = Array.from({ length: count }, (_, index) => rangeOf({ index, count }, n));
      let next = 0;
      for (const range of ranges) {
        expect(range.from).toBe(next);
        next += range.n;
      }
      expect(next).toBe(n);
      const sizes = ranges.map((r) => r.n);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }
  });
});
