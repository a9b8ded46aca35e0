// The claims: rules that give known verdicts, plans that can be run, and a page that says what the results do.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { claims } from "../bench/claims/claims.ts";
import { pageOf, type Result } from "../bench/claims/page.ts";
import { planOf } from "../bench/claims/plans.ts";
import { below, interval, together, within } from "../bench/claims/verdict.ts";
import { compare } from "../src/node/compare.ts";
import { silent } from "../src/node/reporter.ts";
import { nodeRuntime } from "../src/runtime/node.ts";

const folder = mkdtempSync(join(tmpdir(), "fewstep-claims-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("a verdict", () => {
  it("by Student's interval", () => {
    // scipy.stats.t.interval(0.95, 2, loc=2, scale=1/sqrt(3))
    const { mean, low, high } = interval([1, 2, 3]);
    expect([mean, low, high]).toEqual([2, expect.closeTo(-0.4841377, 6), expect.closeTo(4.4841377, 6)]);
    expect(below("", [1, 1, 1], [2, 2.1, 1.9]).verdict).toBe("holds");
    expect(below("", [2, 2.1, 1.9], [1, 1, 1]).verdict).toBe("does not hold");
    expect(below("", [1, 2, 3], [3, 2, 1]).verdict).toBe("undecided");
    expect(below("", [1, 1, 1], [2, 2, 2]).numbers).toMatchObject({ ratio: 2, interval: [2, 2] });
  });

  it("by a limit in every seed", () => {
    expect(within("", [1, 1.1], 1.1).verdict).toBe("holds");
    expect(within("", [1, 1.2], 1.1).verdict).toBe("undecided");
    expect(within("", [1.2, 1.2], 1.1).verdict).toBe("does not hold");
    expect(within("", [1.2, 1.2], 1.1, "least").verdict).toBe("holds");
    expect(within("", [Number.NaN], 1).verdict).toBe("does not hold");
  });

  it("of all parts together", () => {
    const parts = [below("", [1, 1, 1], [2, 2, 2]), within("", [1, 3], 2), within("", [3], 2)];
    expect(together(parts.slice(0, 1))).toBe("holds");
    expect(together(parts.slice(0, 2))).toBe("undecided");
    expect(together(parts)).toBe("does not hold");
  });
});

it("there are fourteen claims, each with at least three seeds", () => {
  expect(claims.map(({ id }) => id)).toEqual(Array.from({ length: 14 }, (_, i) => `C${i + 1}`));
  for (const { plans } of claims) for (const plan of plans) expect(planOf(plan).seeds.length).toBeGreaterThanOrEqual(3);
});

it("their plans have no faults", { timeout: 120_000 }, async () => {
  const context = {
    report: silent,
    runtime: nodeRuntime({ threads: 1 }),
    signal: new AbortController().signal,
    seed: 0,
  };
  const titles = new Set<string>();
  for (const { plans } of claims)
    for (const plan of plans) {
      expect(titles.has(plan.title), plan.title).toBe(false);
      titles.add(plan.title);
      // Minutes: nothing is timed.
      const file = join(folder, `${plan.title}.json`);
      writeFileSync(file, JSON.stringify({ ...planOf(plan), budget: { minutes: 1 } }));
      const o = { plan: file, out: join(folder, "out"), runs: join(folder, "runs"), dryRun: true, force: false };
      expect(await compare(o, context)).toBeUndefined();
    }
});

describe("docs/claims.md", () => {
  const root = resolve(import.meta.dirname, "..");
  const results = claims.flatMap(({ id }) => {
    const file = join(root, `bench/claims/results/${id}.json`);
    return existsSync(file) ? [JSON.parse(readFileSync(file, "utf8")) as Result] : [];
  });

  it("says what the results say; npm run claims writes it", () => {
    expect(readFileSync(join(root, "docs/claims.md"), "utf8")).toBe(pageOf(results));
  });

  it.each(results)("$id: the verdict follows from its parts", ({ verdict, numbers, seeds }) => {
    expect(seeds.length).toBeGreaterThanOrEqual(3);
    expect(together(numbers.parts)).toBe(verdict);
    for (const part of [...numbers.parts, ...numbers.controls]) {
      const { first, second, values, limit } = part.numbers as Record<string, number[]>;
      const again = first ? below(part.says, first, second) : within(part.says, values, Number(limit));
      expect(again).toEqual(part);
    }
  });
});
