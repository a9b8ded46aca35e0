// evaluate and compare in parts: the numbers of one process, from sums that parts leave and from runs that they share.
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { endpoint, mergeEndpoints, rows } from "../../src/metrics/index.ts";
import { readJson } from "../../src/node/files.ts";
import { key, normal } from "../../src/random.ts";
import { failure, fewstep, root, scratchOnce } from "./fewstep.ts";

const { at } = scratchOnce();

interface Evaluated {
  readonly results: readonly {
    readonly evaluations: readonly {
      readonly steps: number;
      readonly n: number;
      readonly values: Readonly<Record<string, { readonly value: number; readonly standardError?: number }>>;
    }[];
  }[];
  readonly notes: readonly string[];
}

const ok = async (...args: string[]) => {
  const ended = await fewstep(...args);
  expect(ended.code, ended.err).toBe(0);
  return ended;
};

test("sums over pairs merge to those of all pairs", () => {
  const [ours, theirs] = [normal(key(1), 60), normal(key(2), 60)];
  const metric = endpoint(3);
  const sums = (from: number, to: number) =>
    metric.add(metric.init(), {
      ours: rows(ours.slice(3 * from, 3 * to), 3),
      theirs: rows(theirs.slice(3 * from, 3 * to), 3),
    });
  const [whole, joined] = [sums(0, 20), mergeEndpoints(mergeEndpoints(sums(0, 7), sums(7, 8)), sums(8, 20))];
  expect(joined.n).toBe(20);
  for (const name of ["squares", "fourths", "scatter"] as const) expect(joined[name]).toBeCloseTo(whole[name], 10);
  joined.mean.forEach((value, k) => {
    expect(value).toBeCloseTo(whole.mean[k], 12);
  });
  expect(mergeEndpoints(metric.init(), joined)).toEqual(joined);
});

describe("evaluate", () => {
  const digits = join(root, "assets/mnist-teacher");
  const asked = (out: string) => [
    ...[
      "evaluate",
      digits,
      "--teacher",
      digits,
      "--data",
      join(root, "assets/mnist-small"),
      "--steps",
      "1",
      "--n",
      "260",
    ],
    ...["--teacher-steps", "2", "--path-steps", "0", "--out", at(out)],
  ];

  test("three parts joined give the numbers of one process; a part is made once", async () => {
    await ok(...asked("whole"));
    for (const part of ["2/3", "0/3", "1/3"]) await ok(...asked("parts"), "--part", part);
    expect(await readdir(at("parts.parts"))).toHaveLength(3);
    const first = await readFile(at("parts.parts/part-0-of-3.safetensors"));
    expect((await ok(...asked("parts"), "--part", "0/3")).out).toContain("is there already");
    expect(await readFile(at("parts.parts/part-0-of-3.safetensors"))).toEqual(first);
    await ok(...asked("parts"), "--join");
    const [whole, joined] = (await Promise.all(
      ["whole", "parts"].map((name) => readJson(at(name, "report.json"))),
    )) as Evaluated[];
    const [a, b] = [whole, joined].map(({ results }) => results[0].evaluations[0]);
    expect([b.steps, b.n]).toEqual([1, 260]);
    for (const name of ["frechet", "endpoint"])
      expect(Math.abs(b.values[name].value / a.values[name].value - 1), name).toBeLessThan(1e-7);
    expect(b.values.endpoint.standardError).toBeCloseTo(a.values.endpoint.standardError ?? 0, 8);
    expect(Object.keys(b.values).sort()).toEqual(["endpoint", "frechet"]);
    expect(joined.notes).toContain("Parts keep sums, not samples, so kid, precision, recall are not measured.");
    // The pictures are the first samples of all, whichever part drew them.
    const picture = (name: string) => readFile(at(name, "samples.png"));
    expect((await picture("parts")).equals(await picture("whole"))).toBe(true);
  }, 180_000);

  test("missing parts, parts of another evaluation and mixtures are refused", async () => {
    const file = (index: number) => at(`parts.parts/part-${index}-of-3.safetensors`);
    expect(await failure(1, ...asked("parts"), "--seed", "1", "--join")).toMatch(
      /part-0-of-3\.safetensors is a part of another evaluation: its seed is "0", not "1"/,
    );
    expect(await failure(1, ...asked("parts"), "--steps", "2", "--part", "0/3")).toContain(
      'its steps is "1", not "1,2"',
    );
    await rm(file(1));
    expect(await failure(1, ...asked("parts"), "--join")).toMatch(/Of the 3 parts in .*, 1 is missing: 1\.$/);
    await writeFile(at("parts.parts/part-0-of-2.safetensors"), "");
    expect(await failure(1, ...asked("parts"), "--join")).toContain("has parts of 3 and of 2");
    expect(await failure(1, ...asked("none"), "--join")).toContain("has no parts. Make them first");
    expect(await failure(2, ...asked("none"), "--part", "0/2", "--join")).toContain("are two steps");
    expect(await failure(2, ...asked("none"), "--part", "0/400")).toContain("is empty: take at most 260 parts");
    expect(await failure(2, ...asked("none"), "--part", "2/2")).toContain("does not exist: parts count from 0");
  }, 120_000);
});

test("compare: parts train and measure their runs, and the report is made of what they left", async () => {
  const plan = {
    data: "toy:moons@256",
    teacher: { train: { width: 8, depth: 1, batch: 32, images: 320 } },
    methods: ["perflow", "consistency"],
    options: { batch: 32 },
    budget: { images: 128 },
    seeds: [0, 1],
    steps: [4],
    n: 64,
    pathSteps: 0,
    curve: 0,
  };
  await writeFile(at("plan.json"), JSON.stringify(plan));
  const asked = ["compare", at("plan.json"), "--runs", at("runs"), "--out", at("comparison")];
  // At once, as an array would: both need both teachers.
  const parts = await Promise.all(["0/3", "1/3", "2/3"].map((part) => ok(...asked, "--part", part)));
  expect(parts[2].out).toContain("Part 2/3");
  const { out } = await ok(...asked, "--dry-run");
  expect(out).toMatch(/perflow +2 of 2/);
  expect(out).toMatch(/consistency +2 of 2/);
  const { out: said } = await ok("--json", ...asked);
  expect(said).not.toContain('"kind":"step"');
  const { rows: table } = (await readJson(at("comparison/report.json"))) as { rows: { name: string }[] };
  expect(table.map(({ name }) => name)).toEqual(expect.arrayContaining(["teacher", "perflow", "consistency"]));
}, 180_000);
