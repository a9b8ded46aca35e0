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

/** The seed of the runs in docs/reliability.md is 1; these are other inputs. */
const short = { seed: 20, inputs: 25 };

test.each(parsers)(`%s: ${short.inputs} new inputs`, { timeout: 120_000 }, async (parser) => {
  const [{ inputs, found, counts }] = await fuzz({ parsers: [parser], ...short });
  expect(found).toEqual([]);
  expect(inputs).toBe(short.inputs);
  expect(counts.ok, "inputs that are taken").toBeGreaterThan(0);
  if (parser !== "glob") expect(counts.clear, "inputs that are refused").toBeGreaterThan(0);
});
