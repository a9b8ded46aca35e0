// Golden values of textual inversions (tiny-textual-inversion): vectors of every kind of file, ids, and text embeddings.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { floatsOf } from "../../src/data/safetensors.ts";
import { promptIds } from "../../src/diffusers/prompt.ts";
import { readTextualInversion, withInversions } from "../../src/diffusers/textualInversion.ts";
import { nodeRuntime } from "../../src/runtime/node.ts";
import { type GoldenParts, tally, toleranceOf } from "./cases.ts";
import { baseOf, type GoldenFile, goldenOf, goldenTensors, largestDifference } from "./folders.ts";
import { idsOf, type TextCase, textEncoderIn, textErrors } from "./textCases.ts";
import { type TokenizerCases, tokenizerDifferences, tokenizerIn } from "./tokenizerCases.ts";

interface InversionGolden extends GoldenParts {
  readonly files: readonly {
    readonly file: string;
    readonly token: string;
    readonly vectors: number;
    readonly values: string;
    readonly ids: readonly number[];
  }[];
  readonly tokenizer: TokenizerCases;
  readonly text?: readonly TextCase[];
}

const kind = "textual-inversion";
const files = goldenOf<InversionGolden>(kind);
const runtime = nodeRuntime();
const counted = tally(kind, "file, prompt and text");
afterAll(() => expect(runtime.open()).toBe(0));

const read = (one: GoldenFile<InversionGolden>) =>
  one.golden.files.map(({ file }) => readTextualInversion(readFileSync(join(one.folder, file)), file));

function loaded(one: GoldenFile<InversionGolden>, component: string) {
  const { config, weights } = textEncoderIn(baseOf(one), component);
  const tokenizer = tokenizerIn(
    baseOf(one),
    "tokenizer",
    join(one.folder, one.golden.tokenizer.vocabulary ?? "tokenizer"),
  );
  return withInversions(tokenizer, { config, params: weights }, read(one));
}

describe(kind, () => {
  for (const one of files) {
    const { tokenizer } = loaded(one, "text_encoder");
    for (const [k, f] of one.golden.files.entries())
      it(`${one.name}: ${f.file}`, () => {
        const { token, vectors } = read(one)[k];
        expect(token).toBe(f.token);
        expect(vectors.length).toBe(f.vectors);
        const all = new Float32Array(vectors.length * vectors[0].length);
        vectors.forEach((vector, i) => {
          all.set(vector, i * vector.length);
        });
        expect(tokenizer.encode(f.token)).toEqual(f.ids);
        counted.check(new Map([[f.values, largestDifference(all, floatsOf(goldenTensors(one), f.values))]]), 0);
      });
    it(`${one.name}: prompts`, () => {
      const wrong = tokenizerDifferences(tokenizer, one.golden.tokenizer);
      expect(wrong).toEqual([]);
      counted.check(new Map([["prompts that differ", wrong.length]]), 0);
    });
    for (const c of one.golden.text ?? [])
      it(`${one.name}: ${c.component}`, { timeout: 60_000 }, async () => {
        const { tokenizer, config, params } = loaded(one, c.component);
        const have = one.golden.tokenizer.prompts.map(({ prompt }) => [...promptIds(tokenizer, prompt).ids[0]]);
        expect(have).toEqual(idsOf(one, c));
        counted.check(await textErrors(one, { config, weights: params }, c, runtime), toleranceOf(one, "text", 5e-5));
      });
  }
  it("ran every case that exists", () => counted.report(files));
});
