// What people report of tools like this one, and what no small file may do. FEWSTEP_REPORTS=<folder> reads the cases of another folder.
import type { ChildProcess } from "node:child_process";
import { resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type Asked, ask, startChild } from "./ask.ts";
import { type Case, casesOf, type DataExpectation, unclear } from "./cases.ts";

const own = resolve(import.meta.dirname, "cases");
const root = resolve(process.env.FEWSTEP_REPORTS ?? own);
const kinds = ["onnx", "data", "teacher", "safetensors", "hostile"] as const;
const most = { seconds: 5, mebibytes: 500 };

const cases = casesOf(root);
const passed = new Map<string, number>();
let shared: ChildProcess | undefined;

afterAll(() => {
  shared?.kill();
  const counts = kinds.map((kind) => {
    const all = cases.filter((one) => one.kind === kind).length;
    return `${kind} ${passed.get(kind) ?? 0} of ${all}`;
  });
  console.log(`${root}: ${counts.join(", ")} cases hold.`);
});

/** A case that may leave a process in a bad state gets one of its own. */
async function asked(one: Case): Promise<Asked> {
  if (one.kind === "hostile") {
    const child = await startChild();
    try {
      return await ask(child, { root, test: one }, most.seconds);
    } finally {
      child.kill();
    }
  }
  if (!shared || shared.exitCode !== null || shared.killed) shared = await startChild();
  return ask(shared, { root, test: one }, 60);
}

for (const kind of kinds) {
  const of = cases.filter((one) => one.kind === kind);
  if (of.length === 0) continue;
  describe(kind, () => {
    test.each(
      of.map((one) => [`${one.path}${"split" in one && one.split ? ` (${one.split})` : ""}`, one] as const),
    )("%s", async (_, one) => {
      check(one, await asked(one));
      passed.set(kind, (passed.get(kind) ?? 0) + 1);
    });
  });
}

function check(one: Case, { answer, seconds, mebibytes }: Asked): void {
  if ("error" in answer) expect(unclear(answer.error.message), answer.error.message.slice(0, 600)).toBeUndefined();
  if (one.kind === "hostile") {
    expect(seconds).toBeLessThan(most.seconds);
    if (mebibytes !== undefined) expect(mebibytes).toBeLessThan(most.mebibytes);
    if ("error" in answer) expect(answer.error.message).not.toMatch(/^There is no reader/);
    return;
  }
  if (one.kind === "data") {
    const misses = one.expect.map((expected) => missed(expected, answer));
    expect(
      misses.some((list) => list.length === 0),
      `${JSON.stringify(answer).slice(0, 1500)}: ${misses.join("; or ")}`,
    ).toBe(true);
    return;
  }
  if ("error" in answer) expect.fail(answer.error.message);
  const { seen } = answer;
  if (one.kind === "onnx") {
    expect(seen.distances).not.toEqual([]);
    for (const distance of seen.distances as number[]) expect(distance).toBeLessThanOrEqual(one.rtol);
  } else if (one.kind === "teacher") {
    expect(seen).toMatchObject(one.expect);
    if (one.values) expect(seen.distance).toBeLessThanOrEqual(one.rtol);
  } else expect(seen).toMatchObject({ header: true, wrong: [] });
}

/** What of an expectation does not hold. */
function missed({ error, note, ...values }: DataExpectation, answer: Asked["answer"]): string[] {
  if (error) return "error" in answer ? [] : ["it was not refused"];
  if ("error" in answer) return ["it was refused"];
  const { seen } = answer;
  const wrong = Object.entries(values).filter(([key, value]) => {
    // A row may be given in part.
    const found = key === "firstRow" ? (seen.firstRow as number[]).slice(0, (value as number[]).length) : seen[key];
    return JSON.stringify(found) !== JSON.stringify(value);
  });
  const silent = note && (seen.notes as string[]).length === 0 ? ["it has no note"] : [];
  return [...silent, ...wrong.map(([key, value]) => `${key} is not ${JSON.stringify(value)}`)];
}
