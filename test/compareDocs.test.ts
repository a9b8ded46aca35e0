// docs/compare.md: its plan is the example's, its commands run, and what it says of them is what they give.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
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

it("its commands say what it says; students of an exact teacher are far nearer than it is at one step", {
  timeout: 600_000,
}, async () => {
  expect(commands).toHaveLength(2);
  const [dry, run] = [await fewstep(...argsOf(commands[0])), await fewstep(...argsOf(commands[1]))];
  expect([dry.code, run.code], dry.err + run.err).toEqual([0, 0]);
  expect(dry.out).toMatch(/perflow +0 of 3 +51,200 /);
  const { rows } = JSON.parse(readFileSync(join(folder, "comparison/report.json"), "utf8")) as {
    rows: { name: string; steps: number; values: Record<string, { mean: number; deviation: number }> }[];
  };
  // The page's table holds the means, which another machine's rounding may move by a little.
  const told = [...page.matchAll(/^\| ([\w ,-]+) \| (\d+) \| ([\d.]+) ± ([\d.]+) \|/gm)];
  expect(told.length).toBeGreaterThan(8);
  for (const [, name, steps, mean, deviation] of told) {
    const row = rows.find((one) => one.name === name && one.steps === Number(steps))?.values["sliced-wasserstein"];
    const room = 2 * Number(deviation) + 0.05 * Number(mean);
    expect(Math.abs((row?.mean ?? Number.NaN) - Number(mean)), `${name}, ${steps}`).toBeLessThanOrEqual(room);
  }
  const at = (name: string, steps: number) =>
    rows.find((one) => one.name === name && one.steps === steps)?.values["sliced-wasserstein"].mean ?? Number.NaN;
  expect(at("rectified-diffusion", 1)).toBeLessThanOrEqual(at("teacher", 1) / 5);
  expect(at("rectified-diffusion", 2)).toBeLessThanOrEqual(at("teacher", 2) / 5);
});
