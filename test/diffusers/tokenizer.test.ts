import { describe, expect, it } from "vitest";
import { extended, promptIds } from "../../src/diffusers/prompt.ts";
import { clipTokenizer, LONGEST_PROMPT } from "../../src/diffusers/tokenizer.ts";

/** A vocabulary of letters, with and without the end of a word, "ab", and the two special words. */
const letters = [..."abcdefghijklmnopqrstuvwxyz!?"];
const words = [...letters, ...letters.map((c) => `${c}</w>`), "ab", "ab</w>", "<|startoftext|>", "<|endoftext|>"];
const vocab = Object.fromEntries(words.map((word, id) => [word, id]));
const merges = "#version: 0.2\na b\na b</w>\n";
const files = { vocab, merges };
const id = (word: string) => vocab[word];

describe("the tokenizer", () => {
  const tokenizer = clipTokenizer(files);
  it("merges letters, and marks the end of words", () => {
    expect(tokenizer.encode("ab  AB\tcab")).toEqual([id("ab</w>"), id("ab</w>"), id("c"), id("ab</w>")]);
    expect(tokenizer.encode("")).toEqual([]);
    expect(tokenizer.encode("a<|endoftext|>b")).toEqual([id("a</w>"), id("<|endoftext|>"), id("b</w>")]);
  });

  it("pads with its own word, which is then special everywhere", () => {
    const second = clipTokenizer({ ...files, config: { pad_token: "!" } });
    expect(second.pad).toBe(id("!"));
    expect(second.encode("a!")).toEqual([id("a</w>"), id("!")]);
    expect(tokenizer.encode("a!")).toEqual([id("a</w>"), id("!</w>")]);
    const mapped = clipTokenizer({ ...files, specialTokens: { pad_token: { content: "!" } } });
    expect(mapped.pad).toBe(id("!"));
  });

  it("cuts a long prompt, or takes it in chunks", () => {
    const text = "a ".repeat(160);
    const cut = promptIds(tokenizer, text);
    expect(cut.ids.length).toBe(1);
    expect(cut.ids[0].length).toBe(77);
    expect(cut.dropped).toBe(85);
    const two = promptIds(tokenizer, text, { chunks: 2 });
    expect(two.ids.map((ids) => ids.length)).toEqual([77, 77]);
    expect(two.dropped).toBe(10);
    const three = promptIds(tokenizer, text, { chunks: 10 });
    expect(three.ids.length).toBe(3);
    expect(three.dropped).toBe(0);
    expect(three.ids[2].slice(0, 13)).toEqual([
      tokenizer.start,
      ...Array(10).fill(id("a</w>")),
      tokenizer.end,
      tokenizer.pad,
    ]);
    expect(extended(tokenizer, cut, 3).ids[2].slice(0, 3)).toEqual([tokenizer.start, tokenizer.end, tokenizer.pad]);
    expect(() => promptIds(tokenizer, "a", { chunks: 0 })).toThrow("was given 0 chunks");
  });

  it("weighs the tokens of emphasized words", () => {
    const { ids, weights } = promptIds(tokenizer, "a (b:1.5) c", { emphasis: true });
    expect(ids[0].slice(1, 4)).toEqual([id("a</w>"), id("b</w>"), id("c</w>")]);
    expect(weights[0].slice(0, 5)).toEqual([1, 1, 1.5, 1, 1]);
    expect(weights[0].length).toBe(77);
  });

  it("takes prompts of 1e5 characters in time, and refuses what is longer than any prompt", () => {
    for (const one of ["a", "ab", "a ", "! ", "é", "́", "<|endoftext|>", "\n"]) {
      const text = one.repeat(Math.floor(1e5 / one.length));
      const start = performance.now();
      expect(promptIds(tokenizer, text, { chunks: 3 }).ids.length).toBeLessThanOrEqual(3);
      expect(performance.now() - start, JSON.stringify(one)).toBeLessThan(20_000);
    }
    expect(() => tokenizer.encode("a".repeat(LONGEST_PROMPT + 1))).toThrow("A prompt has 200001 characters");
  });

  it("learns words of several vectors", () => {
    const more = tokenizer.with({ token: "<Style>", vectors: 3 }).with({ token: "moody", vectors: 1 });
    const first = words.length;
    expect(more.size).toBe(first + 4);
    expect(more.vocabulary).toBe(first);
    expect(more.encode("a <style> b")).toEqual([id("a</w>"), first, first + 1, first + 2, id("b</w>")]);
    expect(more.encode("moody<STYLE>")).toEqual([first + 3, first, first + 1, first + 2]);
    expect(() => more.with({ token: "moody", vectors: 1 })).toThrow(
      '"moody" is in the tokenizer\'s vocabulary already',
    );
    expect(() => more.with({ token: "ab", vectors: 1 })).toThrow('"ab" is in the tokenizer\'s vocabulary already');
    expect(() => more.with({ token: " ", vectors: 1 })).toThrow("expected a word");
  });

  it("refuses files of another kind", () => {
    expect(() => clipTokenizer({ vocab: [1], merges })).toThrow("vocab.json of the tokenizer is not a table of ids");
    expect(() => clipTokenizer({ vocab: { a: 0 }, merges, name: "here" })).toThrow(
      'vocab.json of here has no "<|startoftext|>"',
    );
    expect(() => clipTokenizer({ vocab, merges: "a\n" })).toThrow('merges.txt of the tokenizer has "a" in line 1');
    expect(() => clipTokenizer({ ...files, config: { do_lower_case: false } })).toThrow('"do_lower_case": false');
    expect(() => clipTokenizer({ ...files, config: { pad_token: 3 } })).toThrow('"pad_token" is not what was expected');
  });
});
