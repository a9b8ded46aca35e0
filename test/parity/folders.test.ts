// That golden files are found at all, and that none of them is of a kind nobody reads.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { allGolden, goldenOf, kinds, vocabularyFolder } from "./folders.ts";

test("there are golden files, all of known kinds", () => {
  const files = allGolden();
  for (const kind of kinds) {
    const count = goldenOf(kind).length;
    if (count > 0) console.log(`${kind}: ${count} files`);
  }
  expect(files.length, "golden files").toBeGreaterThan(0);
  const strange = files.filter(({ kind }) => !kinds.some((known) => known === kind));
  expect(strange.map(({ file, kind }) => `${file} is of kind ${kind}`)).toEqual([]);
});

test("a model without a vocabulary takes the one beside it", () => {
  for (const { folder } of goldenOf("stable-diffusion-xl"))
    expect(existsSync(join(vocabularyFolder(folder), "merges.txt"))).toBe(true);
});
