// docs/compare.md: its plan is the example's, its commands run.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";
import { fewstep } from "./cli/fewstep.ts";

const root = resolve(import.meta.dirname, "..");
const page = readFileSync(join(root, "docs/compare.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "fewstep-compare-docs-"));
afterAll(() => rmSync(folder, { recursive: true }));

const commands = (/```sh\n([\s\S]*?)```/.exec(page)?.[1] ?? "").trim().split("\n");
const argsOf = (command: string) => [
  ...command
    .split(" ")
    .slice(1)
    .map((arg) => (arg === "comparison" ? join(folder, arg) : arg.startsWith("examples/") ? join(root, arg) : arg)),
  ...["--runs", join(folder, "runs")],
];

it("shows the example's plan", () => {
  const plan = readFileSync(join(root, "examples/compare.json"), "utf8");
  expect(/```json\n([\s\S]*?)```/.exec(page)?.[1]).toBe(plan);
});

it("its commands run; a student of an exact teacher is far nearer than it is at equal steps", {
  timeout: 600_000,
}, async () => {
  expect(commands).toHaveLength(2);
  const dry = await fewstep(...argsOf(commands[0]));
  expect(dry.code, dry.err).toBe(0);
  expect(dry.out).toMatch(/perflow +0 of 3 +51,200 /);
  // One of the three methods and seeds, which is enough to see what the page says of the teacher.
  const plan = JSON.parse(readFileSync(join(root, "examples/compare.json"), "utf8"));
  const part = { ...plan, methods: plan.methods.slice(0, 1), seeds: [0], steps: [1, 2], curve: 0 };
  writeFileSync(join(folder, "plan.json"), JSON.stringify(part));
  const args = argsOf(commands[1]).map((arg) => (arg.endsWith("compare.json") ? join(folder, "plan.json") : arg));
  const run = await fewstep(...args);
  expect(run.code, run.err).toBe(0);
  const { rows } = JSON.parse(readFileSync(join(folder, "comparison/report.json"), "utf8")) as {
    rows: { name: string; steps: number; values: Record<string, { mean: number; deviation: number }> }[];
  };
  const at = (name: string, steps: number) =>
    rows.find((one) => one.name === name && one.steps === steps)?.values["sliced-wasserstein"].mean ?? Number.NaN;
  expect(at("rectified-diffusion", 1)).toBeLessThanOrEqual(at("teacher", 1) / 5);
  expect(at("rectified-diffusion", 2)).toBeLessThanOrEqual(at("teacher", 2) / 5);
});
