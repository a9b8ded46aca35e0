// Inputs that were once misread, took too long or crashed: each is read, or refused in a sentence.
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readInputs } from "../../fuzz/keep.ts";
import { replay, stopChild } from "../../fuzz/run.ts";

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
