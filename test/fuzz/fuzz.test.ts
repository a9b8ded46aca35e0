// Inputs that were once misread, took too long or crashed: each is read, or refused in a sentence.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readInputs } from "../../fuzz/keep.ts";
import { fuzz, replay, stopChild } from "../../fuzz/run.ts";
import { parsers } from "../../fuzz/targets/index.ts";

const root = resolve(import.meta.dirname, "../fixtures/fuzz");
const kept = readdirSync(root).flatMap((parser) =>
  readdirSync(join(root, parser)).map((name) => [parser, name] as const),
);

afterAll(stopChild);

test("there are some", () => expect(kept.length).toBeGreaterThan(5));

test.each(kept)("%s: %s", async (parser, name) => {
  const found = await replay(parser, readInputs(name, readFileSync(join(root, parser, name))));
  expect(["ok", "clear"], found.note).toContain(found.verdict);
});

// The seed of the runs in docs/reliability.md is 1; these are other inputs.
test("some new inputs of every parser", { timeout: 300_000 }, async () => {
  const rows = await fuzz({ parsers, seed: 20, inputs: 25 });
  expect(rows.flatMap(({ parser, found }) => found.map((one) => ({ parser, ...one })))).toEqual([]);
  expect(rows.map(({ inputs }) => inputs)).toEqual(parsers.map(() => 25));
  for (const verdict of ["ok", "clear"] as const)
    expect(rows.filter(({ counts }) => counts[verdict] > 0).length, verdict).toBeGreaterThan(0.9 * parsers.length);
});
